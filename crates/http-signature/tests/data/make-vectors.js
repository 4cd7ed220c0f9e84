/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Writes vectors.json: requests that npm http-signature 1.4 signed with the keys in this directory. Run it where that package is
// installed: `NODE_PATH=../../../../test/interop/node_modules node make-vectors.js`.
'use strict';

const fs = require('fs');
const path = require('path');
const httpSignature = require('http-signature-v1');

const KEYS = {
    rsa: ['rsa-sha1', 'rsa-sha256', 'rsa-sha512', undefined],
    rsa1024: ['rsa-sha1', 'rsa-sha256'],
    ecdsa256: [undefined],
    ecdsa384: ['ecdsa-sha256', 'ecdsa-sha512'],
    ecdsa521: [undefined],
    ed25519: [undefined],
};
const HEADERS = [['date'], ['request-line', 'date'], ['(request-target)', 'host', 'date', 'x-request-id']];
const DATE = 'Tue, 02 Jan 2024 03:04:05 GMT';

function sign(key, algorithm, names) {
    const headers = { date: DATE, host: 'images.example.com:8080', 'x-request-id': 'a "quoted", id' };
    const request = {
        method: 'POST',
        path: '/images?action=x&account=%20',
        getHeader: (name) => headers[name.toLowerCase()],
        setHeader: (name, value) => { headers[name.toLowerCase()] = value; },
    };
    const file = path.join(__dirname, 'keys', key);
    httpSignature.signRequest(request, { key: fs.readFileSync(file), keyId: 'luke', algorithm, headers: names });
    return { key, method: request.method, target: request.path, headers };
}

const vectors = [];
for (const [key, algorithms] of Object.entries(KEYS)) {
    for (const algorithm of algorithms) {
        for (const names of HEADERS) {
            vectors.push(sign(key, algorithm, names));
        }
    }
}
fs.writeFileSync(path.join(__dirname, 'vectors.json'), JSON.stringify(vectors, null, 1) + '\n');
