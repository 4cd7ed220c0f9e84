/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The objects that imgapi stores in Manta, read with the client of Triton's services.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const { Readable } = require('node:stream');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { imgapiClient, manifest } = require('./lib/images');
const { createClient, get, ls } = require('./lib/manta');

/* The contents are texts, because the helper reads texts. */
const FILE = crypto.randomBytes(1 << 20).toString('hex');
const ICON = 'icon';
const OCTETS = 'application/octet-stream';

let running;
let client;
let admin;
let luke;
let vader;
let mantas;

before(async () => {
    running = await coal.start({ imgapi: true, args: ['--manta', 'remote'] });
    client = imgapiClient(running);
    admin = running.datacenter.admin_uuid;
    [luke, vader] = ['imgapitestluke', 'imgapitestvader'].map((login) => running.account(login));
    mantas = {
        admin: createClient(running, 'admin'),
        luke: createClient(running, 'imgapitestluke'),
        vader: createClient(running, 'imgapitestvader')
    };
});

after(async () => {
    Object.values(mantas ?? {}).forEach((manta) => manta.close());
    client?.close();
    await running?.stop();
});

function digest(algorithm, encoding, text) {
    return crypto.createHash(algorithm).update(text).digest(encoding);
}

/* Returns the directory of an image. */
function directory(uuid) {
    const { rootDir, user, baseDir } = running.config.manta;
    const root = rootDir ?? `/${user}/stor/${baseDir}/${running.datacenter.name}`;
    return `${root}/images/${uuid.slice(0, 3)}/${uuid}`;
}

/* Creates an image with a file and an icon. */
async function imageOf(owner, more = {}) {
    const [{ uuid }] = await call(client, 'createImage', manifest(owner));
    const file = () => ({ file: Readable.from([Buffer.from(FILE)]), size: FILE.length });
    const [image] = await call(client, 'addImageFile', { uuid, compression: 'none', ...file(), ...more });
    await call(client, 'addImageIcon', {
        uuid, contentType: 'image/png', file: Readable.from([Buffer.from(ICON)]), size: ICON.length, ...more
    });
    return image;
}

async function objects(uuid) {
    const entries = await ls(mantas.admin, directory(uuid));
    return entries.map(({ name, type, size, contentType, contentMD5 }) => (
        { name, type, size, contentType, contentMD5 }));
}

test('the file and the icon of an account are where 4.13.1 looks for them', async () => {
    const { uuid, files } = await imageOf(luke);
    assert.strictEqual(files[0].sha1, digest('sha1', 'hex', FILE));
    const md5 = (text) => digest('md5', 'base64', text);
    assert.deepStrictEqual(await objects(uuid), [
        { name: 'file0', type: 'object', size: FILE.length, contentType: OCTETS, contentMD5: md5(FILE) },
        { name: 'icon', type: 'object', size: ICON.length, contentType: OCTETS, contentMD5: md5(ICON) }
    ]);
    for (const [name, text] of [['file0', FILE], ['icon', ICON]]) {
        const [info] = await call(mantas.admin, 'info', `${directory(uuid)}/${name}`);
        assert.deepStrictEqual([info.size, info.type, info.md5], [text.length, OCTETS, md5(text)]);
        // The client checks the MD5 of what it reads.
        assert.ok((await get(mantas.admin, `${directory(uuid)}/${name}`)).text === text);
    }
    for (const owner of [mantas.luke, mantas.vader]) {
        await assert.rejects(get(owner, `${directory(uuid)}/file0`), { name: 'AuthorizationFailedError' });
    }
    await call(client, 'deleteImage', uuid);
    await assert.rejects(call(mantas.admin, 'info', directory(uuid)), { name: 'NotFoundError' });
});

test('a file that replaces another one leaves nothing else', async () => {
    const { uuid } = await imageOf(luke);
    const text = 'another one';
    await call(client, 'addImageFile', {
        uuid, compression: 'none', file: Readable.from([Buffer.from(text)]), size: text.length
    });
    assert.deepStrictEqual((await objects(uuid)).map(({ name }) => name), ['file0', 'icon']);
    assert.strictEqual((await get(mantas.admin, `${directory(uuid)}/file0`)).text, text);
});

test('an image of the admin is in a remote Manta only if an operator wishes so', async () => {
    const { uuid } = await imageOf(admin);
    await assert.rejects(call(mantas.admin, 'info', directory(uuid)), { name: 'NotFoundError' });
    const wished = await imageOf(admin, { storage: 'manta' });
    assert.ok((await objects(wished.uuid)).some(({ name }) => name === 'file0'));
});

test('an image is exported to an account, which can read it, and another one cannot', async () => {
    const { uuid, name, version } = await imageOf(luke);
    const target = '/imgapitestluke/stor/exports';
    await call(mantas.luke, 'mkdirp', target);
    const [exported] = await call(client, 'exportImage', uuid, luke, { manta_path: target });
    assert.deepStrictEqual(exported, {
        manta_url: running.datacenter.manta,
        image_path: `${target}/${name}-${version}.zfs`,
        manifest_path: `${target}/${name}-${version}.imgmanifest`
    });
    assert.ok((await get(mantas.luke, exported.image_path)).text === FILE);
    const { text, res } = await get(mantas.luke, exported.manifest_path);
    assert.strictEqual(res.headers['content-type'], 'application/json');
    const { uuid: written, owner, files } = JSON.parse(text);
    assert.deepStrictEqual([written, owner, files[0].sha1], [uuid, luke, digest('sha1', 'hex', FILE)]);
    for (const path of [exported.image_path, exported.manifest_path]) {
        await assert.rejects(get(mantas.vader, path), { name: 'AuthorizationFailedError', statusCode: 403 });
    }
    await assert.rejects(call(client, 'exportImage', uuid, vader, { manta_path: target }), { statusCode: 404 });
});
