/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's Manta with the client that Triton's services use.
 */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const path = require('node:path');
const { after, afterEach, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { control, createClient, get, keyFile, ls, put } = require('./lib/manta');

const ROOT = '/admin/stor/interop';

let running;
let client;

before(async () => {
    running = await coal.start();
    client = createClient(running, 'admin');
    await call(client, 'mkdirp', ROOT);
});

afterEach(() => control(running, 'DELETE', 'faults'));

after(async () => {
    if (client) {
        client.close();
    }
    if (running) {
        await running.stop();
    }
});

function md5(text) {
    return crypto.createHash('md5').update(text).digest('base64');
}

/* Checks that the call fails with an error of this name. */
async function fails(promise, name, status) {
    await assert.rejects(promise, (err) => {
        assert.strictEqual(err.name, name, err.message);
        if (status) {
            assert.strictEqual(err.statusCode, status);
        }
        return true;
    });
}

test('directories are made with those above, again and again', async () => {
    for (let i = 0; i < 2; i++) {
        await call(client, 'mkdirp', `${ROOT}/a/b b/ü`);
    }
    const [info] = await call(client, 'info', `${ROOT}/a/b b`);
    assert.strictEqual(info.extension, 'directory');
    await fails(call(client, 'mkdir', `${ROOT}/none/b`), 'DirectoryDoesNotExistError');
});

test('an object comes back as it was put', async () => {
    const texts = { 'with-all': { size: 5, md5: md5('hello') }, 'with-nothing': {} };
    for (const [name, options] of Object.entries(texts)) {
        const type = 'text/x-greeting';
        const res = await put(client, `${ROOT}/${name}`, 'hello', { ...options, type });
        assert.strictEqual(res.statusCode, 204);
        assert.strictEqual(res.headers['computed-md5'], md5('hello'));
        const got = await get(client, `${ROOT}/${name}`);
        assert.strictEqual(got.text, 'hello');
        assert.strictEqual(got.res.headers.etag, res.headers.etag);
        assert.strictEqual(got.res.headers['content-type'], type);
        assert.strictEqual(got.res.headers['durability-level'], '2');
    }
});

test('an object without content is one', async () => {
    await put(client, `${ROOT}/empty`, '', { size: 0 });
    assert.strictEqual((await get(client, `${ROOT}/empty`)).text, '');
});

test('a missing directory is made on demand', async () => {
    await fails(put(client, `${ROOT}/x/y/z`, 'deep'), 'DirectoryDoesNotExistError', 404);
    await put(client, `${ROOT}/x/y/z`, 'deep', { mkdirs: true });
    assert.strictEqual((await get(client, `${ROOT}/x/y/z`)).text, 'deep');
});

test('info tells what is known, and chattr changes it', async () => {
    const object = `${ROOT}/known`;
    await put(client, object, 'known', { headers: { 'm-colour': 'red' }, copies: 1 });
    const [info, res] = await call(client, 'info', object);
    assert.strictEqual(info.size, 5);
    assert.strictEqual(info.md5, md5('known'));
    assert.strictEqual(res.headers['m-colour'], 'red');
    assert.strictEqual(res.headers['durability-level'], '1');
    await call(client, 'chattr', object, { headers: { 'm-colour': 'blue' } });
    const [later, changed] = await call(client, 'info', object);
    assert.strictEqual(changed.headers['m-colour'], 'blue');
    assert.strictEqual(later.etag, info.etag);
    await fails(call(client, 'info', `${ROOT}/unknown`), 'NotFoundError', 404);
});

test('a list has more than one page', async () => {
    const directory = `${ROOT}/many`;
    await call(client, 'mkdirp', directory);
    const names = [...Array(25).keys()].map((i) => `n${String(i).padStart(2, '0')}`);
    for (const name of names) {
        await put(client, `${directory}/${name}`, name);
    }
    await call(client, 'mkdir', `${directory}/sub`);
    const entries = await ls(client, directory, { limit: 10 });
    assert.deepStrictEqual(entries.map((entry) => entry.name), [...names, 'sub']);
    const { etag, mtime, ...object } = entries[3];
    assert.match(etag, /^[0-9a-f-]{36}$/);
    assert.ok(!Number.isNaN(Date.parse(mtime)));
    assert.deepStrictEqual(object, {
        name: 'n03', size: 3, type: 'object', contentType: 'application/octet-stream',
        contentMD5: md5('n03'), durability: 2, parent: directory
    });
    const reversed = await ls(client, directory, { limit: 10, reverse: true });
    assert.deepStrictEqual(reversed.map((entry) => entry.name), ['sub', ...names.reverse()]);
    const directories = await ls(client, directory, { type: 'directory' });
    assert.deepStrictEqual(directories.map((entry) => entry.name), ['sub']);
    await fails(ls(client, `${directory}/n01`), 'InvalidDirectoryError');
});

test('what is removed is gone', async () => {
    const directory = `${ROOT}/gone`;
    await call(client, 'mkdirp', `${directory}/below`);
    await put(client, `${directory}/below/object`, 'x');
    await fails(call(client, 'unlink', `${directory}/below`), 'DirectoryNotEmptyError', 400);
    await call(client, 'unlink', `${directory}/below/object`);
    await fails(get(client, `${directory}/below/object`), 'ResourceNotFoundError', 404);
    await put(client, `${directory}/below/other`, 'x');
    await call(client, 'rmr', directory);
    await fails(call(client, 'info', directory), 'NotFoundError');
});

test('conditions hold', async () => {
    const object = `${ROOT}/conditional`;
    const onlyNew = { headers: { 'if-match': '""' } };
    const first = await put(client, object, 'one', onlyNew);
    await fails(put(client, object, 'two', onlyNew), 'PreconditionFailedError', 412);
    await put(client, object, 'two', { headers: { 'if-match': first.headers.etag } });
    await fails(call(client, 'unlink', object, { headers: { 'if-match': first.headers.etag } }),
        'PreconditionFailedError');
    const part = await get(client, object, { headers: { range: 'bytes=1-' } });
    assert.strictEqual(part.text, 'wo');
    assert.strictEqual(part.res.statusCode, 206);
    assert.strictEqual(part.res.headers['content-range'], 'bytes 1-2/3');
});

test('what is wrong is refused by name', async () => {
    const object = `${ROOT}/refused`;
    await fails(put(client, object, 'x', { md5: md5('y') }), 'ContentMD5MismatchError', 400);
    await fails(put(client, object, 'x', { copies: 99 }), 'InvalidDurabilityLevelError', 400);
    await fails(put(client, object, 'too long', { headers: { 'max-content-length': 3 } }),
        'MaxContentLengthExceededError', 413);
    await fails(call(client, 'info', object), 'NotFoundError');
    await put(client, object, 'x');
    await fails(put(client, `${object}/below`, 'x'), 'ParentNotDirectoryError', 400);
    await fails(put(client, ROOT, 'x'), 'OperationNotAllowedOnDirectoryError', 400);
    await fails(call(client, 'ln', object, `${ROOT}/link`), 'SnaplinksDisabledError', 403);
    await fails(get(client, object, { headers: { range: 'bytes=9-' } }), 'RangeNotSatisfiableError', 416);
    await fails(get(client, object, { headers: { range: 'bytes=0-0,1-1' } }), 'NotImplementedError', 501);
    await fails(get(client, object, { accept: 'text/html' }), 'NotAcceptableError', 406);
});

test('an account goes to its own area only, and operators everywhere', async () => {
    const luke = createClient(running, 'imgapitestluke');
    await put(luke, '/imgapitestluke/stor/mine', 'x');
    await fails(put(luke, `${ROOT}/mine`, 'x'), 'AuthorizationFailedError', 403);
    await fails(get(luke, `${ROOT}/with-all`), 'AuthorizationFailedError', 403);
    assert.strictEqual((await get(client, '/imgapitestluke/stor/mine')).text, 'x');
    await put(luke, '/imgapitestluke/public/shown', 'to all');
    const shown = await fetch(`${running.datacenter.manta}/imgapitestluke/public/shown`);
    assert.strictEqual(await shown.text(), 'to all');
    await fails(get(client, '/nobody/stor/x'), 'AccountDoesNotExistError', 403);
    luke.close();
});

test('only a key of the account opens it', async () => {
    const strange = path.join(running.directory, 'strange');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', '', '-f', strange]);
    const cases = [
        [createClient(running, 'admin', { key: strange }), 'KeyDoesNotExistError'],
        [createClient(running, 'admin', { key: keyFile(running, 'imgapitestluke') }), 'KeyDoesNotExistError'],
        [createClient(running, 'nobody', { key: strange }), 'AccountDoesNotExistError']
    ];
    for (const [other, name] of cases) {
        await fails(get(other, `${ROOT}/with-all`), name, 403);
        other.close();
    }
    const unsigned = await fetch(`${running.datacenter.manta}${ROOT}/with-all`);
    assert.strictEqual(unsigned.status, 401);
    assert.strictEqual((await unsigned.json()).code, 'AuthorizationRequired');
});

test('faults are switched on and off over HTTP', async () => {
    const object = '/admin/public/faulty';
    await put(client, object, 'good');
    await control(running, 'POST', 'faults', { fault: 'wrong_content_md5', times: 1 });
    await fails(get(client, object), 'ChecksumError');
    await control(running, 'POST', 'faults', { fault: 'cut_after', bytes: 2, method: 'GET' });
    // The client would wait for ever, because it does not notice that the connection is closed.
    const cut = await fetch(`${running.datacenter.manta}${object}`);
    assert.strictEqual(cut.headers.get('content-length'), '4');
    await assert.rejects(cut.text());
    const [fault] = await (await control(running, 'GET', 'faults')).json();
    assert.deepStrictEqual(fault, { fault: 'cut_after', bytes: 2, method: 'GET' });
    await control(running, 'DELETE', 'faults');
    assert.strictEqual((await get(client, object)).text, 'good');
    // The client's mkdirp retries this once.
    await control(running, 'POST', 'faults', { fault: 'concurrent_request', times: 1 });
    await call(client, 'mkdirp', `${ROOT}/faulty-directory`);
    assert.deepStrictEqual(await (await control(running, 'GET', 'faults')).json(), []);
});

test('a fault that is misspelt is refused', async () => {
    for (const fault of [{ fault: 'cut_of' }, { fault: 'stall', time: 1 }, { fault: 'cut_after' }]) {
        await assert.rejects(control(running, 'POST', 'faults', fault));
    }
    assert.deepStrictEqual(await (await control(running, 'GET', 'faults')).json(), []);
});

test('the port is closed and opened over HTTP', async () => {
    await control(running, 'POST', 'stop');
    await assert.rejects(fetch(running.datacenter.manta));
    await control(running, 'POST', 'start');
    assert.strictEqual((await get(client, `${ROOT}/with-all`)).text, 'hello');
});
