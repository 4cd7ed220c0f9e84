/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The commands in the README, and their output.
 */

const fs = require('node:fs');
const path = require('node:path');

const README = path.resolve(__dirname, '..', '..', '..', 'README.md');

/* Returns the block of commands that follows the marker with this name. */
function commands(marker) {
    const readme = fs.readFileSync(README, 'utf8');
    const [, block] = readme.match(new RegExp(`^<!-- ${marker} -->\\n\`\`\`sh\\n([^]*?)^\`\`\`$`, 'm'));
    return block;
}

/* Returns the JSON texts in the output, pretty-printed without the last line end, and the other lines. */
function printed(output) {
    const parts = /\{\n[^]*?^\}|\[\n[^]*?^\]|\[\]/gm;
    return {
        json: output.match(parts).map((text) => JSON.parse(text)),
        lines: output.replace(parts, '').split('\n').filter(Boolean)
    };
}

module.exports = { commands, printed };
