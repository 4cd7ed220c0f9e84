/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's Moray with the client that Triton's services use.
 */

const assert = require('node:assert');
const net = require('node:net');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');
const fastV1 = require('fast-v1');
const moray = require('moray');

const coal = require('./lib/coal');
const { call, collect, within } = require('./lib/call');

const BUCKET = 'interop';
const CONFIG = {
    index: {
        name: { type: 'string' },
        code: { type: 'string', unique: true },
        size: { type: 'number' },
        on: { type: 'boolean' },
        at: { type: 'date' },
        tags: { type: '[string]' },
        sizes: { type: '[number]' },
        flags: { type: '[boolean]' }
    }
};

let running;
let client;

before(async () => {
    running = await coal.start();
    client = moray.createClient({
        log: bunyan.createLogger({ name: 'interop', level: 'fatal' }),
        unwrapErrors: true,
        ...running.moray()
    });
    await within(new Promise((resolve, reject) => {
        client.once('connect', resolve);
        client.once('error', reject);
    }), 'connect');
});

after(async () => {
    if (client) {
        client.close();
    }
    if (running) {
        await running.stop();
    }
});

/* Creates a new bucket. */
async function bucket(name, config) {
    await call(client, 'createBucket', name, config || CONFIG);
    return name;
}

async function put(name, key, value, options) {
    return (await call(client, 'putObject', name, key, value, options || {}));
}

async function find(name, filter, options) {
    return collect(client.findObjects(name, filter, options || {}), 'record');
}

async function keys(name, filter, options) {
    return (await find(name, filter, options)).map((record) => record.key);
}

/* Asserts that `promise` fails with an error of this name. */
async function fails(promise, name, message) {
    await assert.rejects(promise, (err) => {
        assert.strictEqual(err.name, name, err.message);
        if (message) {
            assert.match(err.message, message);
        }
        return true;
    });
}

test('buckets are created, read, listed, updated and deleted', async () => {
    await bucket(BUCKET);
    const stored = await call(client, 'getBucket', BUCKET, {});
    assert.strictEqual(stored.name, BUCKET);
    assert.deepStrictEqual(stored.index, CONFIG.index);
    assert.deepStrictEqual(stored.options, {});
    assert.ok(!Number.isNaN(new Date(stored.mtime).getTime()));
    const all = await call(client, 'listBuckets', {});
    assert.ok(all.some((b) => b.name === BUCKET));

    await fails(call(client, 'createBucket', BUCKET, CONFIG), 'BucketConflictError');
    await fails(call(client, 'createBucket', 'no-dash', CONFIG),
        'InvalidBucketNameError');
    await fails(call(client, 'createBucket', 'odd',
        { index: { a: { type: 'strin' } } }), 'InvalidBucketConfigError');
    await fails(call(client, 'getBucket', 'missing', {}),
        'BucketNotFoundError', /missing does not exist/);

    await call(client, 'deleteBucket', BUCKET, {});
    await fails(call(client, 'getBucket', BUCKET, {}), 'BucketNotFoundError');
});

test('an unversioned update is used at once, a version only goes up', async () => {
    const name = await bucket('versions', { index: { a: { type: 'string' } } });
    const two = { a: { type: 'string' }, b: { type: 'number' } };
    await put(name, 'k', { a: 'x', b: 7 });
    await call(client, 'updateBucket', name, { index: two });
    assert.deepStrictEqual(await keys(name, '(b=*)'), []);
    await put(name, 'k', { a: 'x', b: 7 });
    assert.deepStrictEqual(await keys(name, '(b=7)'), ['k']);

    const three = { ...two, c: { type: 'string' } };
    await put(name, 'k', { a: 'x', b: 7, c: 'z' });
    await call(client, 'updateBucket', name,
        { index: three, options: { version: 2 } });
    await fails(call(client, 'updateBucket', name,
        { index: three, options: { version: 2 } }), 'BucketVersionError');
    await fails(keys(name, '(c=z)'), 'InvalidQueryError');
    await fails(keys(name, '(&(a=x)(c=z))', { requireIndexes: true }),
        'NotIndexedError', /Reindexing fields: \["c"\]/);
    assert.deepStrictEqual(await keys(name, '(&(a=x)(c=z))'), ['k']);

    const first = await call(client, 'reindexObjects', name, 10, {});
    assert.strictEqual(first.processed, 1);
    assert.strictEqual(first.remaining, 0);
    const last = await call(client, 'reindexObjects', name, 10, {});
    assert.strictEqual(last.processed, 0);
    assert.deepStrictEqual(await keys(name, '(c=z)'), ['k']);
});

