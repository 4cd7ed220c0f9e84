/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Users of a standalone server, with their usual clients: Triton's clients sign with keys of ssh-keygen, and curl sends a name
 * and a password.
 */

const assert = require('node:assert');
const { execFile, execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const bunyan = require('bunyan');
const httpSignature = require('http-signature-v1');
const IMGAPI = require('sdc-clients/lib/imgapi');

const coal = require('./lib/coal');
const { program } = coal;
const { call } = require('./lib/call');
const { manifest } = require('./lib/images');
const { startImgapi } = require('./lib/imgapi');

const VADER = '86055c40-2547-11e2-8a6b-4bb37edc84ba';
const PASSWORD = 's3cret: with "quotes" and ümlauts';
const KINDS = {
    rsa: ['-t', 'rsa', '-b', '2048'],
    rsaPem: ['-t', 'rsa', '-b', '2048', '-m', 'PEM'],
    ecdsa256: ['-t', 'ecdsa', '-b', '256'],
    ecdsa521: ['-t', 'ecdsa', '-b', '521'],
    ed25519: ['-t', 'ed25519']
};

const log = bunyan.createLogger({ name: 'interop', level: 'fatal' });

let running;
let imgapi;
let agent;

function key(kind) {
    return path.join(running.directory, kind);
}

function publicKey(kind) {
    return fs.readFileSync(`${key(kind)}.pub`, 'utf8').trim();
}

before(async () => {
    running = await coal.start();
    for (const [kind, options] of Object.entries(KINDS)) {
        execFileSync('ssh-keygen', ['-q', ...options, '-N', '', '-f', key(kind)]);
    }
    const authKeys = { luke: Object.keys(KINDS).map(publicKey) };
    imgapi = await startImgapi(running, { mode: 'public', authType: 'signature', authKeys });
});

after(async () => {
    if (agent) {
        agent.kill();
    }
    if (imgapi) {
        assert.strictEqual(await imgapi.stop(), 0);
    }
    if (running) {
        await running.stop();
    }
});

function client(options) {
    return IMGAPI.createClient({ url: imgapi.url, agent: false, retry: false, log, ...options });
}

/* Returns a client that signs as `user`. `keyId` names the key: a file or a fingerprint. */
function signingClient(user, keyId) {
    return client({ user, sign: IMGAPI.cliSigner({ keyId, user, log }) });
}

/* The whole life of an image, in the steps of `imgapi-cli`. */
async function liveALife(user) {
    const [created] = await call(user, 'createImage', manifest(VADER, { public: true }));
    const file = path.join(running.directory, 'file');
    fs.writeFileSync(file, 'a file');
    await call(user, 'addImageFile', { uuid: created.uuid, file, compression: 'none' });
    const [activated] = await call(user, 'activateImage', created.uuid);
    assert.strictEqual(activated.state, 'active');
    await call(user, 'deleteImage', created.uuid);
}

/* Returns status and code of the expected error. */
async function refusal(user, method, ...args) {
    const err = await call(user, method, ...args).then(() => assert.fail(`${method} succeeded`), (error) => error);
    return [err.statusCode, err.body.code];
}

for (const kind of ['rsa', 'rsaPem']) {
    test(`sdc-clients signs with the key file ${kind}`, async () => {
        const user = signingClient('luke', key(kind));
        const [pong] = await call(user, 'ping');
        assert.strictEqual(pong.user, 'luke');
        assert.strictEqual(typeof pong.pid, 'number');
        await liveALife(user);
        await call(user, 'adminReloadAuthKeys');
        user.close();
    });
}

test('sdc-clients signs with a key in an agent', async () => {
    const socket = path.join(running.directory, 'agent.sock');
    agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    await coal.waitFor('ssh-agent', () => fs.existsSync(socket));
    process.env.SSH_AUTH_SOCK = socket;
    // The client looks for keys in this directory as well, and fails without it.
    process.env.HOME = running.directory;
    fs.mkdirSync(path.join(running.directory, '.ssh'));
    execFileSync('ssh-add', ['-q', key('rsa')]);
    const [, fingerprint] = execFileSync('ssh-keygen', ['-lf', key('rsa')], { encoding: 'utf8' }).split(' ');
    const user = signingClient('luke', fingerprint);
    const [pong] = await call(user, 'ping');
    assert.strictEqual(pong.user, 'luke');
    await liveALife(user);
    user.close();
});

test('sdc-clients is refused as somebody else, and without a key', async () => {
    const vader = signingClient('vader', key('rsa'));
    assert.deepStrictEqual(await refusal(vader, 'ping'), [401, 'UnauthorizedError']);
    vader.close();
    const anonymous = client({});
    const [pong] = await call(anonymous, 'ping');
    assert.strictEqual(pong.user, undefined);
    assert.deepStrictEqual(await call(anonymous, 'listImages', {}).then(([images]) => images), []);
    const created = await refusal(anonymous, 'createImage', manifest(VADER, { public: true }));
    assert.deepStrictEqual(created, [401, 'UnauthorizedError']);
    anonymous.close();
});

/* Returns the answers to a request that http-signature signs. */
function signed(kind, headers, target = '/ping') {
    return new Promise((resolve, reject) => {
        const request = http.request(imgapi.url + target, { agent: false }, async (response) => {
            const parts = await response.toArray();
            resolve({ status: response.statusCode, body: JSON.parse(Buffer.concat(parts)) });
        });
        request.once('error', reject);
        httpSignature.signRequest(request, { key: fs.readFileSync(key(kind)), keyId: 'luke', headers });
        request.end();
    });
}

for (const kind of ['rsa', 'ecdsa256', 'ecdsa521', 'ed25519']) {
    test(`http-signature signs with ${kind}`, async () => {
        for (const headers of [['date'], ['(request-target)', 'date', 'host'], ['request-line', 'date']]) {
            const { status, body } = await signed(kind, headers, '/ping?a=%20b');
            assert.deepStrictEqual([status, body.user], [200, 'luke'], JSON.stringify(body));
        }
    });
}

test('curl has a name and a password', async () => {
    const hash = execFileSync(program('imgapi'), ['hash-password'], { input: `${PASSWORD}\n`, encoding: 'utf8' });
    const userdb = [{ name: 'luke', password: hash.trim() }];
    const server = await startImgapi(running, { mode: 'private', authType: 'basic', userdb });
    const curl = async (...args) => {
        const all = ['-sS', '-w', '\n%{http_code}', ...args.slice(1), server.url + args[0]];
        const { stdout } = await promisify(execFile)('curl', all);
        return Number(stdout.slice(stdout.lastIndexOf('\n')));
    };
    const body = ['-H', 'Content-Type: application/json', '-d', JSON.stringify(manifest(VADER))];
    assert.strictEqual(await curl('/images'), 200);
    assert.strictEqual(await curl('/images', ...body), 401);
    assert.strictEqual(await curl('/images', '--user', 'luke:wrong', ...body), 401);
    assert.strictEqual(await curl('/images', '--user', `vader:${PASSWORD}`), 401);
    assert.strictEqual(await curl('/images', '--user', `luke:${PASSWORD}`, ...body), 200);
    // The client sends the credentials only when the server asks for them.
    assert.strictEqual(await curl('/authkeys/reload', '-X', 'POST', '--anyauth', '--user', `luke:${PASSWORD}`), 200);

    const user = client({ url: server.url, user: 'luke', password: PASSWORD });
    const [pong] = await call(user, 'ping');
    assert.strictEqual(pong.user, 'luke');
    user.close();
    assert.strictEqual(await server.stop(), 0);
    const text = JSON.stringify(server.log());
    assert.ok(!text.includes('s3cret') && !text.includes('argon2'));
});
