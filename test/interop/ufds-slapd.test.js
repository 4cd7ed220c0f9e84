/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The service with OpenLDAP as its account directory: an independent LDAP server, which stops, starts, closes idle connections
 * and rejects passwords.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { manifest } = require('./lib/images');
const { startImgapi } = require('./lib/imgapi');
const {
    ADMIN, MUPPET, PASSWORD, SUBUSER, prepareSlapd
} = require('./lib/slapd');

const ABSENT = '00000000-0000-4000-8000-000000000000';
// Twice the documented time, so that the test does not fail on a busy machine.
const RECOVERY_MS = 10 * 1000;
const IDLE_SECONDS = 1;

let running;
let slapd;
let imgapi;

before(async () => {
    running = await coal.start();
    slapd = await prepareSlapd(path.join(running.directory, 'slapd'));
    // The directory starts later than the service.
    // Without a cache, the directory is asked each time.
    imgapi = await startImgapi(running, { ufds: slapd.ufds({ cacheSeconds: 0 }) });
});

after(async () => {
    for (const process of [imgapi, slapd, running]) {
        if (process) {
            await process.stop();
        }
    }
});

/* Creates an image of this owner, and resolves to the status and the code or state of the answer. */
async function create(owner, server = imgapi) {
    const answer = await fetch(`${server.url}/images`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(manifest(owner))
    });
    const body = await answer.json();
    return `${answer.status} ${body.code ?? body.state}`;
}

const DOWN = '503 ServiceUnavailableError';
const CREATED = '200 unactivated';

/* Polls until the owner is found again. Checks that there were only 503s before, and how long it took. */
async function recovers() {
    const start = Date.now();
    await coal.waitFor('UFDS to be used again', async () => {
        const answer = await create(MUPPET);
        assert.ok([DOWN, CREATED].includes(answer), answer);
        return answer === CREATED;
    });
    const took = Date.now() - start;
    assert.ok(took < RECOVERY_MS, `it took ${took} ms`);
}

function disconnections() {
    return imgapi.log().filter((record) => record.msg === 'UFDS: disconnected').length;
}

test('the service starts without a directory, and uses it when it comes', async () => {
    assert.strictEqual(await create(MUPPET), DOWN);
    await slapd.start();
    await recovers();
});

test('accounts are owners, and nothing else is', async () => {
    for (const owner of [ADMIN, MUPPET]) {
        assert.strictEqual(await create(owner), CREATED);
    }
    for (const owner of [ABSENT, SUBUSER]) {
        assert.strictEqual(await create(owner), '422 OwnerDoesNotExist', owner);
    }
    // This owner is not looked up at all, because UUIDs are in lower case.
    assert.strictEqual(await create(MUPPET.toUpperCase()), '422 InvalidParameter');
});

test('a directory that stops and starts again', async () => {
    await slapd.stop();
    assert.strictEqual(await create(MUPPET), DOWN);
    assert.strictEqual(await create(ABSENT), DOWN, 'nobody knows that it does not exist');
    const list = await fetch(`${imgapi.url}/images`);
    assert.strictEqual(list.status, 200, 'what needs no owner works');
    await slapd.start();
    await recovers();
});

test('a directory that closes idle connections', async () => {
    await slapd.stop();
    await slapd.start(IDLE_SECONDS);
    await recovers();
    for (let n = 0; n < 3; n++) {
        const earlier = disconnections();
        await coal.waitFor('a closed connection', () => disconnections() > earlier);
        assert.strictEqual(await create(MUPPET), CREATED);
    }
});

test('a wrong password is no answer about accounts, and stays secret', async () => {
    const wrong = await startImgapi(running, { ufds: slapd.ufds({ bindPassword: 'not-the-password' }) });
    try {
        assert.strictEqual(await create(MUPPET, wrong), DOWN);
        assert.ok(wrong.log().some((record) => record.msg === 'UFDS: unable to connect and/or bind'));
        const text = fs.readFileSync(wrong.logFile, 'utf8') + fs.readFileSync(imgapi.logFile, 'utf8');
        assert.ok(!text.includes('not-the-password') && !text.includes(PASSWORD));
    } finally {
        await wrong.stop();
    }
});

test('a directory that accepts and says nothing does not hold requests up', async () => {
    const sockets = new Set();
    const silent = net.createServer((socket) => {
        sockets.add(socket.on('error', () => {}));
    });
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `ldaps://127.0.0.1:${silent.address().port}`;
    const waiting = await startImgapi(running, { ufds: slapd.ufds({ url }) });
    try {
        assert.strictEqual(await create(MUPPET, waiting), DOWN);
        assert.ok(sockets.size > 0, 'it was tried');
    } finally {
        await waiting.stop();
        sockets.forEach((socket) => socket.destroy());
        silent.close();
    }
});
