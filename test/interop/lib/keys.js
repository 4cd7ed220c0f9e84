/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * SSH keys that ssh-keygen makes and reads.
 */

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/* Returns the output of `ssh-keygen -l` for a key file, with the given hash. */
function fingerprintOf(file, hash) {
    return execFileSync('ssh-keygen', ['-E', hash, '-lf', file], { encoding: 'utf8' }).split(' ')[1];
}

/* Returns a new public key: its line and its MD5 fingerprint. */
function newKey() {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-key-'));
    try {
        const file = path.join(directory, 'key');
        execFileSync('ssh-keygen', ['-q', '-t', 'ecdsa', '-b', '256', '-N', '', '-C', 'interop', '-f', file]);
        return {
            line: fs.readFileSync(`${file}.pub`, 'utf8').trim(),
            fingerprint: fingerprintOf(file, 'md5').replace('MD5:', '')
        };
    } finally {
        fs.rmSync(directory, { recursive: true, force: true });
    }
}

module.exports = { fingerprintOf, newKey };
