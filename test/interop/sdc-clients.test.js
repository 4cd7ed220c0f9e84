/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The life of an image, with the client of CloudAPI and most of Triton.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { activeImage, digestsOf, imgapiClient, manifest, writeGzip } = require('./lib/images');

const LARGE = 256 << 20;
const SMALL = 3 << 20;
const ABSENT = '00000000-0000-4000-8000-000000000000';

let running;
let client;
let vader;
let luke;

before(async () => {
    // The files are on disk, because some tests look at them there.
    running = await coal.start({ imgapi: true, args: ['--manta', 'none'] });
    client = imgapiClient(running);
    vader = running.account('imgapitestvader');
    luke = running.account('imgapitestluke');
});

after(async () => {
    if (running) {
        client.close();
        await running.stop();
    }
});

function temporary(name) {
    return path.join(running.directory, name);
}

/* Calls a method and checks status and code of the expected error. Resolves to the error. */
async function refused(status, code, method, ...args) {
    const err = await call(client, method, ...args).then(
        () => assert.fail(`${method} succeeded`), (error) => error);
    assert.strictEqual(err.statusCode, status, `${err.stack} ${JSON.stringify(err.body)}`);
    assert.strictEqual(err.body.code, code);
    assert.strictEqual(typeof err.body.message, 'string');
    return err;
}

async function listed(filters) {
    const [images] = await call(client, 'listImages', filters);
    return images.map((image) => image.uuid);
}

/* Returns all files of IMGAPI, without its lock. */
function storedFiles() {
    const top = running.datacenter.local_dir;
    return fs.readdirSync(top, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(top, path.join(entry.parentPath ?? entry.path, entry.name)))
        .filter((name) => name !== 'imgapi.lock')
        .sort();
}

/* Returns the path of an archived manifest. */
function archived(uuid) {
    return path.join('archive', uuid.slice(0, 3), `${uuid}.json`);
}

test('ping says who answers', async () => {
    const [pong, res] = await call(client, 'ping');
    assert.strictEqual(pong.ping, 'pong');
    assert.strictEqual(pong.imgapi, true);
    assert.match(pong.version, /^\d+\.\d+\.\d+/);
    assert.strictEqual(res.statusCode, 200);
    await refused(503, 'StorageIsDown', 'ping', 'StorageIsDown');
});

