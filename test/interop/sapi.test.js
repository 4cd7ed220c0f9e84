/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's SAPI with the client that Triton's tools use, and with curl.
 */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');
const { SAPI } = require('sdc-clients');

const coal = require('./lib/coal');
const { call } = require('./lib/call');

const log = bunyan.createLogger({ name: 'sapi', level: 'fatal' });
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

let running;
let sapi;
let oldSapi;
let sdc;
let service;
let instance;

before(async () => {
    running = await coal.start();
    const url = running.datacenter.sapi;
    sapi = new SAPI({ url, log, agent: false, version: '~2' });
    oldSapi = new SAPI({ url, log, agent: false, version: '~1' });
    [sdc] = await call(sapi, 'listApplications', { name: 'sdc' })
        .then(first);
    [service] = await call(sapi, 'listServices',
        { name: 'imgapi', application_uuid: sdc.uuid }).then(first);
    [instance] = await call(sapi, 'listInstances',
        { service_uuid: service.uuid }).then(first);
});

after(async () => {
    [sapi, oldSapi].filter(Boolean).forEach((client) => client.close());
    if (running) {
        await running.stop();
    }
});

/* Returns the object from the results of a client's method: object, req, res. */
function first(results) {
    return Array.isArray(results) && results.length > 1
        && results[results.length - 1].statusCode ? results[0] : results;
}

async function ask(method, ...args) {
    return first(await call(sapi, method, ...args));
}

/* Returns status, headers and body of an answer to curl. */
function curl(path, ...args) {
    const text = execFileSync('curl',
        ['-sSi', '--noproxy', '*', ...args, running.datacenter.sapi + path],
        { encoding: 'utf8' });
    const [head, ...body] = text.split('\r\n\r\n');
    const [status, ...lines] = head.split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => {
        const at = line.indexOf(':');
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }));
    return { status: Number(status.split(' ')[1]), headers,
        body: body.join('\r\n\r\n') };
}

/* The rule, in the language of SAPI's source. */
function etagOf(config) {
    const list = [];
    (function flatten(value, at) {
        if (Array.isArray(value)) {
            value.forEach((item) => flatten(item, at));
        } else if (typeof value === 'object') {
            Object.keys(value || {}).forEach((name) => {
                flatten(value[name], at === '' ? name : `${at},${name}`);
            });
        } else {
            list.push(`${at},${value.toString()}`);
        }
    })(config, '');
    return crypto.createHash('sha1')
        .update(JSON.stringify(list.sort()), 'utf8').digest('hex');
}

test('the datacenter is installed: sdc, its service imgapi, an instance', async () => {
    assert.strictEqual(sdc.owner_uuid, running.account('admin'));
    assert.strictEqual(sdc.metadata.datacenter_name, 'coal');
    assert.strictEqual(service.params.tags.smartdc_role, 'imgapi');
    assert.strictEqual(service.metadata.SERVICE_NAME, 'imgapi');
    assert.strictEqual(service.type, 'vm');
    assert.strictEqual(instance.uuid, running.config.instanceUuid);
    assert.strictEqual(instance.params.server_uuid, running.config.serverUuid);
    assert.deepStrictEqual(await ask('getApplication', sdc.uuid), sdc);
    assert.deepStrictEqual(await ask('getService', service.uuid), service);
    assert.deepStrictEqual(await ask('getInstance', instance.uuid), instance);
    const objects = await ask('getApplicationObjects', sdc.uuid);
    assert.strictEqual(objects.services[service.uuid].name, 'imgapi');
    assert.strictEqual(objects.instances[service.uuid][0].uuid, instance.uuid);
    const what = await ask('whatis', service.uuid);
    assert.deepStrictEqual([what.type, what.uuid], ['service', service.uuid]);
});

test('the Manta keys are those that IMGAPI is told', async () => {
    const { metadata } = service;
    const { manta } = running.config;
    assert.strictEqual(metadata.IMGAPI_MANTA_URL, manta.url);
    assert.strictEqual(metadata.IMGAPI_MANTA_USER, manta.user);
    assert.strictEqual(metadata.IMGAPI_KEY_ID, manta.keyId);
    assert.match(metadata.IMGAPI_PRIVATE_KEY, /^-----BEGIN [^\n]*PRIVATE KEY/);
    assert.match(metadata.IMGAPI_PUBLIC_KEY, /^ecdsa-sha2-nistp256 /);
    const [found] = await ask('listApplications', { name: 'manta' });
    assert.strictEqual(found.owner_uuid, running.account('admin'));
});

