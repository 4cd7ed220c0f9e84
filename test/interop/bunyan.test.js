/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The service's log after requests of all kinds, read with the bunyan tool and the log probes of a datacenter.
 */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { manifest } = require('./lib/images');

const BUNYAN = path.join(__dirname, 'node_modules', '.bin', 'bunyan');
const ABSENT = '00000000-0000-4000-8000-000000000000';
const SECRET = 'dmFkZXI6bm90LXRvLWJlLWxvZ2dlZA';
const LINE = 30000;

let running;
let logFile;
let records;
// The request id and the answer of every case, by its name.
const asked = {};

/* Sends a request that is recorded under `name`, and resolves to its parsed answer. */
async function ask(name, method, target, { headers = {}, body } = {}) {
    const id = crypto.randomUUID();
    const answer = await fetch(running.datacenter.imgapi + target,
        { method, body, headers: { 'x-request-id': id, ...headers } });
    const text = await answer.text();
    asked[name] = { id, status: answer.status };
    return text && answer.headers.get('content-type') === 'application/json' ? JSON.parse(text) : text;
}

const json = (value) => ({
    headers: { 'content-type': 'application/json' }, body: JSON.stringify(value)
});

/* Sends bytes unchanged, and resolves when the service has closed the connection. */
async function sendRaw(bytes) {
    const { hostname, port } = new URL(running.datacenter.imgapi);
    const socket = net.connect(Number(port), hostname);
    socket.resume();
    socket.end(bytes);
    await once(socket, 'close');
}

async function life(owner) {
    const created = await ask('create', 'POST', '/images?account=' + owner,
        json(manifest(owner, { description: 'tab\t line\n quote" ☃ \u0007' })));
    const image = `/images/${created.uuid}`;
    await ask('upload', 'PUT', `${image}/file?compression=gzip`, { body: zlib.gzipSync('content') });
    await ask('activate', 'POST', `${image}?action=activate`);
    await ask('get', 'GET', `${image}?account=${owner}`);
    await ask('download', 'GET', `${image}/file`);
    await ask('list', 'GET', '/images?type=!docker&tag.a=b');
    await ask('unchanged', 'GET', image, { headers: { 'if-none-match': '*' } });
    fs.rmSync(path.join(running.datacenter.local_dir,
        'images', created.uuid.slice(0, 3), created.uuid, 'file0'));
    await ask('damaged', 'GET', `${image}/file`);
    await ask('delete', 'DELETE', image);
}

async function mistakes(owner) {
    await ask('absent', 'GET', `/images/${ABSENT}`);
    await ask('unknown path', 'GET', '/nothing?x=1');
    await ask('wrong method', 'PATCH', '/images');
    await ask('wrong version', 'GET', '/images', { headers: { 'accept-version': '~7' } });
    await ask('no JSON', 'POST', '/images', { ...json(0), body: '{"name":' });
    await ask('invalid', 'POST', '/images', json({ owner }));
    await ask('large', 'POST', '/images', json({ owner, description: 'x'.repeat(100000) }));
    await ask('unknown action', 'POST', '/images?action=explode', json({}));
    await ask('post to ping', 'POST', '/ping');
    await ask('ping', 'GET', '/ping');
    await ask('credentials', 'GET', '/images', {
        headers: { authorization: `Basic ${SECRET}`, 'x-registry-auth': SECRET }
    });
    await sendRaw('this is no HTTP\r\n\r\n');
    await sendRaw(`PUT /images/${ABSENT}/file HTTP/1.1\r\nhost: x\r\nx-request-id: cut-off\r\n`
        + 'content-length: 1000\r\n\r\nonly a part');
    await sendRaw('GET /images HTTP/1.1\r\nhost: x\r\nx-request-id: odd \xff"\\\r\nconnection: close\r\n\r\n');
}

/* Returns the records so far. Every line must be complete JSON. */
function read() {
    return fs.readFileSync(logFile, 'utf8').split('\n').filter(Boolean).map(JSON.parse);
}

const audits = (id) => records.filter((record) => record._audit && record.req_id === id);

