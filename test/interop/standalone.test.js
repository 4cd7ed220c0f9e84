/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The README's standalone server as printed, except for its port and the path of the program.
 */

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const { program } = require('./lib/coal');
const { freePort } = require('./lib/imgapi');
const { commands, printed } = require('./lib/readme');

const DEADLINE_MS = 120 * 1000;

let directory;

before(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'imgapi-standalone-'));
});

after(() => {
    fs.rmSync(directory, { recursive: true });
});

test('the commands make a server, and put an image into it', async () => {
    const script = commands('standalone')
        .replaceAll('8090', String(await freePort()))
        .replaceAll('target/release/imgapi', program('imgapi'));
    const { stdout } = await promisify(execFile)('sh', ['-c', script], { cwd: directory, timeout: DEADLINE_MS });

    const { json, lines } = printed(stdout);
    const [ping, none, refused, created, uploaded, activated, ...rest] = json;
    assert.deepStrictEqual(rest, []);
    assert.strictEqual(ping.ping, 'pong');
    assert.deepStrictEqual(none, []);
    assert.strictEqual(refused.code, 'UnauthorizedError');
    assert.strictEqual(created.state, 'unactivated');
    assert.strictEqual(uploaded.files[0].compression, 'gzip');
    assert.strictEqual(activated.state, 'active');
    assert.deepStrictEqual(lines, ['the same bytes']);
    assert.ok(fs.existsSync(path.join(directory, 'standalone', 'manifests', `${created.uuid}.raw`)));
});