test('an application, its service, its instance: made, changed, removed', async () => {
    const owner = running.account('admin');
    const app = await ask('createApplication', 'blog', owner,
        { metadata: { a: 1, b: 'two' } });
    assert.deepStrictEqual(
        await ask('listApplications', { owner_uuid: owner, name: 'blog' }), [app]);
    const svc = await ask('createService', 'web', app.uuid,
        { metadata: { b: 2 }, params: { ram: 128 } });
    const inst = await ask('createInstance', svc.uuid,
        { metadata: { c: 3, gone: null } });
    const { metadata } = await ask('getConfig', inst.uuid);
    assert.strictEqual(metadata.a, 1);
    assert.strictEqual(metadata.b, 2);
    assert.strictEqual(metadata.c, 3);
    assert.strictEqual(metadata.INSTANCE_UUID, inst.uuid);

    let changed = await ask('updateService', svc.uuid,
        { metadata: { d: { deep: true } } });
    assert.deepStrictEqual(changed.metadata, { b: 2, d: { deep: true } });
    changed = await ask('updateService', svc.uuid,
        { action: 'delete', metadata: { d: 'whatever' }, params: { ram: null } });
    assert.deepStrictEqual([changed.metadata, changed.params], [{ b: 2 }, {}]);
    changed = await ask('updateService', svc.uuid,
        { action: 'REPLACE', metadata: { e: 5 } });
    assert.deepStrictEqual(changed.metadata, { e: 5 });
    changed = await ask('updateApplication', app.uuid,
        { owner_uuid: UNKNOWN, metadata_schema: { x: {} } });
    assert.strictEqual(changed.owner_uuid, UNKNOWN);
    changed = await ask('updateInstance', inst.uuid, { params: { alias: 'web0' } });
    assert.strictEqual(changed.params.alias, 'web0');
    assert.strictEqual(
        (await ask('reprovisionInstance', inst.uuid, UNKNOWN)).uuid, inst.uuid);
    const payload = await ask('getPayload', inst.uuid);
    assert.strictEqual(payload.owner_uuid, UNKNOWN);
    assert.strictEqual(payload.alias, 'web0');

    await ask('deleteInstance', inst.uuid);
    await ask('deleteService', svc.uuid);
    await ask('deleteApplication', app.uuid);
    assert.deepStrictEqual(await ask('listServices', { name: 'web' }), []);
    await assert.rejects(ask('getConfig', inst.uuid), { statusCode: 404 });
});

test('manifests are made, listed, found in configs, and removed', async () => {
    const manifest = await ask('createManifest',
        { name: 'motd', path: '/etc/motd', template: 'é {{a}}', post_cmd: 'true' });
    assert.deepStrictEqual(await ask('getManifest', manifest.uuid), manifest);
    assert.deepStrictEqual(await ask('listManifests'), [manifest]);
    await ask('updateInstance', instance.uuid,
        { manifests: { motd: manifest.uuid } });
    const config = await ask('getConfig', instance.uuid);
    assert.deepStrictEqual(config.manifests, [manifest]);
    await ask('updateInstance', instance.uuid,
        { action: 'delete', manifests: { motd: '' } });
    await ask('deleteManifest', manifest.uuid);
    await assert.rejects(ask('getManifest', manifest.uuid), { statusCode: 404 });
    await assert.rejects(
        ask('updateInstance', instance.uuid, { manifests: 'motd' }));
    await assert.rejects(
        ask('createService', 'x', sdc.uuid, { manifests: { a: UNKNOWN } }),
        { statusCode: 404 });
});

