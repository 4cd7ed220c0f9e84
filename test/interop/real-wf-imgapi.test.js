/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * IMGAPI's own workflows, which IMGAPI stores in Triton's Workflow API, where they run. The requests come from Triton's client.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { freePort, startImgapi } = require('./lib/imgapi');
const { activeImage, digestsOf, imgapiClient, manifest } = require('./lib/images');
const { startMachines } = require('./lib/machines');
const { startWorkflow } = require('./lib/wf');

const ORIGINS = 3;
const SCRIPT = path.resolve(__dirname, '..', '..', 'tools', 'prepare-image', 'smartos-prepare-image');

let far;
let source;
let running;
let imgapi;
let client;
let wf;
let machines;

before(async () => {
    far = await coal.start({ imgapi: true });
    source = imgapiClient(far);
    running = await coal.start();
    const port = await freePort();
    machines = await startMachines(bunyan.createLogger({ name: 'interop', level: 'fatal' }));
    // IMGAPI starts first, so that it must find the Workflow API by itself.
    imgapi = await startImgapi(running, {
        wfapi: { url: `http://127.0.0.1:${port}`, workflows: ['create-from-vm', 'import-remote-image'], forceMd5Check: true },
        vmapi: { url: machines.url },
        cnapi: { url: machines.url },
        allowLocalCreateImageFromVm: true
    });
    client = imgapiClient(running, { url: imgapi.url });
    wf = await startWorkflow(running, { imgapiUrl: imgapi.url, vmapiUrl: machines.url, cnapiUrl: machines.url }, { port });
    await coal.waitFor('IMGAPI to find the Workflow API', async () => (await workflows()).length === 2);
});

after(async () => {
    for (const open of [source, client]) {
        if (open) {
            open.close();
        }
    }
    for (const open of [imgapi, wf, machines, running, far]) {
        if (open) {
            await open.stop();
        }
    }
});

function workflows() {
    return wf.expect(200, 'GET', '/workflows');
}

/* Creates an image with `length` origins in the other datacenter, and returns their uuids, from the base to the image itself. */
async function chain(length) {
    const uuids = [];
    while (uuids.length <= length) {
        const more = uuids.length > 0 ? { origin: uuids.at(-1) } : {};
        const name = `link-${uuids.length}`;
        uuids.push((await activeImage(source, manifest(far.account('admin'), { name, ...more }))).uuid);
    }
    return uuids;
}

async function state(uuid) {
    try {
        return (await call(client, 'getImage', uuid))[0].state;
    } catch (err) {
        assert.strictEqual(err.statusCode, 404, err.message);
        return null;
    }
}

/* Starts an import, and resolves to the uuid of its job. */
async function startImport(url, uuid) {
    const started = await fetch(`${imgapi.url}/images/${uuid}?action=import-remote&skip_owner_check=true&` +
        `source=${encodeURIComponent(url)}`, { method: 'POST' });
    assert.strictEqual(started.status, 200, await started.clone().text());
    assert.strictEqual(started.headers.get('workflow-api'), wf.url);
    return (await started.json()).job_uuid;
}

/* Returns the finished job of an import. */
async function importFrom(url, uuid) {
    return wf.finished(await startImport(url, uuid));
}

/* A proxy of the other datacenter's IMGAPI, in which `intercept` can answer instead. It is closed with the test. */
async function proxy(t, intercept) {
    const server = http.createServer((req, res) => {
        if (intercept(req, res)) {
            return;
        }
        const { accept } = req.headers;
        http.get(far.datacenter.imgapi + req.url, { headers: { accept: accept || '*/*' } }, (answer) => {
            res.writeHead(answer.statusCode, answer.headers);
            answer.pipe(res);
        }).once('error', () => res.destroy());
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
        server.close();
        server.closeAllConnections();
    });
    return `http://127.0.0.1:${server.address().port}`;
}

test('the workflows are stored once, and are as they should be at the next start', async () => {
    const before = await workflows();
    assert.deepStrictEqual(before.map(({ name }) => name.replace(/-8\..*/, '')).sort(),
        ['create-from-vm', 'import-remote-image']);
    const other = await startImgapi(running, { wfapi: { ...running.config.wfapi, url: wf.url, forceMd5Check: true } });
    try {
        await coal.waitFor('the other IMGAPI to be connected',
            () => other.log().some((record) => record.connected === true));
    } finally {
        await other.stop();
    }
    const stored = await workflows();
    assert.deepStrictEqual(stored, before);
});