test('the whole life of a large private image', async (t) => {
    const file = temporary('large.gz');
    const written = await writeGzip(file, LARGE);
    assert.ok(written.size >= LARGE);
    let uuid;

    await t.test('create', async () => {
        const [image] = await call(client, 'createImage',
            manifest(vader, { tags: { role: 'os', cores: 4 }, description: 'naïve ☃' }), vader);
        uuid = image.uuid;
        assert.match(uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        assert.strictEqual(image.state, 'unactivated');
        assert.strictEqual(image.owner, vader);
        assert.deepStrictEqual(image.files, []);
        assert.strictEqual(image.description, 'naïve ☃');
        assert.deepStrictEqual(image.tags, { role: 'os', cores: 4 });
        await refused(422, 'NoActivationNoFile', 'activateImage', uuid, vader);
        await refused(404, 'ResourceNotFound', 'getImageFile', uuid, temporary('none'), vader);
    });

    await t.test('upload with a SHA-1 and a size', async () => {
        const before = process.memoryUsage().rss;
        const [image] = await call(client, 'addImageFile',
            { uuid, compression: 'gzip', file, sha1: written.sha1, size: written.size }, vader);
        assert.deepStrictEqual(image.files,
            [{ sha1: written.sha1, size: written.size, compression: 'gzip' }]);
        assert.ok(process.memoryUsage().rss - before < LARGE / 2, 'the client streamed');
    });

    await t.test('activate, once', async () => {
        assert.deepStrictEqual(await listed({ account: vader, state: 'unactivated' }), [uuid]);
        const [image] = await call(client, 'activateImage', uuid, vader);
        assert.strictEqual(image.state, 'active');
        assert.ok(Math.abs(Date.now() - Date.parse(image.published_at)) < 3600 * 1000);
        await refused(422, 'ImageAlreadyActivated', 'activateImage', uuid, vader);
        await refused(422, 'ImageFilesImmutable', 'addImageFile',
            { uuid, compression: 'gzip', file: Readable.from(['x']), size: 1 }, vader);
    });

    await t.test('only the owner and operators see it', async () => {
        assert.deepStrictEqual(await listed({ account: vader }), [uuid]);
        assert.deepStrictEqual(await listed({}), [uuid]);
        assert.deepStrictEqual(await listed({ account: luke }), []);
        const err = await refused(404, 'ResourceNotFound', 'getImage', uuid, luke);
        assert.strictEqual(err.restCode, 'ResourceNotFound');
        assert.strictEqual(err.name, 'ResourceNotFoundError');
        await refused(404, 'ResourceNotFound', 'getImageFile', uuid, temporary('none'), luke);
        await refused(404, 'ResourceNotFound', 'deleteImage', uuid, luke);
    });

    await t.test('download to a file, which checks Content-MD5', async () => {
        const copy = temporary('copy.gz');
        const res = await call(client, 'getImageFile', uuid, copy, vader);
        assert.strictEqual(res.headers['content-md5'], written.md5);
        assert.strictEqual(res.headers['content-length'], String(written.size));
        assert.deepStrictEqual(await digestsOf(fs.createReadStream(copy)), written);
        fs.rmSync(copy);
    });

    await t.test('download as a stream', async () => {
        const stream = await call(client, 'getImageFileStream', uuid, vader);
        assert.deepStrictEqual(await digestsOf(stream), written);
    });

    await t.test('delete', async () => {
        assert.strictEqual(storedFiles().length, 2);
        await call(client, 'deleteImage', uuid, vader);
        await refused(404, 'ResourceNotFound', 'getImage', uuid);
        await refused(404, 'ResourceNotFound', 'deleteImage', uuid, vader);
        // The archived manifest remains after the image is deleted.
        assert.deepStrictEqual(storedFiles(), [archived(uuid)]);
    });
    fs.rmSync(file);
});

test('a public image belongs to its owner and is seen by all', async () => {
    const file = temporary('small.gz');
    const written = await writeGzip(file, SMALL);
    const [{ uuid }] = await call(client, 'createImage', manifest(vader, { public: true }), vader);
    assert.deepStrictEqual(await listed({ account: luke }), [], 'not before it is activated');
    // Without a size, the client sends a chunked body.
    const [added] = await call(client, 'addImageFile',
        { uuid, compression: 'gzip', file: fs.createReadStream(file) }, vader);
    assert.strictEqual(added.files[0].sha1, written.sha1);
    assert.strictEqual(added.files[0].size, written.size);
    await call(client, 'activateImage', uuid, vader);

    assert.deepStrictEqual(await listed({ account: luke }), [uuid]);
    const [image] = await call(client, 'getImage', uuid, luke);
    assert.strictEqual(image.public, true);
    const copy = temporary('copy.gz');
    await call(client, 'getImageFile', uuid, copy, luke);
    assert.deepStrictEqual(await digestsOf(fs.createReadStream(copy)), written);
    for (const method of ['deleteImage', 'activateImage']) {
        await refused(422, 'NotImageOwner', method, uuid, luke);
    }
    await call(client, 'deleteImage', uuid, vader);
});

test('a private image is seen by the accounts of its ACL', async () => {
    const { uuid } = await activeImage(client, manifest(vader, { acl: [luke] }));
    assert.deepStrictEqual(await listed({ account: luke }), [uuid]);
    const [image] = await call(client, 'getImage', uuid, luke);
    assert.deepStrictEqual(image.acl, [luke]);
    assert.deepStrictEqual(await listed({ account: running.account('imgapitestemperor') }), []);
    await refused(422, 'NotImageOwner', 'deleteImage', uuid, luke);
    await call(client, 'deleteImage', uuid, vader);
});

test('an image that others are made of stays', async () => {
    const origin = await activeImage(client, manifest(vader));
    const child = await activeImage(client, manifest(vader, { origin: origin.uuid }));
    assert.strictEqual(child.origin, origin.uuid);
    const err = await refused(422, 'ImageHasDependentImages', 'deleteImage', origin.uuid, vader);
    assert.ok(err.body.message.includes(child.uuid), err.body.message);
    await call(client, 'deleteImage', child.uuid, vader);
    await call(client, 'deleteImage', origin.uuid, vader);
});

test('a file that is not what was announced is not kept', async () => {
    const [{ uuid }] = await call(client, 'createImage', manifest(vader), vader);
    const content = crypto.randomBytes(SMALL);
    const upload = (more) => ({
        uuid, compression: 'gzip', file: Readable.from([content]), size: content.length, ...more
    });
    const before = storedFiles();
    await refused(400, 'Download', 'addImageFile', upload({ sha1: '0'.repeat(40) }), vader);
    await refused(400, 'Download', 'addImageFile',
        { uuid, compression: 'gzip', file: Readable.from([]) }, vader);
    const err = await refused(422, 'InvalidParameter', 'addImageFile',
        upload({ compression: 'lzma' }), vader);
    assert.strictEqual(err.statusCode, 422);
    const [image] = await call(client, 'getImage', uuid, vader);
    assert.deepStrictEqual(image.files, []);
    assert.deepStrictEqual(storedFiles(), before);
    await call(client, 'deleteImage', uuid, vader);
});

test('errors carry what CloudAPI hands on to its users', async () => {
    const err = await refused(422, 'ValidationFailed', 'createImage',
        { owner: vader, name: 'x', type: 'floppy', os: 'smartos', public: 'maybe' });
    assert.strictEqual(err.restCode, 'ValidationFailed');
    assert.strictEqual(err.name, 'ValidationFailedError');
    const fields = Object.fromEntries(err.body.errors.map((e) => [e.field, e.code]));
    assert.deepStrictEqual(fields,
        { version: 'MissingParameter', type: 'Invalid', public: 'Invalid' });
    await refused(422, 'OwnerDoesNotExist', 'createImage', manifest(ABSENT));
    await refused(422, 'OriginDoesNotExist', 'createImage', manifest(vader, { origin: ABSENT }));
    await refused(404, 'ResourceNotFound', 'getImage', ABSENT);
    const action = await refused(422, 'InvalidParameter', 'listImages', { state: 'odd' });
    assert.strictEqual(action.body.errors[0].field, 'state');
});

test('conditions are kept', async () => {
    const { uuid } = await activeImage(client, manifest(vader));
    const [, got] = await call(client, 'getImage', uuid, vader, {});
    const { etag } = got.headers;
    const conditional = (name, value) => ({ headers: { [name]: value } });
    const [, same] = await call(client, 'getImage', uuid, vader, conditional('if-none-match', etag));
    assert.strictEqual(same.statusCode, 304);
    await refused(412, 'PreconditionFailed', 'activateImage', uuid, vader,
        conditional('if-match', '"other"'));
    // With the right etag, the image itself is the reason for the error.
    await refused(422, 'ImageAlreadyActivated', 'activateImage', uuid, vader,
        conditional('if-match', etag));
    await call(client, 'deleteImage', uuid, vader);
});

test('a request id and a version are honoured', async () => {
    const id = crypto.randomUUID();
    const [, res] = await call(client, 'listImages', {}, { headers: { 'x-request-id': id } });
    assert.strictEqual(res.headers['x-request-id'], id);
    const old = imgapiClient(running, { version: '~9' });
    const err = await call(old, 'listImages').then(() => assert.fail('listed'), (error) => error);
    assert.strictEqual(err.statusCode, 400);
    assert.strictEqual(err.body.code, 'InvalidVersion');
    old.close();
});

test('nothing is left', async () => {
    assert.deepStrictEqual(await listed({ state: 'all' }), []);
});
