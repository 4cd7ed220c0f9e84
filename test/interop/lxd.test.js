/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Images of LXD are imported from a web server that is not ours, with files that tar and mksquashfs made.
 */

const assert = require('node:assert');
const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { freePort, startImgapi } = require('./lib/imgapi');

const STOP_DEADLINE_MS = 60 * 1000;

let running;
let imgapi;
let mirror;
let server;
let exited;

before(async () => {
    running = await coal.start({ args: ['--manta', 'none'] });
    mirror = path.join(running.directory, 'mirror');
    fs.mkdirSync(path.join(mirror, 'streams', 'v1'), { recursive: true });
    fs.mkdirSync(path.join(mirror, 'images'));
    const port = await freePort();
    server = spawn('python3', ['-m', 'http.server', '--bind', '127.0.0.1', '--directory', mirror, String(port)],
        { stdio: 'ignore' });
    exited = new Promise((resolve) => server.once('exit', resolve));
    await coal.waitFor('the web server', () => fetch(`http://127.0.0.1:${port}/`).catch(() => null));
    imgapi = await startImgapi(running, { lxdRegistries: { mirror: `http://127.0.0.1:${port}` } });
});

after(async () => {
    if (imgapi) {
        await imgapi.stop();
    }
    if (server) {
        server.kill('SIGTERM');
        const timer = setTimeout(() => server.kill('SIGKILL'), STOP_DEADLINE_MS);
        await exited;
        clearTimeout(timer);
    }
    if (running) {
        await running.stop();
    }
});

function sha256(...parts) {
    const hash = crypto.createHash('sha256');
    parts.forEach((part) => hash.update(part));
    return hash.digest('hex');
}

/* Makes the files of an image below `images` of the mirror. */
function makeFiles() {
    const tree = path.join(running.directory, 'tree');
    fs.mkdirSync(path.join(tree, 'rootfs'), { recursive: true });
    fs.writeFileSync(path.join(tree, 'metadata.yaml'), 'architecture: x86_64\ncreation_date: 1665234000\n');
    fs.writeFileSync(path.join(tree, 'rootfs', 'hello'), crypto.randomBytes(1 << 20));
    const images = path.join(mirror, 'images');
    const run = (...command) => execFileSync(command[0], command.slice(1), { stdio: 'pipe' });
    run('tar', '-C', tree, '-cJf', path.join(images, 'lxd.tar.xz'), 'metadata.yaml');
    run('tar', '-C', path.join(tree, 'rootfs'), '-cJf', path.join(images, 'root.tar.xz'), '.');
    run('tar', '-C', tree, '-czf', path.join(images, 'whole.tar.gz'), '.');
    run('mksquashfs', path.join(tree, 'rootfs'), path.join(images, 'root.squashfs'), '-quiet', '-no-progress');
}

/* Returns an item of a version, and the bytes of its file. */
function item(ftype, name, more = {}) {
    const bytes = fs.readFileSync(path.join(mirror, 'images', name));
    return { bytes, entry: { ftype, path: `images/${name}`, size: bytes.length, sha256: sha256(bytes), ...more } };
}

/* Writes the lists of the mirror, with an image under each alias. */
function publish(images) {
    const products = {};
    for (const [alias, items] of Object.entries(images)) {
        products[`${alias}:1:amd64:default`] = {
            aliases: alias, arch: 'amd64', os: 'Tests', release: '1', release_title: '1',
            versions: { '20221008_13:00': { items } }
        };
    }
    const write = (name, value) => fs.writeFileSync(path.join(mirror, 'streams', 'v1', name), JSON.stringify(value));
    write('index.json', {
        format: 'index:1.0',
        index: {
            images: {
                datatype: 'image-downloads', path: 'streams/v1/images.json', format: 'products:1.0',
                products: Object.keys(products)
            }
        }
    });
    write('images.json', { content_id: 'images', datatype: 'image-downloads', format: 'products:1.0', products });
}

async function imported(alias) {
    const answer = await fetch(`${imgapi.url}/images?action=import-lxd-image&alias=mirror:${alias}`, { method: 'POST' });
    assert.strictEqual(answer.status, 200);
    const lines = (await answer.text()).split('\r\n').slice(0, -1);
    return JSON.parse(lines.at(-1));
}

test('images of LXD are imported in two files and in one', async () => {
    makeFiles();
    const meta = item('lxd.tar.xz', 'lxd.tar.xz');
    const squashfs = item('squashfs', 'root.squashfs');
    const tarball = item('root.tar.xz', 'root.tar.xz');
    const whole = item('lxd_combined.tar.gz', 'whole.tar.gz');
    const withHash = (name, root) => ({ ...meta.entry, [name]: sha256(meta.bytes, root.bytes) });
    publish({
        squashfs: { meta: withHash('combined_squashfs_sha256', squashfs), root: squashfs.entry },
        tarball: { meta: withHash('combined_rootxz_sha256', tarball), root: tarball.entry },
        whole: { whole: whole.entry }
    });
    const images = { squashfs: [meta, squashfs], tarball: [meta, tarball], whole: [whole] };
    for (const [alias, files] of Object.entries(images)) {
        const last = await imported(alias);
        assert.strictEqual(last.payload && last.payload.status, 'Pull complete', JSON.stringify(last));
        const fingerprint = sha256(...files.map(({ bytes }) => bytes));
        const uuid = fingerprint.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
        const image = await (await fetch(`${imgapi.url}/images/${uuid}`)).json();
        assert.strictEqual(image.state, 'active');
        assert.strictEqual(image.tags['lxd:fingerprint'], fingerprint);
        assert.strictEqual(image.tags['lxd:aliases'], alias);
        for (const [index, { entry }] of files.entries()) {
            const file = await fetch(`${imgapi.url}/images/${uuid}/file?index=${index}`);
            assert.strictEqual(sha256(Buffer.from(await file.arrayBuffer())), entry.sha256);
        }
        assert.strictEqual((await imported(alias)).payload.status, 'Already exists');
    }
    assert.strictEqual((await imported('nothing')).error.code, 'NotFound');
});