test('an image comes with the three origins that are missing', async () => {
    const uuids = await chain(ORIGINS);
    const image = uuids.at(-1);
    const [imported] = await call(client, 'adminImportRemoteImageAndWait', image, far.datacenter.imgapi,
        { skipOwnerCheck: true });
    assert.strictEqual(imported.state, 'active');
    for (const uuid of uuids) {
        assert.strictEqual(await state(uuid), 'active');
        const [here, there] = await Promise.all([client, source].map(
            async (from) => digestsOf(await call(from, 'getImageFileStream', uuid))));
        assert.deepStrictEqual(here, there);
    }
    const jobs = await (await fetch(`${imgapi.url}/images/${image}/jobs`)).json();
    assert.deepStrictEqual(jobs.map((job) => [job.execution, job.task, job.params.origins]),
        [['succeeded', 'import-remote-image', uuids.slice(0, -1)]]);
});

test('what was begun is deleted when the file cannot be had, what is complete stays', async (t) => {
    const uuids = await chain(1);
    const [origin, image] = uuids;
    const url = await proxy(t, (req, res) => {
        const broken = req.url.startsWith(`/images/${image}/file`);
        if (broken) {
            res.writeHead(500, { 'content-type': 'application/json' });
            res.end(JSON.stringify({ code: 'InternalError', message: 'the disk is on fire' }));
        }
        return broken;
    });
    const job = await importFrom(url, image);
    assert.strictEqual(job.execution, 'failed');
    assert.strictEqual(job.chain_results.at(-1).name, 'add_image_file');
    assert.ok(job.chain_results.at(-1).error, JSON.stringify(job.chain_results));
    assert.deepStrictEqual(job.onerror_results.map(({ name, error }) => [name, error]),
        [['delete_created', ''], ['On error', 'Error executing job']]);
    assert.strictEqual(await state(image), null);
    assert.strictEqual(await state(origin), 'active');
    // Now the import works, with the images that exist already.
    const again = await importFrom(far.datacenter.imgapi, image);
    assert.strictEqual(again.execution, 'succeeded', JSON.stringify(again.chain_results));
    assert.strictEqual(again.params.origins, undefined);
    assert.strictEqual(await state(image), 'active');
});

test('an origin whose file is wrong leaves nothing', async (t) => {
    const [origin, image] = await chain(1);
    const url = await proxy(t, (req, res) => {
        const broken = req.url.startsWith(`/images/${origin}/file`);
        if (broken) {
            res.end('not the file');
        }
        return broken;
    });
    const job = await importFrom(url, image);
    assert.strictEqual(job.execution, 'failed');
    assert.strictEqual(job.chain_results.at(-1).name, 'origin_import_images');
    assert.deepStrictEqual([await state(origin), await state(image)], [null, null]);
});

test('two imports that need the same origin get it once', async (t) => {
    const [origin, image] = await chain(1);
    const { uuid: other } = await activeImage(source, manifest(far.account('admin'), { name: 'other', origin }));
    const held = [];
    let holding = true;
    const url = await proxy(t, (req, res) => {
        const hold = holding && req.url.startsWith(`/images/${origin}/file`);
        if (hold) {
            held.push(res);
        }
        return hold;
    });
    const first = await startImport(url, image);
    await coal.waitFor('the origin to be fetched', () => held.length > 0);
    // The origin exists but is not active, so the import must not continue; a request a moment earlier would wait.
    const refused = await fetch(`${imgapi.url}/images/${other}?action=import-remote&skip_owner_check=true&` +
        `source=${encodeURIComponent(url)}`, { method: 'POST' });
    assert.strictEqual((await refused.json()).code, 'OriginIsNotActive');
    const { workflow } = await wf.job(first);
    const { uuid: second } = await wf.expect(201, 'POST', '/jobs', {
        workflow, task: 'import-remote-image', target: `/import-remote-${other}`, image_uuid: other, source: url,
        skip_owner_check: true, origins: [origin], req_id: crypto.randomUUID()
    });
    await coal.waitFor('the second job to run', async () => (await wf.job(second)).execution === 'running');
    holding = false;
    const answer = await fetch(`${far.datacenter.imgapi}/images/${origin}/file`);
    const file = Buffer.from(await answer.arrayBuffer());
    for (const res of held) {
        res.writeHead(200, { 'content-length': file.length, 'content-type': 'application/octet-stream' });
        res.end(file);
    }
    for (const [job, uuid] of [[first, image], [second, other]]) {
        const finished = await wf.finished(job);
        assert.strictEqual(finished.execution, 'succeeded', JSON.stringify(finished.chain_results));
        assert.strictEqual(await state(uuid), 'active');
    }
    assert.strictEqual((await wf.job(second)).chain_results[0].result, 'Imported 0 of 1 origins');
});

