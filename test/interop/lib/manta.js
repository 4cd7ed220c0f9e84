/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The npm client of Manta, and the control of coal's Manta.
 */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Readable } = require('node:stream');

const bunyan = require('bunyan');
const manta = require('manta');

const { within } = require('./call');

/* Returns the file with coal's private key of an account. */
function keyFile(running, login) {
    return path.join(path.dirname(running.datacenter.config_file), 'keys', `${login}.id_ecdsa`);
}

/* Returns a client that signs as the account, by default with the account's key. */
function createClient(running, login, { key = keyFile(running, login), user = login } = {}) {
    const [, fingerprint] = execFileSync('ssh-keygen', ['-E', 'md5', '-lf', key], { encoding: 'utf8' }).split(' ');
    return manta.createClient({
        log: bunyan.createLogger({ name: 'interop', level: 'fatal' }),
        sign: manta.privateKeySigner({
            key: fs.readFileSync(key, 'utf8'),
            keyId: fingerprint.replace('MD5:', ''),
            user
        }),
        user,
        url: running.datacenter.manta
    });
}

/* Puts a text, and resolves to the response. */
function put(client, name, text, options = {}) {
    return within(new Promise((resolve, reject) => {
        client.put(name, Readable.from([Buffer.from(text)]), options,
            (err, res) => (err ? reject(err) : resolve(res)));
    }), `put ${name}`);
}

/* Gets a text, whose MD5 the client checks, and the response. */
function get(client, name, options = {}) {
    return within(new Promise((resolve, reject) => {
        client.get(name, options, (err, stream, res) => {
            if (err) {
                reject(err);
                return;
            }
            const pieces = [];
            stream.on('data', (piece) => pieces.push(piece));
            stream.once('error', reject);
            stream.once('end', () => resolve({ text: Buffer.concat(pieces).toString(), res }));
        });
    }), `get ${name}`);
}

/* Returns the entries of a directory. */
function ls(client, name, options = {}) {
    return within(new Promise((resolve, reject) => {
        client.ls(name, options, (err, emitter) => {
            if (err) {
                reject(err);
                return;
            }
            const entries = [];
            emitter.on('entry', (entry) => entries.push(entry));
            emitter.once('error', reject);
            emitter.once('end', () => resolve(entries));
        });
    }), `ls ${name}`);
}

/* Sends a request about Manta to coal's control. */
async function control(running, method, what, body) {
    const answer = await fetch(`${running.datacenter.control}/manta/${what}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body && JSON.stringify(body)
    });
    assert.ok(answer.ok, await answer.clone().text());
    return answer;
}

module.exports = { control, createClient, get, keyFile, ls, put };
