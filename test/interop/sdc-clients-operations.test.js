/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The operations on an existing image, with the client of CloudAPI and the imgapi commands.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { startImgapi } = require('./lib/imgapi');
const { activeImage, digestsOf, imgapiClient, manifest } = require('./lib/images');

const NOBODY = '00000000-0000-0000-0000-000000000000';
const ICON = Buffer.from('icon');

let running;
let client;
let admin;
let vader;
let luke;

before(async () => {
    running = await coal.start({ imgapi: true });
    client = imgapiClient(running);
    admin = running.datacenter.admin_uuid;
    vader = running.account('imgapitestvader');
    luke = running.account('imgapitestluke');
});

after(async () => {
    client?.close();
    await running?.stop();
});

async function refused(status, code, method, ...args) {
    const err = await call(client, method, ...args).then(
        () => assert.fail(`${method} succeeded`), (error) => error);
    assert.strictEqual(err.statusCode, status, `${err.stack} ${JSON.stringify(err.body)}`);
    assert.strictEqual(err.body.code, code);
    return err;
}

function sha1(bytes) {
    return crypto.createHash('sha1').update(bytes).digest('hex');
}

test('the flow of the command line: create, add file, activate, update, share, clone, delete', async () => {
    const file = path.join(running.directory, 'a.zfs');
    const bytes = crypto.randomBytes(1 << 20);
    fs.writeFileSync(file, bytes);
    const [{ uuid }] = await call(client, 'createImage', manifest(luke));
    await call(client, 'addImageFile', { uuid, compression: 'none', file, sha1: sha1(bytes) });
    await call(client, 'activateImage', uuid);
    const [updated, res] = await call(client, 'updateImage', uuid,
        { version: '1.1.0', tags: { str: 'bar', num: 42, bool: true, bool2: false } }, luke);
    assert.strictEqual(updated.version, '1.1.0');
    assert.deepStrictEqual(updated.tags, { str: 'bar', num: 42, bool: true, bool2: false });
    const { etag } = res.headers;
    await refused(412, 'PreconditionFailed', 'updateImage', uuid, { version: '1.2.0' }, luke,
        { headers: { 'If-Match': 'abcdef' } });
    const [again] = await call(client, 'updateImage', uuid, { version: '1.2.0' }, luke,
        { headers: { 'If-Match': etag } });
    assert.strictEqual(again.version, '1.2.0');
    await refused(422, 'ValidationFailed', 'updateImage', uuid, { state: 'failed' }, luke);

    await refused(404, 'ResourceNotFound', 'cloneImage', uuid, vader);
    await call(client, 'addImageAcl', uuid, [vader], luke);
    const [clone] = await call(client, 'cloneImage', uuid, vader);
    assert.notStrictEqual(clone.uuid, uuid);
    assert.strictEqual(clone.owner, vader);
    const stream = await call(client, 'getImageFileStream', clone.uuid, vader);
    assert.strictEqual((await digestsOf(stream)).sha1, sha1(bytes));
    await refused(422, 'ImageNotShared', 'cloneImage', uuid, luke);
    await refused(422, 'ImageNotShared', 'cloneImage', clone.uuid, vader);

    await call(client, 'deleteImage', uuid, luke);
    await call(client, 'getImage', clone.uuid, vader);
    await call(client, 'deleteImage', clone.uuid, vader);
    await refused(404, 'ResourceNotFound', 'getImage', clone.uuid, vader);
});

test('an image is disabled and enabled', async () => {
    const { uuid } = await activeImage(client, manifest(luke));
    const [disabled] = await call(client, 'disableImage', uuid, luke);
    assert.deepStrictEqual([disabled.disabled, disabled.state], [true, 'disabled']);
    const [enabled] = await call(client, 'enableImage', uuid, luke);
    assert.deepStrictEqual([enabled.disabled, enabled.state], [false, 'active']);
    await refused(404, 'ResourceNotFound', 'disableImage', uuid, vader);
});

test('an ACL has accounts added and removed', async () => {
    const { uuid } = await activeImage(client, manifest(luke));
    const [added] = await call(client, 'addImageAcl', uuid, [luke, vader], luke);
    assert.deepStrictEqual(added.acl, [luke, vader]);
    await call(client, 'getImage', uuid, vader);
    const [removed] = await call(client, 'removeImageAcl', uuid, [luke, vader], luke);
    assert.strictEqual(removed.acl, undefined);
    await refused(404, 'ResourceNotFound', 'getImage', uuid, vader);
});

test('an icon comes from a file or a stream and goes to either', async () => {
    const { uuid } = await activeImage(client, manifest(luke, { public: true }));
    const file = path.join(running.directory, 'icon.png');
    fs.writeFileSync(file, ICON);
    const [added] = await call(client, 'addImageIcon',
        { uuid, contentType: 'image/png', file, sha1: sha1(ICON) }, luke);
    assert.strictEqual(added.icon, true);
    const copy = path.join(running.directory, 'copy.png');
    await call(client, 'getImageIcon', uuid, copy, vader);
    assert.deepStrictEqual(fs.readFileSync(copy), ICON);

    const other = crypto.randomBytes(33220);
    await call(client, 'addImageIcon',
        { uuid, contentType: 'image/jpeg', file: Readable.from([other]), size: other.length }, luke);
    const stream = await call(client, 'getImageIconStream', uuid, vader);
    assert.strictEqual(stream.headers['content-type'], 'image/jpeg');
    const digests = await digestsOf(stream);
    assert.deepStrictEqual([digests.sha1, digests.md5], [sha1(other), stream.headers['content-md5']]);

    await refused(422, 'NotImageOwner', 'deleteImageIcon', uuid, vader);
    await refused(400, 'Upload', 'addImageIcon', { uuid, contentType: 'image/tiff', file, size: 4 }, luke);
    const [without] = await call(client, 'deleteImageIcon', uuid, luke);
    assert.strictEqual(without.icon, undefined);
    await assert.rejects(call(client, 'getImageIconStream', uuid, vader), { statusCode: 404 });
});