/* Returns a VM of an account that was created from an image in this datacenter. */
async function aVm(owner) {
    const base = await activeImage(client, manifest(running.account('admin'), { public: true, name: 'base' }));
    return machines.addVm(owner, base.uuid);
}

/* Requests an image of a VM, and resolves to the finished job and the image. */
async function imageOf(vm, owner) {
    const [{ image_uuid: uuid, job_uuid: job }] = await call(client, 'createImageFromVm',
        { name: 'of-a-vm', version: '1.0.0', owner }, { vm_uuid: vm });
    const finished = await wf.finished(job);
    return { job: finished, image: (await call(client, 'getImage', uuid))[0] };
}

test('a VM becomes an image', async () => {
    const owner = running.account('admin');
    const vm = await aVm(owner);
    const [image] = await call(client, 'createImageFromVmAndWait',
        { name: 'of-a-vm', version: '1.0.0', owner, description: 'mine' }, { vm_uuid: vm, incremental: true });
    assert.strictEqual(image.state, 'active');
    assert.strictEqual(image.description, 'mine');
    const { jobid, ...request } = machines.requests.at(-1);
    assert.strictEqual((await wf.job(jobid)).vm_uuid, vm);
    assert.strictEqual(request.prepare_image_script, fs.readFileSync(SCRIPT, 'utf8'));
    assert.deepStrictEqual({ ...request, manifest: request.manifest.uuid, prepare_image_script: null }, {
        compression: 'gzip', imgapi_url: imgapi.url, incremental: true, manifest: image.uuid, prepare_image_script: null
    });
});

test('what went wrong on the compute node is told by the image', async () => {
    const owner = running.account('admin');
    const vm = await aVm(owner);
    const { node } = machines;
    const failures = [
        [{ error: JSON.stringify({ code: 'PrepareImageError', message: 'disk on fire' }) }, 'PrepareImageError', /^disk on fire$/],
        [{ error: 'zfs send', details: { error: 'broken pipe' } }, undefined, /zfs send, broken pipe/],
        [{ error: { message: 'no such VM' } }, undefined, /no such VM/]
    ];
    try {
        for (const [event, code, message] of failures) {
            machines.node = () => Promise.reject(Object.assign(new Error('node'), { event }));
            const { job, image } = await imageOf(vm, owner);
            assert.strictEqual(job.execution, 'failed');
            assert.strictEqual(image.state, 'failed', JSON.stringify(job.onerror_results));
            assert.match(image.error.message, message);
            assert.ok(code === undefined || image.error.code === code, JSON.stringify(image.error));
        }
    } finally {
        machines.node = node;
    }
});

test('a VM that is gone when the job begins leaves a failed image', async () => {
    const owner = running.account('admin');
    const vm = await aVm(owner);
    const stored = machines.vms[vm];
    let asked = 0;
    Object.defineProperty(machines.vms, vm, { configurable: true, get: () => (asked++ === 0 ? stored : undefined) });
    const { job, image } = await imageOf(vm, owner);
    assert.strictEqual(job.chain_results.at(-1).name, 'vmapi.get_vm_server');
    assert.strictEqual(image.state, 'failed');
    assert.strictEqual(image.error.code, 'ResourceNotFound');
});

test('no image is begun of a VM that is not there', async () => {
    const err = await call(client, 'createImageFromVm', { name: 'x', version: '1', owner: running.account('admin') },
        { vm_uuid: crypto.randomUUID() }).then(() => null, (refused) => refused);
    assert.strictEqual(err.body.code, 'InvalidParameter');
});

test('there are no new jobs while the Workflow API is away, and the old ones are there when it is back', async () => {
    const owner = running.account('admin');
    const vm = await aVm(owner);
    const { image } = await imageOf(vm, owner);
    const jobs = () => fetch(`${imgapi.url}/images/${image.uuid}/jobs`);
    await wf.api.stop();
    await coal.waitFor('its absence to be noticed', async () => (await jobs()).status === 503);
    await assert.rejects(call(client, 'createImageFromVm', { name: 'x', version: '1', owner }, { vm_uuid: vm }),
        { statusCode: 503 });
    assert.strictEqual(await state(image.uuid), 'active');
    await wf.startApi();
    const listed = await coal.waitFor('its return to be noticed', async () => {
        const answer = await jobs();
        return answer.status === 200 && answer.json();
    });
    assert.deepStrictEqual(listed.map((job) => job.execution), ['succeeded']);
    assert.strictEqual((await imageOf(vm, owner)).image.state, 'active');
});
