/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The result of `imgapi manta-setup`, checked with Triton's own clients and ssh-keygen.
 */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');
const { SAPI } = require('sdc-clients');
const UFDS = require('ufds');

const coal = require('./lib/coal');
const { call, within } = require('./lib/call');
const { fingerprintOf } = require('./lib/keys');
const { createClient, get, put } = require('./lib/manta');

const log = bunyan.createLogger({ name: 'interop', level: 'fatal' });

let running;
let sapi;
let ufds;
let sdc;

before(async () => {
    running = await coal.start({ args: ['--manta', 'unused'] });
    sapi = new SAPI({ url: running.datacenter.sapi, log, agent: false, version: '~2' });
    const { url, bindDN, bindPassword } = running.config.ufds;
    ufds = new UFDS({ url, bindDN, bindPassword, log, clientTimeout: 10000, connectTimeout: 10000 });
    await within(new Promise((resolve, reject) => {
        ufds.once('connect', resolve);
        ufds.once('error', reject);
    }), 'connect');
    [sdc] = await first('listApplications', { name: 'sdc' });
});

after(async () => {
    if (sapi) {
        sapi.close();
    }
    if (ufds) {
        await call(ufds, 'close');
    }
    if (running) {
        await running.stop();
    }
});

/* Returns a list without the response that may be attached to it. */
async function first(method, params) {
    const results = await call(sapi, method, params);
    return Array.isArray(results[0]) ? results[0] : results;
}

async function metadata() {
    const [service] = await first('listServices', { name: 'imgapi', application_uuid: sdc.uuid });
    return service.metadata;
}

function imgapi(command, ...args) {
    const result = spawnSync(coal.program('imgapi'),
        [command, '-c', running.datacenter.config_file, ...args], { encoding: 'utf8', timeout: 60000 });
    assert.strictEqual(result.status, 0, `${result.stdout}${result.stderr}`);
    return result.stdout;
}

test('the key is one for ssh-keygen, UFDS and Manta', async () => {
    const output = imgapi('manta-setup', running.datacenter.manta);
    assert.ok(!output.includes('BEGIN'));
    const records = output.trim().split('\n').map((line) => JSON.parse(line));
    assert.ok(records.every((record) => record.name === 'imgapi-manta-setup' && record.v === 0));
    assert.strictEqual(records.at(-1).msg, 'Done.');

    const set = await metadata();
    assert.strictEqual(set.IMGAPI_MANTA_URL, running.datacenter.manta);
    assert.strictEqual(set.IMGAPI_MANTA_USER, 'admin');
    assert.strictEqual(set.IMGAPI_MANTA_INSECURE, false);
    assert.strictEqual(set.IMGAPI_MANTA_REMOTE, false);
    const file = path.join(running.directory, 'imgapi.key');
    fs.writeFileSync(file, `${set.IMGAPI_PRIVATE_KEY}\n`, { mode: 0o600 });
    assert.strictEqual(fingerprintOf(file, 'sha256'), set.IMGAPI_KEY_ID);
    const derived = spawnSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' }).stdout.trim();
    const blob = (line) => line.split(' ').slice(0, 2).join(' ');
    assert.strictEqual(blob(derived), blob(set.IMGAPI_PUBLIC_KEY));

    const key = await call(ufds, 'getKey', running.datacenter.admin_uuid, 'coal imgapi key');
    assert.strictEqual(key.openssh, set.IMGAPI_PUBLIC_KEY);
    assert.strictEqual(`MD5:${key.fingerprint}`, fingerprintOf(file, 'md5'));

    const client = createClient(running, 'admin', { key: file });
    try {
        await put(client, '/admin/stor/hello', 'hello');
        assert.strictEqual((await get(client, '/admin/stor/hello')).text, 'hello');
        await call(ufds, 'deleteKey', running.datacenter.admin_uuid, key);
        await assert.rejects(get(client, '/admin/stor/hello'), { name: 'KeyDoesNotExistError' });
    } finally {
        client.close();
    }
    // A second run adds the same key to the account again.
    imgapi('manta-setup', running.datacenter.manta);
    assert.deepStrictEqual(await metadata(), set);
    const again = await call(ufds, 'getKey', running.datacenter.admin_uuid, 'coal imgapi key');
    assert.strictEqual(again.fingerprint, key.fingerprint);
});
