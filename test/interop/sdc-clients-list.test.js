/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Lists of images, requested as CloudAPI does: through a pool of connections, in pages of 1,000.
 */

const assert = require('node:assert');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const {
    BUCKET, activeImage, cloudapiAgent, imgapiClient, manifest, morayClient
} = require('./lib/images');

const COUNT = 2500;
// Of these images, every third is a Docker image, and every fifth is public and belongs to another account.
const DOCKER = 3;
const PUBLIC = 5;
const BATCH = 250;
const HOUR_MS = 3600 * 1000;

let running;
let agent;
let client;
let vader;
let luke;
let images;

before(async () => {
    running = await coal.start({ imgapi: true });
    agent = cloudapiAgent(running);
    client = imgapiClient(running, { agent });
    vader = running.account('imgapitestvader');
    luke = running.account('imgapitestluke');
    images = await insert();
    // The service sees the writes of others to Moray within a second.
    await coal.waitFor('the images', async () => (await list({})).length === COUNT);
});

after(async () => {
    if (agent) {
        await call(agent, 'stop');
    }
    if (running) {
        await running.stop();
    }
});

/* Returns the n-th image. Each has a time of its own, so that the order is unique. */
function variant(template, n) {
    const owned = n % PUBLIC === 0 ? { owner: luke, public: true } : { owner: vader, public: false };
    return {
        ...template,
        ...owned,
        uuid: `${String(n * 7919 % COUNT).padStart(8, '0')}-0000-4000-8000-${String(n).padStart(12, '0')}`,
        name: `image-${n}`,
        type: n % DOCKER === 0 ? 'docker' : 'zone-dataset',
        os: n % DOCKER === 0 ? 'linux' : 'smartos',
        published_at: new Date(Date.UTC(2013, 0, 1) + n * HOUR_MS).toISOString()
    };
}

/*
 * Creates many images from one that the service created, by writing to Moray. This is the fastest way, and migrations do the
 * same.
 */
async function insert() {
    const first = await activeImage(client, manifest(vader));
    const moray = await morayClient(running);
    const { value } = await call(moray, 'getObject', BUCKET, first.uuid);
    const all = Array.from({ length: COUNT }, (_, n) => variant(value, n));
    for (let from = 0; from < COUNT; from += BATCH) {
        await call(moray, 'batch', all.slice(from, from + BATCH).map((image) => ({
            bucket: BUCKET, operation: 'put', key: image.uuid, value: image
        })));
    }
    moray.close();
    await call(client, 'deleteImage', first.uuid);
    return all;
}

async function list(filters, options = {}) {
    const [found] = await call(client, 'listImages', filters, options);
    return found;
}

function uuids(found) {
    return found.map((image) => image.uuid);
}

test('all images, over several pages, oldest first', async () => {
    assert.deepStrictEqual(uuids(await list({})), uuids(images));
});

test('all images that an account sees', async () => {
    // The account's own images and the public ones: two searches, which must be merged before the page is cut.
    assert.deepStrictEqual(uuids(await list({ account: vader })), uuids(images));
    const seen = images.filter((image) => image.public);
    assert.deepStrictEqual(uuids(await list({ account: running.datacenter.admin_uuid })), uuids(seen));
    assert.deepStrictEqual(uuids(await list({ account: luke })), uuids(seen));
});

test('the first page, without a limit', async () => {
    const page = async (query) => {
        const response = await fetch(`${running.datacenter.imgapi}/images${query}`);
        return uuids(await response.json());
    };
    assert.deepStrictEqual(await page(''), uuids(images.slice(0, 1000)));
    // As many images as the separate searches for its own, the public and the shared images return.
    assert.deepStrictEqual(await page(`?account=${vader}`), uuids(images));
    assert.deepStrictEqual(await page(`?account=${vader}&owner=${vader}`),
        uuids(images.filter((image) => !image.public).slice(0, 1000)));
});

test('what CloudAPI asks for by default: nothing of Docker', async () => {
    const found = await list({ account: vader, type: '!docker' });
    assert.deepStrictEqual(uuids(found),
        uuids(images.filter((image) => image.type !== 'docker')));
});

