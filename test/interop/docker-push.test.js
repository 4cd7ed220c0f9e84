/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Docker images are pushed to Debian's docker-registry, and read back by skopeo.
 */

const assert = require('node:assert');
const { execFile, execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { imgapiClient } = require('./lib/images');
const { startImgapi } = require('./lib/imgapi');
const { PASSWORD, REGISTRY_AUTH, USER, startRegistry } = require('./lib/registry');

const ADMIN = '930896af-bf8c-48d4-885c-6573a94b1853';
const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
const OCI = 'application/vnd.oci.image.manifest.v1+json';
const NOBODY = Buffer.from('{}').toString('base64');
const AUTHS = ['none', 'basic', 'token'];

let running;
let imgapi;
let client;
const registries = {};

before(async () => {
    running = await coal.start({ args: ['--manta', 'none'] });
    imgapi = await startImgapi(running, { registryAllow: ['127.0.0.1'] });
    client = imgapiClient(running, { url: imgapi.url });
    for (const auth of AUTHS) {
        registries[auth] = await startRegistry(path.join(running.directory, `registry-${auth}`), auth);
    }
});

after(async () => {
    await Promise.all(Object.values(registries).map((registry) => registry.stop()));
    if (client) {
        client.close();
    }
    if (imgapi) {
        await imgapi.stop();
    }
    if (running) {
        await running.stop();
    }
});

function digestOf(bytes) {
    return `sha256:${crypto.createHash('sha256').update(bytes).digest('hex')}`;
}

/* Returns a tar with one file. */
function tar(name, content) {
    const directory = fs.mkdtempSync(path.join(running.directory, 'layer-'));
    fs.writeFileSync(path.join(directory, name), content);
    return execFileSync('tar', ['-C', directory, '-cf', '-', name], { maxBuffer: 64 << 20 });
}

/* Makes an image with these layers, as Docker does: its JSON has escapes that JSON.stringify does not write. */
function dockerImage(tars) {
    const layers = tars.map((bytes) => zlib.gzipSync(bytes));
    const history = tars.map(() => ({ created: '2026-01-01T00:00:00Z', created_by: '/bin/sh -c a && b' }));
    const image = {
        architecture: 'amd64', os: 'linux', config: { Cmd: ['sh', '-c', 'a && b <c >d'] }, history,
        rootfs: { type: 'layers', diff_ids: tars.map(digestOf) }
    };
    const config = JSON.stringify(image)
        .replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
    const descriptor = (mediaType, bytes) => (
        { mediaType, size: Buffer.byteLength(bytes), digest: digestOf(bytes) });
    const manifest = JSON.stringify({
        schemaVersion: 2,
        mediaType: DOCKER,
        config: descriptor('application/vnd.docker.container.image.v1+json', config),
        layers: layers.map((bytes) => descriptor('application/vnd.docker.image.rootfs.diff.tar.gzip', bytes))
    }, null, 3);
    return { config, layers, manifest };
}

/* Returns what sdc-docker keeps of an image. */
function recordOf({ config, layers, manifest }) {
    return {
        image: JSON.parse(config), config_digest: digestOf(config), manifest_str: manifest,
        image_uuid: uuidOf(layers.map(digestOf))
    };
}

/* Returns the UUID of the image of the top layer. */
function uuidOf(digests) {
    const hex = digestOf(digests.join(' ')).slice(7);
    return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([from, to]) => hex.slice(from, to)).join('-');
}

/* Stores the layers as images. */
async function store(layers) {
    const digests = layers.map(digestOf);
    let origin;
    for (const [index, bytes] of layers.entries()) {
        const uuid = uuidOf(digests.slice(0, index + 1));
        const manifest = {
            v: 2, uuid, owner: ADMIN, name: 'docker-layer', version: digests[index].slice(7, 19), type: 'docker',
            os: 'linux', published_at: '2026-01-01T00:00:00.000Z', ...(origin && { origin })
        };
        await call(client, 'adminImportImage', manifest, {});
        await call(client, 'addImageFile', {
            uuid, compression: 'gzip', file: Readable.from([bytes]), size: bytes.length
        });
        await call(client, 'activateImage', uuid);
        origin = uuid;
    }
}

