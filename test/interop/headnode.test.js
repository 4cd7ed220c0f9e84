/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The commands of a headnode that its setup, sdcadm, sdc-healthcheck and the agents execute and parse. `sdc-imgapi` is the
 * function below, with the same curl command and the same filter. `sdc-imgadm import` is Triton's client with its messages.
 */

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { imgapiClient } = require('./lib/images');
const { temporary } = require('./lib/tree');

const DEADLINE_MS = 120 * 1000;
const JSON_COMMAND = require.resolve('json/lib/json.js');
const UUID = '2c8a1b5e-7f0d-4b53-9a57-0f6a1f3f8a55';
const VERSION = 'release-20240208-20240208T000742Z-g7c7d2b8';
const SDC_IMGAPI = `
sdc_imgapi() {
    local url=$1
    shift
    curl -4 -i -sS --connect-timeout 10 -H accept:application/json -H content-type:application/json \\
        --url "$IMGAPI_URL$url" "$@" | node "$JSON_COMMAND" -q
}
sdc_imgapi_raw() {
    local url=$1
    shift
    curl -4 -sS --connect-timeout 10 -H accept:application/json -H content-type:application/json --url "$IMGAPI_URL$url" "$@"
}
`;

const directory = temporary(after);
let running;

before(async () => {
    running = await coal.start({ imgapi: true });
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

/* Returns the output of a shell of the headnode. */
async function headnode(script) {
    const { stdout } = await promisify(execFile)('bash', ['-c', `${SDC_IMGAPI}${script}`], {
        cwd: directory,
        env: { ...process.env, IMGAPI_URL: running.datacenter.imgapi, JSON_COMMAND },
        timeout: DEADLINE_MS
    });
    return stdout;
}

/* Checks whether an image exists, as headnode.sh does. */
function probe(uuid) {
    return headnode(`sdc_imgapi /images/${uuid} | head -1 | awk '{print $2}'`);
}

/* Returns the output of `sdc-imgadm import --skip-owner-check -m MANIFEST -f FILE`. */
async function importImage(manifest, file) {
    const client = imgapiClient(running);
    const content = fs.readFileSync(file);
    const sha1 = crypto.createHash('sha1').update(content).digest('hex');
    try {
        await call(client, 'adminImportImage', manifest, { skipOwnerCheck: true });
        await call(client, 'addImageFile',
            { uuid: manifest.uuid, file, compression: 'gzip', sha1, size: content.length });
        await call(client, 'activateImage', manifest.uuid);
        return `Imported image ${manifest.uuid}`;
    } catch (err) {
        return `sdc-imgadm: error (${err.body.code}): ${err.message}`;
    }
}

function manifest(more = {}) {
    return {
        v: 2, uuid: UUID, owner: '00000000-0000-0000-0000-000000000000', name: 'imgapi', version: VERSION, type: 'zone-dataset',
        os: 'smartos', public: false, published_at: '2024-02-08T00:07:42.000Z', tags: { smartdc_service: true }, ...more
    };
}

test('headnode setup: an image is not there, imported, there, and imported once', async () => {
    const file = path.join(directory, 'image.gz');
    fs.writeFileSync(file, zlib.gzipSync('a stream'));
    assert.strictEqual(await probe(UUID), '404\n');
    assert.strictEqual(await importImage(manifest(), file), `Imported image ${UUID}`);
    assert.strictEqual(await probe(UUID), '200\n');
    // awk '{print $3;}'
    assert.strictEqual((await importImage(manifest(), file)).split(/\s+/)[2], '(ImageUuidAlreadyExists):');
});

test('sdc-imgapi: the first line is HTTP/1.1, whatever the status', async () => {
    assert.strictEqual(await headnode('sdc_imgapi /ping | head -1'), 'HTTP/1.1 200 OK\r\n');
    assert.match(await headnode('sdc_imgapi "/images?limit=x" | head -1'), /^HTTP\/1\.1 422 /);
    assert.match(await headnode(`sdc_imgapi /images/${crypto.randomUUID()} | head -1`), /^HTTP\/1\.1 404 /);
});

test('sdc-imgapi: bytes are sent with the type of JSON, and come as they are', async () => {
    const uuid = crypto.randomUUID();
    fs.writeFileSync(path.join(directory, 'manifest.json'), JSON.stringify(manifest({ uuid })));
    // The body is so large that curl waits for 100-continue before it sends it.
    fs.writeFileSync(path.join(directory, 'bytes'), crypto.randomBytes(3 << 20));
    const status = (text) => text.split('\n').filter((line) => line.startsWith('HTTP/1.1 ')).map((line) => line.split(' ')[1]);
    assert.deepStrictEqual(status(await headnode(
        `sdc_imgapi '/images/${uuid}?action=import&skip_owner_check=true' -X POST -d @manifest.json`)), ['200']);
    assert.strictEqual(status(await headnode(
        `sdc_imgapi '/images/${uuid}/file?compression=none' -T bytes`)).at(-1), '200');
    assert.strictEqual(await headnode(`sdc_imgapi_raw /images/${uuid}/file -o copy && cmp bytes copy && echo same`), 'same\n');
    assert.deepStrictEqual(status(await headnode(`sdc_imgapi '/images/${uuid}?action=activate' -X POST`)), ['200']);
});

test('sdc-healthcheck: the list of imgapi\'s images answers 200, and says so once', async () => {
    assert.strictEqual(await headnode(`sdc_imgapi '/images?name=imgapi' | awk '$1 == "HTTP/1.1" {print $2}'`), '200\n');
});

test('sdcadm check-health and up: a ping of the service is 200', async () => {
    assert.strictEqual(await headnode('curl -sS -o /dev/null -w "%{http_code}" "$IMGAPI_URL/ping"'), '200');
});

test('the agents find the version of their image, and its time', async () => {
    const version = await headnode(`curl -sS "$IMGAPI_URL/images/${UUID}" | node "$JSON_COMMAND" version`);
    assert.strictEqual(version, `${VERSION}\n`);
    assert.match(version.trim(), /^(master|release-\d{8})-\d{8}T\d{6}Z-g[0-9a-f]+$/);
});

test('sdcadm: an image of a datacenter has no channels, and an unknown one is ResourceNotFound', async () => {
    const client = imgapiClient(running);
    const [image] = await call(client, 'getImage', UUID);
    assert.strictEqual(Object.hasOwn(image, 'channels'), false);
    await assert.rejects(call(client, 'getImage', crypto.randomUUID()), (err) => err.body.code === 'ResourceNotFound');
});