test('objects are put, read and deleted', async () => {
    const name = await bucket('objects');
    const value = { name: 'é€😀', size: 5, on: true, free: { deep: [1, null] } };
    const meta = await put(name, 'k 1', value);
    assert.match(meta.etag, /^[0-9A-F]{8}$/);
    const record = await call(client, 'getObject', name, 'k 1', {});
    assert.deepStrictEqual(record.value, value);
    assert.strictEqual(record.bucket, name);
    assert.strictEqual(record.key, 'k 1');
    assert.strictEqual(record._etag, meta.etag);
    assert.ok(Math.abs(record._mtime - Date.now()) < 600000);
    const again = await put(name, 'k 1', value);
    assert.strictEqual(again.etag, meta.etag);
    assert.strictEqual(
        (await call(client, 'getObject', name, 'k 1', {}))._id, record._id);
    await call(client, 'deleteObject', name, 'k 1', {});
    await fails(call(client, 'getObject', name, 'k 1', {}),
        'ObjectNotFoundError', /^objects::k 1 does not exist$/);
    await fails(call(client, 'deleteObject', name, 'k 1', {}),
        'ObjectNotFoundError');
    await put(name, 'k 1', value);
    assert.ok((await call(client, 'getObject', name, 'k 1', {}))._id > record._id);
});

test('columns win over the json', async () => {
    const name = await bucket('columns');
    await put(name, 'k', { name: 5, size: 'x', on: 'TRUE', tags: 'one', at: '2020-01-02' });
    const { value } = await call(client, 'getObject', name, 'k', {});
    assert.deepStrictEqual(value, {
        name: '5', on: true, tags: ['one'], at: '2020-01-02T00:00:00.000Z'
    });
    await fails(put(name, 'k', { on: 'maybe' }), 'InvalidIndexTypeError',
        /^index\(on\) is of type boolean/);
});

test('etags guard puts and deletes', async () => {
    const name = await bucket('etags');
    const first = await put(name, 'k', { size: 1 }, { etag: null });
    await assert.rejects(put(name, 'k', { size: 2 }, { etag: null }), (err) => {
        assert.strictEqual(err.name, 'EtagConflictError');
        assert.deepStrictEqual(err.context, {
            bucket: name, key: 'k', expected: 'null', actual: first.etag
        });
        return true;
    });
    await fails(put(name, 'k', { size: 2 }, { etag: 'FFFFFFFF' }),
        'EtagConflictError');
    await fails(put(name, 'new', { size: 2 }, { etag: first.etag }),
        'EtagConflictError', /but was "null"/);
    const second = await put(name, 'k', { size: 2 }, { etag: first.etag });
    await fails(call(client, 'deleteObject', name, 'k', { etag: first.etag }),
        'EtagConflictError');
    await call(client, 'deleteObject', name, 'k', { etag: second.etag });
});

test('unique indexes hold', async () => {
    const name = await bucket('unique');
    await put(name, 'a', { code: 'x' });
    await put(name, 'b', {});
    await put(name, 'c', {});
    await fails(put(name, 'd', { code: 'x' }), 'UniqueAttributeError',
        /^"code" is a unique attribute; value "x" already exists/);
    await fails(call(client, 'updateObjects', name, { code: 'x' }, '(code=*)', {})
        .then(() => put(name, 'b', { code: 'x' })), 'UniqueAttributeError');
    await put(name, 'a', { code: 'y' });
    await put(name, 'd', { code: 'x' });
});

test('every form of filter', async () => {
    const name = await bucket('filters');
    await put(name, 'a', {
        name: 'foo(bar)*\\x=y é', size: 1, on: true, tags: ['r=web', 'x'],
        sizes: [1, 5], flags: [true], free: 'one', at: '2020-01-01T00:00:00Z'
    });
    await put(name, 'b', {
        name: 'FOO', size: 10, on: false, tags: ['r=db'], sizes: [7],
        flags: [false], free: 'two', at: '2021-01-01T00:00:00Z'
    });
    await put(name, 'c', { name: '100%_', free: 'one' });
    const cases = [
        ['(name=foo\\28bar\\29\\2a\\5cx=y é)', ['a']],
        ['(name=foo\\(bar\\)\\*\\\\x=y é)', ['a']],
        ['(name=foo*)', ['a']],
        ['(name=*bar*é)', ['a']],
        ['(name=*\\2a*)', ['a']],
        ['(name=*OO)', ['b']],
        ['(name=1__%*)', []],
        ['(name=100%*)', ['c']],
        ['(name:caseIgnoreMatch:=foo)', ['b']],
        ['(name:caseIgnoreSubstringsMatch:=f*o)', ['b']],
        ['(size=10)', ['b']],
        ['(size>=2)', ['b']],
        ['(size<=1)', ['a']],
        ['(size=x)', []],
        ['(size=*)', ['a', 'b']],
        ['(!(size=*))', ['c']],
        ['(on=true)', ['a']],
        ['(on=FALSE)', ['b']],
        ['(!(on=true))', ['b', 'c']],
        ['(at>=2020-06-01)', ['b']],
        ['(tags=r=web)', ['a']],
        ['(tags=*)', ['a', 'b']],
        ['(!(tags=x))', ['b']],
        ['(tags>=s)', ['a']],
        ['(sizes=5)', ['a']],
        ['(sizes>=6)', ['b']],
        ['(flags=false)', ['b']],
        ['(&(size>=1)(on=true))', ['a']],
        ['(|(size=1)(name=FOO))', ['a', 'b']],
        ['(&(name=*)!(size=1))', ['b', 'c']],
        ['(&(name=*)(free=one))', ['a', 'c']],
        ['(_key=b)', ['b']],
        ['name=FOO', ['b']]
    ];
    for (const [filter, wanted] of cases) {
        const found = await keys(name, filter, { sort: { attribute: '_id' } });
        assert.deepStrictEqual(found, wanted, filter);
    }
});

