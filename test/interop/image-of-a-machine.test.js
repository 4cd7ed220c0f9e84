/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The datacenter of `make run`, and the README's image of a machine as printed, except for the address.
 */

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const coal = require('./lib/coal');
const { commands } = require('./lib/readme');

const ROOT = path.resolve(__dirname, '..', '..');
const DEADLINE_MS = 120 * 1000;

let running;

before(async () => {
    running = await coal.start({ imgapi: true, args: ['--images'] });
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

async function json(target) {
    return (await fetch(`${running.datacenter.imgapi}${target}`)).json();
}

test('make run asks for the images', () => {
    assert.match(fs.readFileSync(path.join(ROOT, 'Makefile'), 'utf8'), /^\ttarget\/release\/coal .*--images /m);
});

test('the images of the machines are active and have ZFS streams', async () => {
    const images = await json('/images?state=all');
    assert.strictEqual(images.length, 5);
    for (const image of images) {
        assert.strictEqual(image.state, 'active');
        assert.strictEqual(image.owner, running.datacenter.admin_uuid);
        const { stdout } = await promisify(execFile)('sh',
            ['-c', 'curl -sS "$0" | bzip2 -dc', `${running.datacenter.imgapi}/images/${image.uuid}/file`],
            { encoding: 'buffer', timeout: DEADLINE_MS });
        // DRR_BEGIN of a little-endian stream: its type, the magic number, and the GUID of the snapshot.
        assert.strictEqual(stdout.readUInt32LE(0), 0, image.name);
        assert.strictEqual(stdout.readBigUInt64LE(8), 0x2F5bacbacn, image.name);
        assert.strictEqual(String(stdout.readBigUInt64LE(40)), image.files[0].dataset_guid, image.name);
    }
});

test('an image is made of a machine at once', async () => {
    const directory = path.join(running.directory, 'machine');
    fs.mkdirSync(directory);
    const script = `IMGAPI=${running.datacenter.imgapi}\nVADER=${running.account('imgapitestvader')}\n${
        commands('image-of-a-machine')}`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script],
        { cwd: directory, timeout: DEADLINE_MS });
    assert.strictEqual(stderr, '');
    assert.strictEqual(stdout.match(/"uuid": "aa000000-/g).length, 5);
    assert.match(stdout, /"state": "active"/);
    assert.match(stdout, /"execution": "succeeded"/);
    assert.deepStrictEqual(fs.readdirSync(directory), [], 'nothing is left');
});
