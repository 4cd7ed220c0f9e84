/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The files of this repository, and directories to unpack releases in.
 */

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { program } = require('./coal');

const ROOT = path.resolve(__dirname, '..', '..', '..');
const FOREIGN = new Set(['.git', '.tools', 'artifacts', 'bits', 'cache', 'corpus', 'deps', 'make_stamps', 'node_modules', 'rust', 'target']);
const STAMP = 'master-20240131T235959Z-g0123abc';
const EPOCH = '1706745599';

/* Returns every file below `directory`, except built or fetched files. */
function files(directory = ROOT) {
    return fs.readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
        const file = path.join(directory, entry.name);
        if (entry.isDirectory()) {
            return FOREIGN.has(entry.name) ? [] : files(file);
        }
        return entry.isFile() && !FOREIGN.has(entry.name) ? [file] : [];
    });
}

/* Creates a directory, which is removed through `after`. */
function temporary(after) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'zone-'));
    after(() => fs.rmSync(directory, { recursive: true, force: true }));
    return directory;
}

/*
 * Packs a program, by default the newest build, into `output`, and returns the printed paths. `from` is a copy of the repository.
 */
function pack(output, { from = ROOT, binary = program('imgapi'), stamp = STAMP, environment = {} } = {}) {
    return execFileSync(path.join(from, 'tools', 'release.sh'), ['-s', stamp, '-o', output, binary], {
        encoding: 'utf8',
        env: { ...process.env, SOURCE_DATE_EPOCH: EPOCH, ...environment },
        stdio: ['ignore', 'pipe', 'ignore']
    }).trim().split('\n');
}

module.exports = { EPOCH, ROOT, STAMP, files, pack, temporary };
