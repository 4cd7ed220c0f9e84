/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * A reporter for Node.js' test runner: prints the duration of each test in seconds, and its name.
 */

const path = require('node:path');

module.exports = async function* times(source) {
    for await (const { type, data } of source) {
        if (type === 'test:pass' && data.nesting === 0 && data.file) {
            yield `${(data.details.duration_ms / 1000).toFixed(3)} ${path.basename(data.file)} ${data.name}\n`;
        }
    }
};