before(async () => {
    // The files are on disk, because some tests look at them there.
    running = await coal.start({ imgapi: true, args: ['--manta', 'none'] });
    logFile = path.join(running.directory, 'data', 'log', 'imgapi.log');
    const owner = running.account('imgapitestvader');
    await life(owner);
    await mistakes(owner);
    // The log is written after the answers, in order.
    await ask('last', 'GET', '/images');
    await coal.waitFor('the last record', () => {
        records = read();
        return audits(asked.last.id).length > 0;
    });
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

function bunyan(...args) {
    const result = spawnSync(process.execPath, [BUNYAN, '--no-color', ...args, logFile],
        { encoding: 'utf8', maxBuffer: 64 << 20, env: { ...process.env, PAGER: '' } });
    assert.strictEqual(result.status, 0, result.stderr);
    return result.stdout.split('\n').filter(Boolean);
}

test('the bunyan tool takes every line for a record', () => {
    const strict = bunyan('--strict', '-0').map(JSON.parse);
    assert.deepStrictEqual(strict, records);
    // The tool prints lines that it does not know unchanged.
    assert.deepStrictEqual(bunyan().filter((line) => line.startsWith('{')), []);
    assert.match(bunyan()[0], /^\[20\d\d-.*\]  INFO: imgapi\/\d+ on /);
});

test('the bunyan tool finds records by condition and level', () => {
    const found = bunyan('-0', '-c', 'this._audit && this.route === "createimage"').map(JSON.parse);
    assert.deepStrictEqual(found.map((record) => record.res.statusCode),
        ['create', 'no JSON', 'invalid', 'large', 'unknown action'].map((name) => asked[name].status));
    const errors = bunyan('-0', '-l', 'error').map(JSON.parse);
    assert.deepStrictEqual(errors.map((record) => record.req_id), [asked.damaged.id]);
});

test('every record has the core members, v last', () => {
    for (const record of records) {
        const text = JSON.stringify(record);
        assert.strictEqual(record.name, 'imgapi', text);
        assert.strictEqual(record.hostname, os.hostname(), text);
        assert.ok(Number.isInteger(record.pid), text);
        assert.ok([10, 20, 30, 40, 50, 60].includes(record.level), text);
        assert.strictEqual(typeof record.msg, 'string', text);
        assert.match(record.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, text);
        assert.strictEqual(record.v, 0, text);
        assert.strictEqual(Object.keys(record).pop(), 'v', text);
    }
});

test('lines are compact, as the log probes look for them', () => {
    const lines = fs.readFileSync(logFile, 'utf8').split('\n').filter(Boolean);
    const parsed = records.map((record) => JSON.stringify(record));
    assert.deepStrictEqual(lines, parsed);
    const having = (text) => lines.filter((line) => line.includes(text)).map(JSON.parse);
    assert.deepStrictEqual(having('"level":50').map((record) => record.req_id), [asked.damaged.id]);
    assert.deepStrictEqual(having('"level":60'), []);
    assert.ok(having('"route":"updateimage"').some((record) => record.action === 'activate'));
});

test('each request is audited once, but not the health checks', () => {
    for (const [name, { id, status }] of Object.entries(asked)) {
        const found = audits(id);
        assert.strictEqual(found.length, name === 'ping' ? 0 : 1, name);
        for (const record of found) {
            assert.strictEqual(record.audit, true, name);
            assert.strictEqual(record.level, 30, name);
            assert.strictEqual(record.msg, `handled: ${status}`, name);
            assert.strictEqual(record.res.statusCode, status, name);
            assert.strictEqual(record.remoteAddress, '127.0.0.1', name);
            assert.ok(Number.isInteger(record.remotePort), name);
            assert.ok(Number.isInteger(record.latency) && record.latency >= 0, name);
            assert.strictEqual(record.req.httpVersion, '1.1', name);
            assert.deepStrictEqual(record.req.trailers, {}, name);
            assert.strictEqual(record.res.trailer, false, name);
            assert.ok(Object.values(record.req.timers).every(Number.isInteger), name);
            const length = record.res.headers['content-length'];
            assert.ok(length === undefined || Number.isInteger(length), name);
        }
    }
    assert.strictEqual(audits('cut-off').length, 1);
});

test('an audit record says what was asked and answered', () => {
    const [activate] = audits(asked.activate.id);
    assert.strictEqual(activate.route, 'updateimage');
    assert.strictEqual(activate.action, 'activate');
    assert.strictEqual(activate.req.method, 'POST');
    assert.deepStrictEqual(activate.req.query, { action: 'activate' });
    assert.match(activate.req.url, /^\/images\/[0-9a-f-]{36}\?action=activate$/);
    assert.strictEqual(activate.req.headers['x-request-id'], asked.activate.id);
    assert.strictEqual(activate.req.version, '~1');
    assert.strictEqual(activate.res.body.state, 'active');
    assert.strictEqual(activate.err, undefined);

    const [list] = audits(asked.list.id);
    assert.strictEqual('action' in list, false);
    assert.deepStrictEqual(list.req.query, { type: '!docker', 'tag.a': 'b' });
    assert.strictEqual(list.res.body, undefined, 'bodies of successful GETs are left out');
    assert.strictEqual(audits(asked.upload.id)[0].route, 'addimagefile');
    assert.strictEqual(audits(asked.download.id)[0].route, 'getimagefile');
    assert.strictEqual(audits(asked.delete.id)[0].route, 'deleteimage');
});

test('an audit record has the error and the bodies of what failed', () => {
    const [invalid] = audits(asked.invalid.id);
    assert.strictEqual(invalid.res.body.code, 'ValidationFailed');
    assert.strictEqual(invalid.req.body.owner, running.account('imgapitestvader'));
    assert.strictEqual(invalid.err.name, 'ValidationFailedError');
    assert.strictEqual(invalid.err.message, invalid.res.body.message);
    assert.ok(invalid.err.stack.startsWith('ValidationFailedError: '), invalid.err.stack);
    const [absent] = audits(asked.absent.id);
    assert.strictEqual(absent.res.body.code, 'ResourceNotFound');
    const [damaged] = audits(asked.damaged.id);
    assert.match(damaged.err.stack, /\nCaused by: /);
    const [version] = audits(asked['wrong version'].id);
    assert.strictEqual(version.req.version, '~7');
});

test('what matches no route has none', () => {
    for (const name of ['unknown path', 'wrong method', 'wrong version', 'post to ping']) {
        const [record] = audits(asked[name].id);
        assert.strictEqual(record.route, null, name);
        assert.strictEqual(record.req.query, '', name);
    }
});

test('no secret is logged, and no line is long', () => {
    const text = fs.readFileSync(logFile, 'utf8');
    assert.ok(!text.includes(SECRET));
    assert.ok(!text.includes(running.config.ufds.bindPassword));
    assert.ok(Math.max(...text.split('\n').map((line) => line.length)) < LINE);
});