test('filters that cannot be answered are refused by name', async () => {
    const name = await bucket('refused');
    const cases = [
        ['(name=a', 'InvalidQueryError'],
        ['(&)', 'InvalidQueryError'],
        ['(name=\\zz)', 'InvalidQueryError'],
        ['(on=maybe)', 'InvalidQueryError'],
        ['(free=1)', 'InvalidQueryError'],
        ['(!(free=1))', 'InvalidQueryError'],
        ['(&(free=1))', 'NotIndexedError'],
        ['(|(free=1)(name=a))', 'NotIndexedError'],
        ['(tags=a*)', 'NotIndexedError'],
        ['(name~=a)', 'Error'],
        ['(name:nonsense:=a)', 'Error']
    ];
    for (const [filter, error] of cases) {
        await fails(find(name, filter), error);
    }
    await fails(find(name, '(&(name=a)(free=1))', { requireIndexes: true }),
        'NotIndexedError', /Unindexed fields: \["free"\]/);
    await fails(find('missing', '(a=1)'), 'BucketNotFoundError');
    await fails(find(name, '(name=*)', { sort: { attribute: 'free' } }),
        'InternalError');
});

test('sort, limit, offset and count', async () => {
    const name = await bucket('pages');
    const requests = [];
    for (let i = 0; i < 1005; i++) {
        const value = { name: 'n' + (i % 5) };
        if (i % 2) {
            value.size = i;
        }
        requests.push({ bucket: name, key: 'k' + i, value });
    }
    await call(client, 'batch', requests, {});

    const first = await find(name, '(name=n1)', {
        sort: { attribute: '_id', order: 'ASC' }, limit: 2
    });
    assert.deepStrictEqual(first.map((r) => r.key), ['k1', 'k6']);
    assert.strictEqual(first[0]._count, 201);
    assert.deepStrictEqual(await keys(name, '(name=n1)', {
        sort: { attribute: '_id', order: 'ASC' }, limit: 2, offset: 2
    }), ['k11', 'k16']);
    assert.deepStrictEqual(await keys(name, '(name=n0)', {
        sort: { attribute: 'size', order: 'DESC' }, limit: 1, offset: 101
    }), ['k995']);
    assert.deepStrictEqual(await keys(name, '(name=*)', {
        sort: [{ attribute: 'name', order: 'DESC' }, { attribute: '_id' }],
        limit: 1
    }), ['k4']);
    const ascending = await find(name, '(name=*)',
        { sort: { attribute: 'size', order: 'ASC' }, limit: 1 });
    assert.strictEqual(ascending[0].key, 'k1');

    assert.strictEqual((await find(name, '(name=*)')).length, 1000);
    assert.strictEqual(
        (await find(name, '(name=*)', { noLimit: true })).length, 1005);
    const uncounted = await find(name, '(name=*)', { no_count: true, limit: 1 });
    assert.strictEqual(uncounted[0]._count, undefined);
});

test('a batch is all or nothing', async () => {
    const name = await bucket('batches');
    const done = await call(client, 'batch', [
        { bucket: name, key: 'a', value: { name: 'x', size: 1 } },
        { bucket: name, operation: 'put', key: 'b', value: { name: 'x' } },
        { bucket: name, operation: 'update', fields: { size: 3 }, filter: '(name=x)' },
        { bucket: name, operation: 'delete', key: 'a' },
        { bucket: name, operation: 'deleteMany', filter: '(name=y)' }
    ], {});
    assert.strictEqual(done.etags.length, 5);
    assert.match(done.etags[0].etag, /^[0-9A-F]{8}$/);
    assert.strictEqual(done.etags[2].count, 2);
    assert.deepStrictEqual(done.etags[3], { bucket: name, key: 'a' });
    assert.strictEqual(done.etags[4].count, 0);

    await fails(call(client, 'batch', [
        { bucket: name, key: 'c', value: {} },
        { bucket: name, key: 'b', value: {}, options: { etag: null } }
    ], {}), 'EtagConflictError');
    await fails(call(client, 'getObject', name, 'c', {}), 'ObjectNotFoundError');
});

