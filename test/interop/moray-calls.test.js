/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The number of calls to Moray and searches in UFDS for each operation, without other writers. The duration is only printed.
 * Moray's server is the npm package fast, as in Triton's Moray.
 */

const assert = require('node:assert');
const { after, before, test } = require('node:test');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { startFastMoray } = require('./lib/fast-moray');
const { manifest } = require('./lib/images');
const { freePort, startImgapi } = require('./lib/imgapi');

const ROUNDS = 3;
const FILE = zlib.gzipSync('file');
const ICON = Buffer.from('GIF89a');

const READS = new Set(['getObject', 'findObjects', 'getBucket', 'listBuckets', 'sql', 'ping', 'version']);

/*
 * The operations in the life of an image, with their maximum numbers of reads and writes in Moray and of searches in UFDS. A
 * change writes and does not read. Afterwards the worker that copies the manifest to the archive reads it, and for a deleted
 * image also what the deletion has noted about its last version.
 */
const CHANGE = { reads: 1, writes: 1, owners: 0 };
const NOTHING = { reads: 0, writes: 0, owners: 0 };
const OPERATIONS = [
    ['CreateImage', { ...CHANGE, owners: 1 }, ['POST', '']],
    ['AddImageFile', CHANGE, ['PUT', '/file', { compression: 'gzip' }, FILE]],
    ['AddImageIcon', CHANGE, ['PUT', '/icon', {}, ICON, 'image/gif']],
    ['ActivateImage', CHANGE, ['POST', '', { action: 'activate' }]],
    ['UpdateImage', CHANGE, ['POST', '', { action: 'update' }, { description: 'x' }]],
    ['AddImageAcl', CHANGE, ['POST', '/acl', { action: 'add' }, 'luke']],
    ['RemoveImageAcl', CHANGE, ['POST', '/acl', { action: 'remove' }, 'luke']],
    ['DisableImage', CHANGE, ['POST', '', { action: 'disable' }]],
    ['EnableImage', CHANGE, ['POST', '', { action: 'enable' }]],
    ['GetImage', NOTHING, ['GET', '']],
    ['ListImages', NOTHING, ['GET', null, { limit: 10 }]],
    ['GetImageFile', NOTHING, ['GET', '/file']],
    ['GetImageIcon', NOTHING, ['GET', '/icon']],
    ['DeleteImageIcon', CHANGE, ['DELETE', '/icon']],
    ['DeleteImage', { ...CHANGE, reads: 2 }, ['DELETE', '']]
];

let running;
let moray;
let imgapi;
let vader;
let luke;

before(async () => {
    running = await coal.start();
    moray = await startFastMoray(running);
    const metricsPort = await freePort();
    imgapi = await startImgapi(running, { moray: { host: '127.0.0.1', port: moray.port }, metricsPort });
    imgapi.metrics = `http://127.0.0.1:${metricsPort}/metrics`;
    // The bucket is created in the background. An image that is created while the others are being loaded into memory might be
    // one of another process.
    await coal.waitFor('all images in memory', async () => {
        const response = await fetch(`${imgapi.url}/state`);
        return response.ok && (await response.json()).database.images === 0;
    });
    vader = running.account('imgapitestvader');
    luke = running.account('imgapitestluke');
});

after(async () => {
    for (const open of [imgapi, moray, running]) {
        if (open) {
            await open.stop();
        }
    }
});

/* Returns the number of searches in UFDS. */
async function searches() {
    const text = await (await fetch(imgapi.metrics)).text();
    return text.split('\n')
        .filter((line) => line.startsWith('imgapi_backend_requests_total') && line.includes('backend="ufds"')
            && line.includes('op="search"'))
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/* Returns the methods of the calls since number `from` that are about this image, not about the whole bucket. */
function about(uuid, from) {
    return moray.calls.slice(from)
        .filter((call) => JSON.stringify(call.args).includes(uuid))
        .map((call) => call.method);
}

/* Returns the number of changes that the worker has copied to the archive. */
async function archived() {
    const { workers } = await (await fetch(`${imgapi.url}/state`)).json();
    return workers.find((worker) => worker.name === 'archive').done;
}

async function ask(uuid, [method, below, parameters = {}, given, type = 'application/json']) {
    const query = new URLSearchParams({ account: vader, ...parameters });
    const path = below === null || uuid === null ? '/images' : `/images/${uuid}${below}`;
    const body = given === 'luke' ? [luke] : given;
    const response = await fetch(`${imgapi.url}${path}?${query}`, {
        method,
        headers: body ? { 'content-type': body === FILE ? 'application/octet-stream' : type } : {},
        body: body && (Buffer.isBuffer(body) ? body : JSON.stringify(body))
    });
    const answer = Buffer.from(await response.arrayBuffer());
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${answer}`);
    return answer;
}

/* Runs the life of an image, and returns the calls of each operation. */
async function life(number) {
    const took = [];
    let uuid = null;
    for (const [name, limits, request] of OPERATIONS) {
        const [owners, changes, from] = [await searches(), await archived(), moray.calls.length];
        const begun = performance.now();
        const asked = uuid === null ? ['POST', '', {}, manifest(vader, { name: `image-${number}` })] : request;
        const answer = await ask(uuid, asked);
        const ms = performance.now() - begun;
        if (limits.writes > 0) {
            await coal.waitFor('the archive', async () => await archived() > changes);
        }
        uuid = uuid || JSON.parse(answer).uuid;
        const calls = about(uuid, from);
        const reads = calls.filter((method) => READS.has(method)).length;
        const searched = await searches() - owners;
        took.push({ name, ms, calls, reads, writes: calls.length - reads, owners: searched });
    }
    return took;
}

function median(numbers) {
    return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

test('no operation takes more calls than it needs', async (t) => {
    const lives = [];
    for (let number = 0; number < ROUNDS; number++) {
        lives.push(await life(number));
    }
    const tooMany = [];
    OPERATIONS.forEach(([name, limits], at) => {
        const rounds = lives.map((took) => took[at]);
        const most = (count) => Math.max(...rounds.map((round) => round[count]));
        const calls = [...new Set(rounds.map((round) => round.calls.join(' ')))].join(' | ');
        t.diagnostic(`${name}: ${median(rounds.map((round) => round.ms)).toFixed(1)} ms, owners ${most('owners')}: ${calls}`);
        if (rounds.some((round) => READS.has(round.calls[0]))) {
            tooMany.push(`${name} reads before it writes`);
        }
        for (const count of Object.keys(limits)) {
            if (most(count) > limits[count]) {
                tooMany.push(`${name}: ${most(count)} ${count} instead of ${limits[count]}`);
            }
        }
    });
    assert.deepStrictEqual(tooMany, []);
    const searched = lives.flat().reduce((sum, operation) => sum + operation.owners, 0);
    assert.strictEqual(searched, 1, 'the answer about the owner is kept');
});

test('an error of Moray is what it is with fast between', async () => {
    const response = await fetch(`${imgapi.url}/images/00000000-0000-4000-8000-000000000000`);
    assert.strictEqual(response.status, 404);
    assert.ok(moray.calls.some((call) => call.method === 'getObject'));
});