test('the filters that CloudAPI hands on', async () => {
    const where = (matches) => uuids(images.filter(matches));
    const cases = [
        [{ name: 'image-77' }, (image) => image.name === 'image-77'],
        [{ os: 'linux' }, (image) => image.os === 'linux'],
        [{ type: 'docker' }, (image) => image.type === 'docker'],
        [{ owner: luke }, (image) => image.owner === luke],
        [{ public: true }, (image) => image.public],
        [{ public: false }, (image) => !image.public],
        [{ state: 'active', version: '1.0.0' }, () => true],
        [{ state: 'disabled' }, () => false],
        [{ version: '2.0.0' }, () => false]
    ];
    for (const [filters, matches] of cases) {
        assert.deepStrictEqual(uuids(await list({ account: vader, ...filters })), where(matches),
            JSON.stringify(filters));
    }
    // An undefined member is not sent. IMGAPI ignores unknown parameters.
    const odd = await list({ account: vader, name: 'image-77', req_id: undefined, unknown: 'x' });
    assert.strictEqual(odd.length, 1);
});

test('a limit, and a page from an image or a time on', async () => {
    assert.deepStrictEqual(uuids(await list({ limit: 3 })), uuids(images.slice(0, 3)));
    const marker = images[1200];
    for (const from of [marker.uuid, marker.published_at]) {
        assert.deepStrictEqual(uuids(await list({ limit: 2, marker: from })),
            uuids(images.slice(1200, 1202)));
    }
    // The client can continue from a time as well. It only drops a marker that is an image.
    assert.deepStrictEqual(uuids(await list({ marker: images[400].published_at })),
        uuids(images.slice(400)));
    const newest = await list({ limit: 2, sort: 'published_at.desc' });
    assert.deepStrictEqual(uuids(newest), uuids(images.slice(-2).reverse()));
});

test('an image has what CloudAPI translates', async () => {
    const [image] = await list({ account: luke, limit: 1 });
    assert.deepStrictEqual(Object.keys(image.files[0]).sort(), ['compression', 'sha1', 'size']);
    assert.strictEqual(image.state, 'active');
    assert.strictEqual(image.disabled, false);
    assert.strictEqual(image.public, true);
    assert.strictEqual(image.owner, luke);
    assert.strictEqual(image.published_at, images[0].published_at);
    const [admin] = await list({ limit: 1 }, { inclAdminFields: true });
    assert.strictEqual(admin.files[0].stor, 'manta');
});

test('images that are published at once are all there', async () => {
    const moray = await morayClient(running);
    // The images span the end of the first page.
    const { published_at: time } = images[999];
    const tied = images.slice(990, 1010).map((image) => ({ ...image, published_at: time }));
    await call(moray, 'batch', tied.map((image) => ({
        bucket: BUCKET, operation: 'put', key: image.uuid, value: image
    })));
    moray.close();
    await coal.waitFor('the changes', async () => {
        const since = await list({ limit: tied.length + 1, marker: time });
        return since.filter((image) => image.published_at === time).length === tied.length;
    });
    const found = uuids(await list({}));
    // The client may list an image twice, but none is missing.
    assert.deepStrictEqual([...new Set(found)].sort(), uuids(images).sort());
    const limited = { limit: 20, marker: time };
    assert.deepStrictEqual(uuids(await list(limited)), uuids(tied).sort());
});

/* Returns the number of answered pings. */
async function pings() {
    const answer = await fetch(`${running.datacenter.metrics}/metrics`);
    const counts = (await answer.text()).split('\n')
        .filter((line) => /^http_requests_completed{.*route="ping"/.test(line))
        .map((line) => Number(line.split(' ').pop()));
    return counts.reduce((sum, count) => sum + count, 0);
}

test('idle connections are pinged, and requests on them are answered', async () => {
    const pool = agent.getPool(new URL(running.datacenter.imgapi).hostname);
    const { totalConnections, idleConnections } = pool.getStats();
    assert.ok(idleConnections > 0, 'connections are kept');
    const earlier = await pings();
    await coal.waitFor('pings', async () => await pings() >= earlier + totalConnections, 30000);
    for (let n = 0; n < 20; n++) {
        const [image] = await call(client, 'getImage', images[n].uuid);
        assert.strictEqual(image.uuid, images[n].uuid);
    }
});