/* Pushes an image. Resolves to the messages. */
async function push(image, repoAndTag, regAuth = REGISTRY_AUTH) {
    const res = await call(client, 'adminPushDockerImage', { image: recordOf(image), repoAndTag, regAuth });
    let text = '';
    for await (const chunk of res) {
        text += chunk;
    }
    assert.strictEqual(res.headers['content-type'], undefined);
    return text.split('\r\n').slice(0, -1).map((line) => JSON.parse(line));
}

/* Reads an image from a registry by skopeo, which verifies the digests. Checks that it is the one that was pushed. */
async function readBack(image, registry, tag) {
    const directory = path.join(running.directory, `copy-${registry.auth}-${tag}`);
    // The token server is in this process, and must answer meanwhile.
    await promisify(execFile)('skopeo',
        ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', '--src-creds', `${USER}:${PASSWORD}`,
            `docker://${registry.address}/joe/box:${tag}`, `dir:${directory}`]);
    assert.strictEqual(fs.readFileSync(path.join(directory, 'manifest.json'), 'utf8'), image.manifest);
    for (const bytes of [image.config, ...image.layers]) {
        const file = path.join(directory, digestOf(bytes).slice(7));
        assert.ok(fs.readFileSync(file).equals(Buffer.from(bytes)), file);
    }
}

for (const auth of AUTHS) {
    test(`an image is pushed to a registry with authentication ${auth}, and read back`, async () => {
        const registry = registries[auth];
        const image = dockerImage([tar('base', auth), tar('large', crypto.randomBytes(3 << 20)), tar('top', auth)]);
        await store(image.layers);
        const told = await push(image, `${registry.address}/joe/box:1`);
        const digest = digestOf(image.manifest);
        assert.deepStrictEqual(told.at(-1).payload,
            { progressDetail: {}, aux: { Tag: '1', Digest: digest, Size: image.manifest.length } });
        assert.strictEqual(told.filter(({ payload }) => payload.status === 'Pushed').length, 3);
        await readBack(image, registry, '1');
        const again = await push(image, `${registry.address}/joe/box:2`);
        assert.strictEqual(again.filter(({ payload }) => payload.status === 'Layer already exists').length, 3);
        await readBack(image, registry, '2');
        if (auth === 'token') {
            assert.ok(registry.tokens.issued.includes('repository:joe/box:pull,push'), registry.tokens.issued);
        }
    });
}

test('an image of 40 layers is pushed', async () => {
    const image = dockerImage(Array.from({ length: 40 }, (_, index) => tar(`file${index}`, `layer ${index}`)));
    await store(image.layers);
    const told = await push(image, `${registries.none.address}/joe/box:40`);
    assert.strictEqual(told.filter(({ payload }) => payload.status === 'Pushed').length, 40);
    await readBack(image, registries.none, '40');
});

test('an OCI image of umoci is pushed', async () => {
    const layout = path.join(running.directory, 'umoci');
    const umoci = (...args) => execFileSync('umoci', args, { stdio: 'pipe' });
    const blob = (digest) => fs.readFileSync(path.join(layout, 'blobs', 'sha256', digest.slice(7)));
    umoci('init', '--layout', layout);
    umoci('new', '--image', `${layout}:1`);
    for (const name of ['one', 'two']) {
        const file = path.join(running.directory, name);
        fs.writeFileSync(file, name);
        umoci('insert', '--rootless', '--image', `${layout}:1`, file, `/${name}`);
    }
    const { manifests } = JSON.parse(fs.readFileSync(path.join(layout, 'index.json'), 'utf8'));
    const manifest = blob(manifests[0].digest).toString();
    const { config, layers } = JSON.parse(manifest);
    const image = {
        manifest, config: blob(config.digest).toString(), layers: layers.map(({ digest }) => blob(digest))
    };
    await store(image.layers);
    const told = await push(image, `${registries.none.address}/joe/box:oci`);
    assert.strictEqual(told.at(-1).type, 'progress', JSON.stringify(told));
    const answer = await fetch(`http://${registries.none.address}/v2/joe/box/manifests/oci`, { headers: { accept: OCI } });
    assert.strictEqual(answer.headers.get('content-type'), OCI);
    await readBack(image, registries.none, 'oci');
});

test('a registry that wants other credentials gets no image', async () => {
    const image = dockerImage([tar('private', 'private')]);
    await store(image.layers);
    for (const auth of ['basic', 'token']) {
        const told = await push(image, `${registries[auth].address}/joe/private:1`, NOBODY);
        const last = told.at(-1);
        assert.strictEqual(last.error.code, 'UnauthorizedError', JSON.stringify(last));
    }
});
