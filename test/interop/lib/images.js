/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Images for tests: clients, manifests, files, and stored data.
 */

const crypto = require('node:crypto');
const fs = require('node:fs');
const { Readable, Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');

const bunyan = require('bunyan');
const cueball = require('cueball');
const moray = require('moray');
const IMGAPI = require('sdc-clients/lib/imgapi');

const { call, within } = require('./call');

const BUCKET = 'imgapi_images';
const BLOCK = 1 << 20;
const MIN_RANDOM = 0.6;

const log = bunyan.createLogger({ name: 'interop', level: 'fatal' });

/* Returns a client that opens a connection for every request. */
function imgapiClient(running, options = {}) {
    return IMGAPI.createClient({
        url: running.datacenter.imgapi, agent: false, retry: false, log, ...options
    });
}

/* Returns a pool of connections as CloudAPI configures it, but with a faster ping. It must be stopped at the end. */
function cloudapiAgent(running) {
    const { port } = new URL(running.datacenter.imgapi);
    return new cueball.HttpAgent({
        resolvers: [],
        initialDomains: [],
        defaultPort: Number(port),
        spares: 4,
        maximum: 100,
        ping: '/ping',
        pingInterval: 200,
        tcpKeepAliveInitialDelay: 5000,
        log,
        recovery: {
            default: { timeout: 2000, maxTimeout: 8000, retries: 3, delay: 100, maxDelay: 1000 }
        }
    });
}

/* Returns a connected client for coal's Moray. */
async function morayClient(running) {
    const client = moray.createClient({
        log, unwrapErrors: true, ...running.moray()
    });
    await within(new Promise((resolve, reject) => {
        client.once('connect', resolve);
        client.once('error', reject);
    }), 'connect');
    return client;
}

/* Returns a manifest that CreateImage accepts. */
function manifest(owner, more = {}) {
    return {
        v: 2,
        owner,
        name: 'interop',
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: false,
        ...more
    };
}

/* Blocks that gzip can compress a little, like a ZFS stream. */
function* blocks() {
    for (;;) {
        const block = Buffer.alloc(BLOCK);
        crypto.randomFillSync(block, 0, BLOCK * MIN_RANDOM);
        yield block;
    }
}

/* A stream that counts and hashes the bytes that pass. */
class Digests extends Transform {
    constructor() {
        super();
        this.size = 0;
        this.hashes = { sha1: crypto.createHash('sha1'), md5: crypto.createHash('md5') };
    }

    _transform(chunk, _encoding, callback) {
        this.size += chunk.length;
        Object.values(this.hashes).forEach((hash) => hash.update(chunk));
        callback(null, chunk);
    }

    result() {
        return {
            size: this.size,
            sha1: this.hashes.sha1.digest('hex'),
            md5: this.hashes.md5.digest('base64')
        };
    }
}

/*
 * Writes a gzip file of at least `size` bytes, and resolves to its size, SHA-1 (hex) and MD5 (base64).
 */
async function writeGzip(file, size) {
    const digests = new Digests();
    async function* enough(source) {
        for await (const block of source) {
            if (digests.size >= size) {
                return;
            }
            yield block;
        }
    }
    await pipeline(Readable.from(blocks(), { highWaterMark: 1 }), enough,
        zlib.createGzip({ level: 1, chunkSize: BLOCK / 4 }), digests,
        fs.createWriteStream(file));
    return digests.result();
}

/* Returns the digests of a stream. */
async function digestsOf(stream) {
    const digests = new Digests();
    digests.resume();
    await pipeline(stream, digests);
    return digests.result();
}

/* Creates an image, gives it a small file, and activates it. */
async function activeImage(client, data) {
    const [{ uuid }] = await call(client, 'createImage', data);
    const content = zlib.gzipSync(uuid);
    await call(client, 'addImageFile', {
        uuid, compression: 'gzip', file: Readable.from([content]), size: content.length
    });
    return (await call(client, 'activateImage', uuid))[0];
}

module.exports = {
    BUCKET, activeImage, cloudapiAgent, digestsOf, imgapiClient, manifest, morayClient, writeGzip
};