test('a manifest is imported with its UUID', async () => {
    const uuid = crypto.randomUUID();
    const data = { ...manifest(NOBODY), uuid, published_at: '2013-01-01T00:00:00.000Z' };
    const [image] = await call(client, 'adminImportImage', data);
    assert.deepStrictEqual([image.uuid, image.owner, image.state], [uuid, admin, 'unactivated']);
    assert.strictEqual(image.published_at, '2013-01-01T00:00:00.000Z');
    await refused(409, 'ImageUuidAlreadyExists', 'adminImportImage', data);
    const stranger = { ...data, uuid: crypto.randomUUID(), owner: crypto.randomUUID() };
    await refused(422, 'OwnerDoesNotExist', 'adminImportImage', stranger);
    const [skipped] = await call(client, 'adminImportImage', stranger, { skipOwnerCheck: true });
    assert.strictEqual(skipped.owner, stranger.owner);
});

test('a build of a Docker image gives its layer a final UUID', async () => {
    const uuid = crypto.randomUUID();
    const final = crypto.randomUUID();
    const bytes = crypto.randomBytes(1000);
    await call(client, 'adminImportImage',
        { ...manifest(NOBODY), uuid, type: 'docker', os: 'linux' }, { skipOwnerCheck: true });
    const [{ files }] = await call(client, 'addImageFile',
        { uuid, compression: 'none', file: Readable.from([bytes]), size: bytes.length, sha1: sha1(bytes) });
    const digests = { digest: 'sha256:1', uncompressedDigest: 'sha256:2' };
    const [image] = await call(client, 'updateImage', uuid,
        { uuid: final, version: '0123456789ab', tags: { 'docker:id': 'sha256:1' }, files: [{ ...files[0], ...digests }] });
    assert.strictEqual(image.uuid, final);
    const [active] = await call(client, 'activateImage', final);
    assert.strictEqual(active.state, 'active');
    await refused(404, 'ResourceNotFound', 'getImage', uuid);
    const stream = await call(client, 'getImageFileStream', final);
    assert.strictEqual((await digestsOf(stream)).sha1, sha1(bytes));
});

test('operators see the state, and move files between storages', async () => {
    const [state] = await call(client, 'adminGetState');
    assert.deepStrictEqual(state.storageTypes, ['manta', 'local']);
    const { uuid } = await activeImage(client, manifest(luke));
    for (const stor of ['local', 'manta']) {
        const [image] = await call(client, 'adminChangeStor', { uuid, stor });
        assert.strictEqual(image.files[0].stor, stor);
        const stream = await call(client, 'getImageFileStream', uuid);
        assert.strictEqual((await digestsOf(stream)).sha1, image.files[0].sha1);
    }
    await refused(422, 'ValidationFailed', 'adminChangeStor', { uuid, stor: 'tape' });
});

test('an image is exported to the area of its owner', async () => {
    const image = manifest(luke);
    const { uuid } = await activeImage(client, image);
    const directory = '/imgapitestluke/stor';
    const [exported] = await call(client, 'exportImage', uuid, luke, { manta_path: directory });
    assert.strictEqual(exported.manta_url, running.datacenter.manta);
    assert.strictEqual(exported.manifest_path, `${directory}/${image.name}-${image.version}.imgmanifest`);
    const other = { manta_path: '/imgapitestvader/stor' };
    await refused(422, 'NotMantaPathOwner', 'exportImage', uuid, luke, other);
});

test('a standalone server has channels', async () => {
    const channels = [{ name: 'dev', description: 'd', default: true }, { name: 'release', description: 'r' }];
    const imgapi = await startImgapi(running, { mode: 'public', channels });
    const clients = [
        imgapiClient(running, { url: imgapi.url }),
        imgapiClient(running, { url: imgapi.url, channel: 'release' })
    ];
    const [dev, release] = clients;
    try {
        const [listed] = await call(dev, 'listChannels', {});
        assert.deepStrictEqual(listed, channels);
        const { uuid } = await activeImage(dev, manifest(NOBODY, { public: true }));
        await assert.rejects(call(release, 'getImage', uuid), { statusCode: 404 });
        const [image] = await call(dev, 'channelAddImage', { uuid, channel: 'release' });
        assert.deepStrictEqual(image.channels, ['dev', 'release']);
        await call(release, 'getImage', uuid);
        const [images] = await call(release, 'listImages', {});
        assert.deepStrictEqual(images.map((found) => found.uuid), [uuid]);
        await call(dev, 'deleteImage', uuid);
        await assert.rejects(call(dev, 'getImage', uuid), { statusCode: 404 });
        await call(release, 'deleteImage', uuid);
        await assert.rejects(call(release, 'getImage', uuid), { statusCode: 404 });
    } finally {
        clients.forEach((open) => open.close());
        await imgapi.stop();
    }
});
