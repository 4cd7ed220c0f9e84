/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The README's first five minutes as printed, except for the address.
 */

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const coal = require('./lib/coal');
const { commands, printed } = require('./lib/readme');

const ROOT = path.resolve(__dirname, '..', '..');
const ADDRESS = /^IMGAPI=http:\/\/127\.0\.0\.1:(\d+)$/m;
const DEADLINE_MS = 120 * 1000;

let running;

before(async () => {
    running = await coal.start({ imgapi: true });
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

test('the address is the one that make run listens on', () => {
    const makefile = fs.readFileSync(path.join(ROOT, 'Makefile'), 'utf8');
    assert.strictEqual(commands('first-five-minutes').match(ADDRESS)[1], makefile.match(/^COAL_PORTS \?= (\d+)$/m)[1]);
});

test('the commands live the whole life of an image', async () => {
    const directory = path.join(running.directory, 'five-minutes');
    fs.mkdirSync(directory);
    const script = commands('first-five-minutes').replace(ADDRESS, `IMGAPI=${running.datacenter.imgapi}`);
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script],
        { cwd: directory, timeout: DEADLINE_MS });
    assert.strictEqual(stderr, '');

    const { json, lines } = printed(stdout);
    const [created, uploaded, activated, ofOwner, ofOther, refused, ...rest] = json;
    assert.deepStrictEqual(rest, []);
    const { uuid } = created;
    assert.strictEqual(created.state, 'unactivated');
    assert.strictEqual(created.owner, running.account('imgapitestvader'));
    assert.strictEqual(uploaded.uuid, uuid);
    assert.match(uploaded.files[0].sha1, /^[0-9a-f]{40}$/);
    assert.ok(uploaded.files[0].size > 0);
    assert.strictEqual(activated.state, 'active');
    assert.deepStrictEqual(ofOwner, [activated]);
    assert.deepStrictEqual(ofOther, []);
    assert.strictEqual(refused.code, 'ResourceNotFound');
    assert.deepStrictEqual(lines, ['the same bytes', '204']);
    assert.deepStrictEqual(fs.readdirSync(directory), [], 'nothing is left');
});

test('metadata that are changed take effect', async () => {
    const address = /^SAPI=http:\/\/127\.0\.0\.1:(\d+)$/m;
    const makefile = fs.readFileSync(path.join(ROOT, 'Makefile'), 'utf8');
    const first = Number(makefile.match(/^COAL_PORTS \?= (\d+)$/m)[1]);
    assert.strictEqual(Number(commands('change-metadata').match(address)[1]), first + 9);
    const script = `IMGAPI=${running.datacenter.imgapi}\n${
        commands('change-metadata').replace(address, `SAPI=${running.datacenter.sapi}`)}`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script], { timeout: DEADLINE_MS });
    assert.strictEqual(stderr, '');
    const levels = stdout.match(/"level": \d+/g);
    assert.deepStrictEqual(levels, ['"level": 30', '"level": 20']);
});