test('many objects are updated and deleted by filter', async () => {
    const name = await bucket('many');
    for (const key of ['a', 'b', 'c']) {
        await put(name, key, { name: key === 'c' ? 'y' : 'x', size: 1 });
    }
    const updated = await call(client, 'updateObjects', name,
        { size: 9, tags: ['t'] }, '(name=x)', {});
    assert.strictEqual(updated.count, 2);
    assert.match(updated.etag, /^u.{7}$/);
    const { value, _etag } = await call(client, 'getObject', name, 'a', {});
    assert.deepStrictEqual(value, { name: 'x', size: 9, tags: ['t'] });
    assert.strictEqual(_etag, updated.etag);
    await fails(call(client, 'updateObjects', name, {}, '(name=x)', {}),
        'FieldUpdateError');
    await fails(call(client, 'updateObjects', name, { free: 1 }, '(name=x)', {}),
        'NotIndexedError');
    await fails(call(client, 'updateObjects', name, { size: null }, '(name=x)', {}),
        'NotNullableError');
    await fails(call(client, 'deleteMany', name, '(&(name=x)(free=1))', {}),
        'NotIndexedError');
    const deleted = await call(client, 'deleteMany', name, '(name=x)', {});
    assert.strictEqual(deleted.count, 2);
    assert.deepStrictEqual(await keys(name, '(name=*)'), ['c']);
});

test('ping and version', async () => {
    await call(client, 'ping', { deep: true });
    const version = await within(new Promise((resolve, reject) => {
        client.versionInternal({}, (err, v) => err ? reject(err) : resolve(v));
    }), 'version');
    assert.strictEqual(version, 2);
});

test('wrong options and methods are refused, and the connection lives', async () => {
    const name = await bucket('options');
    await fails(put(name, 'k', {}, { req_id: 'not-a-uuid' }), 'InvocationError',
        /^putObject expects "options" \(args\[3\]\) to be a valid options object/);
    await fails(find(name, '(name=*)', { limit: 'many' }), 'InvocationError');
    await fails(collect(client.listen('channel', {}), 'notification'), 'FastError',
        /unsupported RPC method: "listen"/);
    await call(client, 'ping', {});
});

test('a statement of SQL reads buckets as tables, and changes nothing', async () => {
    const name = await bucket('tables');
    await put(name, 'a', { name: 'one', size: 7 });
    await put(name, 'b', { name: 'two', size: 7 });
    const rows = await collect(
        client.sql(`SELECT count(_id), size FROM ${name} WHERE name <> $1 GROUP BY size`, ['one'], {}), 'record');
    assert.deepStrictEqual(rows, [{ count: '1', size: '7' }]);
    await fails(collect(client.sql(`DELETE FROM ${name}`, [], {}), 'record'), 'InternalError');
    assert.strictEqual((await keys(name, '(name=*)')).length, 2);
    await call(client, 'notify', 'channel', 'to nobody', {});
    await fails(call(client, 'notify', '', 'to nobody', {}), 'InternalError', /channel name cannot be empty/);
});

test('a client of FAST version 1, as in IMGAPI 4.13.1, is understood', async () => {
    const name = await bucket('first');
    const socket = net.connect(running.moray());
    await within(new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
    }), 'connect');
    const old = new fastV1.FastClient({
        log: bunyan.createLogger({ name: 'interop', level: 'fatal' }),
        nRecentRequests: 10,
        transport: socket
    });
    const rpc = (rpcmethod, ...rpcargs) => within(
        new Promise((resolve, reject) => {
            old.rpcBufferAndCallback(
                { rpcmethod, rpcargs, maxObjectsToBuffer: 100 },
                (err, data) => err ? reject(err) : resolve(data));
        }), rpcmethod);
    // The old checksum is over UTF-16 code units, not over bytes.
    const value = { name: 'é€😀' };
    const [{ etag }] = await rpc('putObject', name, 'k', value, {});
    const [record] = await rpc('getObject', name, 'k', {});
    assert.deepStrictEqual(record.value, value);
    assert.strictEqual(record._etag, etag);
    const both = await Promise.all([
        rpc('findObjects', name, `(name=${value.name})`, {}),
        rpc('ping', {})
    ]);
    assert.strictEqual(both[0].length, 1);
    await assert.rejects(rpc('getObject', name, 'x', {}),
        /server error: first::x does not exist$/);
    old.detach();
    socket.destroy();
});
