/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Files and manifests that IMGAPI fetches itself, requested with Triton's client: from another IMGAPI, and from an HTTPS server
 * of Node.js.
 */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call, within } = require('./lib/call');
const { startImgapi } = require('./lib/imgapi');
const { digestsOf, imgapiClient, manifest, writeGzip } = require('./lib/images');

const SIZE = 8 << 20;

let far;
let source;
let running;
let imgapi;
let client;
let server;

before(async () => {
    far = await coal.start({ imgapi: true });
    source = imgapiClient(far);
    running = await coal.start({ imgapi: false });
    const certificate = selfSigned(running.directory);
    imgapi = await startImgapi(running, { fileUrlDeny: [] }, { SSL_CERT_FILE: certificate.cert });
    client = imgapiClient(running, { url: imgapi.url });
    server = https.createServer({
        cert: fs.readFileSync(certificate.cert), key: fs.readFileSync(certificate.key)
    });
    server.listen(0, '127.0.0.1');
    await within(new Promise((resolve) => server.once('listening', resolve)), 'listen');
});

after(async () => {
    for (const open of [source, client, server]) {
        open?.close();
    }
    await imgapi?.stop();
    await running?.stop();
    await far?.stop();
});

function selfSigned(directory) {
    const files = { cert: path.join(directory, 'cert.pem'), key: path.join(directory, 'key.pem') };
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-keyout', files.key, '-out', files.cert, '-days', '2', '-subj', '/CN=localhost',
        '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'pipe' });
    return files;
}

async function refused(code, ...args) {
    const err = await call(client, ...args).then(() => assert.fail(`${args[0]} succeeded`), (error) => error);
    assert.strictEqual(err.body.code, code, err.stack);
    return err;
}

test('an image is copied from another IMGAPI as the import workflow does it', async () => {
    const file = path.join(far.directory, 'file.gz');
    const { size, sha1, md5 } = await writeGzip(file, SIZE);
    const owner = far.account('admin');
    const [{ uuid }] = await call(source, 'createImage', manifest(owner, { public: true, tags: { a: 1 } }));
    await call(source, 'addImageFile', { uuid, compression: 'gzip', file, sha1 });
    const [original] = await call(source, 'activateImage', uuid);
    const url = far.datacenter.imgapi;

    const [imported] = await call(client, 'adminImportImage', { uuid }, { source: url, skipOwnerCheck: true });
    assert.strictEqual(imported.state, 'unactivated');
    const [withFile] = await call(client, 'addImageFile', { uuid, source: url });
    assert.deepStrictEqual(withFile.files, [{ sha1, size, compression: 'gzip' }]);
    const [copy] = await call(client, 'activateImage', uuid);
    assert.deepStrictEqual(copy, original);
    const stream = await call(client, 'getImageFileStream', uuid);
    assert.deepStrictEqual(await digestsOf(stream), { size, sha1, md5 });
});

test('what the source says is passed on', async () => {
    const uuid = '00000000-0000-4000-8000-000000000000';
    const err = await refused('RemoteSourceError', 'adminImportImage', { uuid }, { source: far.datacenter.imgapi });
    assert.strictEqual(err.statusCode, 503);
    assert.match(err.message, /ResourceNotFound/);
});

test('a file is downloaded from a URL', async () => {
    const file = path.join(running.directory, 'file.gz');
    const { size, sha1 } = await writeGzip(file, SIZE);
    server.on('request', (req, res) => {
        if (req.url === '/moved.gz') {
            res.writeHead(302, { location: '/file.gz' }).end();
        } else {
            fs.createReadStream(file).pipe(res);
        }
    });
    const url = `https://localhost:${server.address().port}`;
    const owner = running.account('admin');
    const [{ uuid }] = await call(client, 'createImage', manifest(owner));
    for (const name of ['file.gz', 'moved.gz']) {
        const [image] = await call(client, 'addImageFileFromUrl', { uuid, file_url: `${url}/${name}`, sha1 }, owner);
        assert.deepStrictEqual(image.files, [{ sha1, size, compression: 'gzip' }]);
    }
    await refused('Download', 'addImageFileFromUrl', { uuid, file_url: `${url}/file.gz`, sha1: 'x' });
    await refused('InvalidParameter', 'addImageFileFromUrl', { uuid, file_url: 'http://localhost/file.gz' });
});

test('a download goes on where it broke off', async () => {
    const [{ uuid }] = await call(client, 'createImage', manifest(running.account('admin')));
    const file = path.join(running.directory, 'parts');
    fs.writeFileSync(file, '0123456789');
    await call(client, 'addImageFile', { uuid, compression: 'none', file });
    const part = path.join(running.directory, 'part');
    fs.writeFileSync(part, '01234');
    execFileSync('curl', ['-sSf', '--continue-at', '-', '-o', part, `${imgapi.url}/images/${uuid}/file`]);
    assert.strictEqual(fs.readFileSync(part, 'utf8'), '0123456789');
});
