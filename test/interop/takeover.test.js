/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * An upgrade and the way back: records of 4.13.1 are served, and after every kind of change all stored data are valid for the
 * library with which 4.13.1 validates records.
 */

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const imgmanifest = require('imgmanifest');

const coal = require('./lib/coal');
const { call, collect } = require('./lib/call');
const { BUCKET, morayClient } = require('./lib/images');
const { startImgapi } = require('./lib/imgapi');

const RECORDS = fs.readFileSync(
    path.join(__dirname, '..', 'data', 'manifest', 'moray-imgapi_images.jsonl'), 'utf8').trim().split('\n').map(JSON.parse);
/* Members of a record that 4.13.1 does not pass to its validator, or converts before. */
const STORED_ONLY = ['tagsObj', 'objectclass', 'icon', 'tags'];
/* Members that only we use. 4.13.1 keeps and ignores them. */
const OURS = ['write_fence', 'renamed_from'];
/* Members that are hidden when they are empty. A text has as many keys as characters. */
const EMPTY_UNSEEN = ['acl', 'billing_tags', 'traits', 'description', 'homepage', 'eula', 'urn', 'origin'];
const PNG = Buffer.from('icon');

let running;
let moray;
let bucketBefore;

before(async () => {
    running = await coal.start({ imgapi: true, args: ['--manta', 'none'] });
    moray = await morayClient(running);
    bucketBefore = await call(moray, 'getBucket', BUCKET);
    for (const record of RECORDS) {
        await call(moray, 'putObject', BUCKET, record.uuid, record);
    }
});

after(async () => {
    if (moray) {
        moray.close();
    }
    if (running) {
        await running.stop();
    }
});

/* Converts a stored record as 4.13.1 does before it validates it. */
function loaded(record) {
    const known = new Set(imgmanifest.fields.map((field) => field.name).concat(['urn', 'expires_at']));
    const manifest = {};
    for (const [name, value] of Object.entries(record)) {
        if (known.has(name) && !STORED_ONLY.includes(name)) {
            manifest[name] = value;
        }
    }
    for (const name of ['public', 'disabled', 'activated']) {
        if (record[name] !== undefined) {
            manifest[name] = record[name] === true || record[name] === 'true';
        }
    }
    for (const name of ['acl', 'billing_tags']) {
        if (typeof record[name] === 'string') {
            manifest[name] = [record[name]];
        }
    }
    if (record.tagsObj) {
        manifest.tags = record.tagsObj;
    } else if (record.tags) {
        const pair = (tag) => [tag.slice(0, tag.indexOf('=')), tag.slice(tag.indexOf('=') + 1)];
        manifest.tags = Object.fromEntries(record.tags.map(pair));
    }
    if (record.icon) {
        manifest.icon = true;
    }
    return manifest;
}

function assertValid(record) {
    const manifest = loaded(record);
    for (const name of ['urn', 'expires_at']) {
        delete manifest[name];
    }
    const problems = record.state === 'creating' ?
        imgmanifest.validateMinimalManifest(manifest) : imgmanifest.validateDcManifest(manifest);
    assert.strictEqual(problems, null, JSON.stringify({ problems, record }));
    for (const entry of (record.files || []).concat(record.icon || [])) {
        assert.match(entry.sha1, /^[0-9a-f]{40}$/);
        assert.ok(entry.size > 0 && ['local', 'manta'].includes(entry.stor), JSON.stringify(entry));
    }
    if (record.tagsObj) {
        assert.ok(record.tags.every((tag) => tag.includes('=')), JSON.stringify(record.tags));
        assert.deepStrictEqual(record.tags.map((tag) => tag.slice(0, tag.indexOf('='))), Object.keys(record.tagsObj));
    }
    const members = imgmanifest.fields.map((field) => field.name);
    const known = new Set([...members, 'tagsObj', 'objectclass', 'urn', 'expires_at', ...OURS]);
    for (const name of Object.keys(record)) {
        assert.ok(known.has(name), name);
    }
}

function stored(uuid) {
    return call(moray, 'getObject', BUCKET, uuid, { noCache: true }).then((object) => object.value);
}