test('the ETag follows SAPI\'s rule, goes without quotes, and is honoured', async () => {
    await ask('updateService', service.uuid, { metadata: {
        odd: { nested: [1, 2.5, 1e21, { deep: 'ü "quoted"' }], flag: false },
        nothing: null,
        '\ufb01': 'after', '\u{1f600}': 'before' } });
    const path = `/configs/${instance.uuid}`;
    const got = curl(path);
    assert.strictEqual(got.status, 200);
    assert.strictEqual(got.headers.etag, etagOf(JSON.parse(got.body)));
    assert.match(got.headers.etag, /^[0-9a-f]{40}$/);
    assert.ok(!('user-script' in JSON.parse(got.body).metadata));
    const same = curl(path, '-H', `If-None-Match: ${got.headers.etag}`);
    assert.deepStrictEqual([same.status, same.body], [304, '']);
    assert.strictEqual(same.headers.etag, got.headers.etag);
    const quoted = curl(path, '-H', `If-None-Match: "${got.headers.etag}"`);
    assert.strictEqual(quoted.status, 200);
    await ask('updateService', service.uuid,
        { action: 'delete', metadata: { nothing: '' } });
    assert.strictEqual(curl(path).headers.etag, got.headers.etag);
    await ask('updateService', service.uuid,
        { action: 'delete', metadata: { odd: '' } });
    assert.notStrictEqual(curl(path).headers.etag, got.headers.etag);
    const twice = await call(sapi, 'getConfig', instance.uuid,
        { headers: { 'if-none-match': curl(path).headers.etag } });
    assert.strictEqual(twice[twice.length - 1].statusCode, 304);
});

test('a client of version 1 sees no agents and no types', async () => {
    const agent = await ask('createService', 'vm-agent', sdc.uuid,
        { type: 'agent' });
    const inst = await ask('createInstance', agent.uuid, {});
    assert.strictEqual(inst.type, 'agent');
    const names = (list) => list.map((one) => one.name).sort();
    assert.deepStrictEqual(
        names(await ask('listServices', {})), ['imgapi', 'vm-agent']);
    assert.deepStrictEqual(
        names(await ask('listServices', { type: 'agent' })), ['vm-agent']);
    const old = first(await call(oldSapi, 'listServices', {}));
    assert.deepStrictEqual(names(old), ['imgapi']);
    assert.ok(!('type' in old[0]));
    const instances = first(await call(oldSapi, 'listInstances', {}));
    assert.deepStrictEqual(instances.map((one) => one.uuid), [instance.uuid]);
    await ask('deleteInstance', inst.uuid);
    await ask('deleteService', agent.uuid);
});

test('the mode, the ping, and errors', async () => {
    assert.strictEqual(await ask('getMode'), 'full');
    await ask('setMode', 'full');
    await assert.rejects(ask('setMode', 'proto'), { statusCode: 409 });
    const ping = JSON.parse(curl('/ping').body);
    assert.deepStrictEqual(ping, { mode: 'full',
        storType: 'MorayLocalStorage', storAvailable: true });
    const missing = curl('/services', '-X', 'POST',
        '-H', 'content-type: application/json', '-d', '{"name":"x"}');
    assert.strictEqual(missing.status, 409);
    assert.deepStrictEqual(JSON.parse(missing.body), { code: 'MissingParameter',
        message: 'missing required keys: application_uuid' });
    const unknown = curl(`/services/${UNKNOWN}`);
    assert.deepStrictEqual([unknown.status, JSON.parse(unknown.body).code],
        [404, 'ResourceNotFound']);
    await assert.rejects(
        ask('updateService', UNKNOWN, { metadata: {} }), { statusCode: 500 });
    await assert.rejects(
        ask('updateService', service.uuid, { action: 'mend' }),
        { statusCode: 409 });
    assert.strictEqual(
        curl(`/services/${UNKNOWN}`, '-X', 'DELETE').status, 404);
});

test('coal says so when the config-agent ends', async () => {
    const whole = await coal.start({ imgapi: true, args: ['--manta', 'none'] });
    try {
        const log = path.join(path.dirname(whole.datacenter.config_file), 'log', 'config-agent.log');
        // The first agent has rendered and ended; the second one continues to run.
        const pid = await coal.waitFor('the agent', () => {
            const lines = fs.readFileSync(log, 'utf8').split('\n').filter(Boolean);
            const stays = lines.map((line) => JSON.parse(line)).find((record) => record.msg.startsWith('keeping files'));
            return stays && stays.pid;
        });
        process.kill(pid, 'SIGKILL');
        assert.strictEqual(await whole.exited, 1);
        assert.match(whole.output, /config-agent ended: .*SIGKILL/);
    } finally {
        await whole.stop();
    }
});