/* Returns the image that a search in the indexed columns finds. 4.13.1 lists images by these columns. */
function found(filter) {
    return collect(moray.findObjects(BUCKET, filter, { noLimit: true }), 'record');
}

async function request(method, target, body, type = 'application/json', url = running.datacenter.imgapi) {
    const answer = await fetch(`${url}${target}`, {
        method, headers: body === undefined ? {} : { 'content-type': type },
        body: body !== undefined && type === 'application/json' ? JSON.stringify(body) : body
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${target}: ${answer.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
}

test('what 4.13.1 left is shown as 4.13.1 shows it', async () => {
    for (const record of RECORDS) {
        assertValid(record);
        const image = await request('GET', `/images/${record.uuid}?inclAdminFields=true`);
        const { files, ...rest } = loaded(record);
        delete rest.activated;
        delete rest.expires_at;
        for (const [name, value] of Object.entries(rest)) {
            const isNothing = (EMPTY_UNSEEN.includes(name) && Object.keys(value).length === 0) ||
                (name === 'generate_passwords' && !value);
            assert.deepStrictEqual(image[name], isNothing ? undefined : value, `${record.uuid} ${name}`);
        }
        const shown = (files || []).map(({ sha1, size, compression, stor }) => ({ sha1, size, compression, stor }));
        const entries = (image.files || []).map(({ sha1, size, compression, stor }) => ({ sha1, size, compression, stor }));
        assert.deepStrictEqual(entries, shown);
    }
    const uuids = RECORDS.map((record) => record.uuid).sort();
    // Reads are at most one second behind the writes of others.
    await coal.waitFor('the list', async () => {
        const listed = await request('GET', '/images?state=all');
        return JSON.stringify(listed.map((image) => image.uuid).sort()) === JSON.stringify(uuids);
    });
});

test('after every kind of change 4.13.1 finds what it can use', async () => {
    const [luke, vader] = [running.account('imgapitestluke'), running.account('imgapitestvader')];
    const body = { name: 'back', version: '1', type: 'zone-dataset', os: 'smartos', owner: luke, v: 2,
        tags: { role: 'db', n: 4, on: true }, requirements: { networks: [{ name: 'net0', description: 'admin' }] } };
    const created = await request('POST', `/images?account=${luke}`, { ...body, owner: undefined });
    const { uuid } = created;
    const check = async (changes) => {
        const record = await stored(uuid);
        assertValid(record);
        for (const [name, value] of Object.entries(changes)) {
            assert.deepStrictEqual(record[name], value, name);
        }
        return record;
    };
    await check({ state: 'unactivated', activated: false, acl: [], tags: ['role=db', 'n=4', 'on=true'] });
    const bytes = 'application/octet-stream';
    await request('PUT', `/images/${uuid}/file?compression=none`, 'bytes', bytes);
    await check({});
    await request('PUT', `/images/${uuid}/icon`, PNG, 'image/png');
    await check({});
    await request('POST', `/images/${uuid}?action=activate`);
    await check({ state: 'active', activated: true });
    await request('POST', `/images/${uuid}?action=disable`);
    await check({ state: 'disabled', disabled: true });
    await request('POST', `/images/${uuid}?action=enable`);
    await request('POST', `/images/${uuid}/acl?action=add`, [vader]);
    await check({ acl: [vader], disabled: false });
    await request('POST', `/images/${uuid}/acl?action=remove`, [vader]);
    await request('POST', `/images/${uuid}?action=update`, { description: 'new', tags: { role: 'web' }, public: true });
    await check({ acl: [], tags: ['role=web'], tagsObj: { role: 'web' }, public: true });
    // 4.13.1 searches in the columns.
    const filter = `(&(owner=${luke})(name=back)(tags=role=web)(public=true)(state=active)(activated=true))`;
    assert.deepStrictEqual((await found(filter)).map((row) => row.key), [uuid]);
    await request('DELETE', `/images/${uuid}/icon`);
    assert.ok(!('icon' in await check({})));

    const imported = { ...loaded(RECORDS[1]), uuid: 'a6a07f4c-1111-4111-8111-111111111111', owner: vader };
    for (const name of ['state', 'activated', 'disabled', 'files', 'urn', 'origin']) {
        delete imported[name];
    }
    await request('POST', `/images/${imported.uuid}?action=import&skip_owner_check=true`, imported);
    assertValid(await stored(imported.uuid));
    await request('POST', `/images/${uuid}?action=update`, { acl: [vader], public: false });
    const clone = await request('POST', `/images/${uuid}/clone?account=${vader}`);
    assertValid(await stored(clone.uuid));
    const old = RECORDS.find((record) => typeof record.acl === 'string');
    await request('POST', `/images/${old.uuid}?action=update`, { description: 'changed by the new one' });
    assertValid(await stored(old.uuid));
    await request('DELETE', `/images/${clone.uuid}`);

    for (const row of await found('(uuid=*)')) {
        assertValid(row.value);
    }
    // The archive has the format that 4.13.1 reads and writes: the API form with two spaces.
    const archived = fs.readFileSync(
        path.join(running.datacenter.local_dir, 'archive', uuid.slice(0, 3), `${uuid}.json`), 'utf8');
    assert.strictEqual(archived, JSON.stringify(JSON.parse(archived), null, 2));
    assert.deepStrictEqual(Object.keys(JSON.parse(archived)), Object.keys(
        await request('GET', `/images/${uuid}`)).filter((name) => name !== 'channels'));
    const file = path.join(running.datacenter.local_dir, 'images', uuid.slice(0, 3), uuid, 'file0');
    assert.strictEqual(fs.readFileSync(file, 'utf8'), 'bytes');
});

test('the bucket is as it was', async () => {
    const bucket = await call(moray, 'getBucket', BUCKET);
    for (const name of ['index', 'options', 'pre', 'post']) {
        assert.deepStrictEqual(bucket[name], bucketBefore[name], name);
    }
    const columns = ['uuid', 'urn', 'name', 'version', 'owner', 'origin', 'state', 'os', 'type', 'expires_at', 'published_at',
        'tags', 'billing_tags', 'acl', 'activated', 'disabled', 'public'];
    assert.deepStrictEqual(Object.keys(bucket.index).sort(), columns.sort());
});

test('a standalone server with channels goes the same way', async () => {
    const base = path.join(running.directory, 'taken-over');
    fs.cpSync(path.join(__dirname, '..', 'data', 'takeover', 'standalone-channels'), base, { recursive: true });
    const channels = [{ name: 'dev', description: 'd', default: true }, { name: 'staging', description: 's' }, { name: 'release', description: 'r' }];
    const names = Object.fromEntries(channels.map((channel) => [channel.name, channel]));
    const assertRaw = (uuid) => {
        const text = fs.readFileSync(path.join(base, 'manifests', `${uuid}.raw`), 'utf8');
        const record = JSON.parse(text);
        assert.strictEqual(text, JSON.stringify(record, null, 2));
        assert.strictEqual(record.uuid, uuid);
        assert.strictEqual(imgmanifest.validatePublicManifest(loaded(record), { channelFromName: names }), null, text);
    };
    const server = await startImgapi(
        running, { mode: 'public', databaseType: 'local', channels }, { IMGAPI_LOCAL_BASE_DIR: base });
    try {
        const ask = (method, target, body, type) => request(method, target, body, type, server.url);
        const unactivated = '107358ee-7fe3-4f1e-a892-56d4b43b57f6';
        await ask('PUT', `/images/${unactivated}/file?compression=none`, 'bytes', 'application/octet-stream');
        assertRaw(unactivated);
        await ask('POST', `/images/${unactivated}?action=activate`);
        await ask('POST', `/images/${unactivated}?action=channel-add`, { channel: 'staging' });
        assertRaw(unactivated);
        const active = '8ba6d20f-6013-f944-9d69-929ebdef45a2';
        await ask('POST', `/images/${active}?action=update`, { tags: { role: 'db' }, description: 'taken over' });
        assertRaw(active);
        const body = { v: 2, name: 'new', version: '1', type: 'other', os: 'other', public: true,
            owner: '639e90cd-71ec-c449-bc7a-2446651cce7c' };
        const created = await ask('POST', '/images?channel=release', body);
        assertRaw(created.uuid);
    } finally {
        assert.strictEqual(await server.stop(), 0);
    }
});
