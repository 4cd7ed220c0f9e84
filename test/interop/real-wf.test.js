/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Triton's Workflow API on coal's Moray: the workflows and jobs that IMGAPI needs. Their tasks call IMGAPI with the clients of
 * Triton's tasks.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { imgapiClient, manifest, morayClient } = require('./lib/images');
const { startWorkflow } = require('./lib/wf');

let running;
let wf;
let imgapi;

before(async () => {
    running = await coal.start({ imgapi: true });
    imgapi = imgapiClient(running);
    wf = await startWorkflow(running);
});

after(async () => {
    for (const open of [imgapi, wf && { close: () => wf.stop() }, running && { close: () => running.stop() }]) {
        if (open) {
            await open.close();
        }
    }
});

/* Tasks. Only their source reaches the runner, so they cannot use anything else of this file. */

function createImage(job, cb) {
    var client = new sdcClients.IMGAPI({ url: imgapiUrl, agent: false, headers: { 'x-request-id': job.params.req_id } });
    client.createImage(job.params.manifest, function (err, image) {
        client.close();
        if (err) {
            cb(err);
            return;
        }
        job.created = image.uuid;
        cb(null, 'Created image');
    });
}

function readImage(job, cb) {
    var client = restify.createJsonClient({ url: imgapiUrl, agent: false });
    client.get('/images/' + job.created, function (err, req, res, image) {
        client.close();
        cb(err, image && image.state);
    });
}

function readUnknownImage(job, cb) {
    var client = new sdcClients.IMGAPI({ url: imgapiUrl, agent: false });
    client.getImage('00000000-0000-4000-8000-000000000000', function (err) {
        client.close();
        cb(err);
    });
}

function deleteImage(job, cb) {
    var client = new sdcClients.IMGAPI({ url: imgapiUrl, agent: false });
    client.deleteImage(job.created, function (err) {
        client.close();
        cb(err, 'Deleted image');
    });
}

function refuse(job, cb) {
    cb('Error executing job');
}

function succeed(job, cb) {
    cb(null, 'Went well');
}

function never() {
}

function crash() {
    throw new Error('on purpose');
}

function noteError(err, job, cb) {
    job.error = { message: err.message || err };
    cb(err);
}

function rescue(err, job, cb) {
    job.rescued = String(err);
    cb(null);
}

function tellProgress(job, cb) {
    info({ percentage: 50 });
    cb(null);
}

/* Ends when the file exists. */
function waitForFile(job, cb) {
    (function look() {
        if (fs.existsSync(job.params.file)) {
            cb(null, 'Found it');
        } else {
            setTimeout(look, 20);
        }
    })();
}

function secondAttempt(job, cb) {
    job.attempts = (job.attempts || 0) + 1;
    cb(job.attempts < 2 ? 'not yet' : null);
}

const CLIENTS = { sdcClients: 'sdc-clients', restify: 'restify' };

function task(body, more = {}) {
    const { fallback, ...rest } = more;
    return {
        name: body.name, body: body.toString(), modules: CLIENTS, timeout: 60, retry: 1,
        ...(fallback && { fallback: fallback.toString() }), ...rest
    };
}

function workflow(name, chain, more = {}) {
    return wf.expect(201, 'POST', '/workflows', { name, chain, timeout: 300, ...more });
}

async function start(stored, params = {}) {
    const job = await wf.expect(201, 'POST', '/jobs', {
        workflow: stored.uuid, target: `/${stored.name}-${crypto.randomUUID()}`, req_id: crypto.randomUUID(), ...params
    });
    assert.strictEqual(job.execution, 'queued');
    return job;
}

/* Runs a workflow with these tasks once. */
async function run(name, chain, more, params) {
    return wf.finished((await start(await workflow(name, chain, more), params)).uuid);
}

function results(entries) {
    return entries.map(({ name, result, error }) => ({ name, result, error }));
}

async function imageState(uuid) {
    return (await call(imgapi, 'getImage', uuid))[0].state;
}

function newImage() {
    return manifest(running.account('admin'), { name: 'by-a-job' });
}

test('the probes of IMGAPI are answered', async () => {
    const ping = await wf.expect(200, 'GET', '/ping');
    assert.strictEqual(ping.backend, 'up');
    const check = await wf.request('GET', '/workflows/workflow-check');
    assert.strictEqual(check.status, 404);
    assert.strictEqual(check.body.code, 'ResourceNotFound');
});

test('workflows are created, found by name, replaced and deleted', async () => {
    const stored = await workflow('crud-1.0.0', [task(succeed)]);
    assert.match(stored.chain_md5, /^[0-9a-f]{32}$/);
    assert.match(stored.chain[0].uuid, /^[0-9a-f-]{36}$/);
    assert.deepStrictEqual(JSON.parse(stored.chain[0].modules), CLIENTS);
    const again = await wf.request('POST', '/workflows', { name: 'crud-1.0.0', chain: [task(succeed)] });
    assert.strictEqual(again.status, 409);
    await workflow('crud-1.0.0-beta', [task(succeed)]);
    const named = await wf.expect(200, 'GET', '/workflows?name=crud-1.0.0');
    assert.deepStrictEqual(named.map((found) => found.uuid), [stored.uuid]);
    assert.strictEqual((await wf.expect(200, 'GET', '/workflows?name=crud-*')).length, 2);
    assert.strictEqual((await wf.expect(200, 'GET', `/workflows/${stored.uuid}`)).name, 'crud-1.0.0');

    const chain = [task(succeed), task(refuse)];
    await wf.expect(200, 'PUT', `/workflows/${stored.uuid}`, { name: 'crud-1.0.0', chain, onerror: [task(refuse)], timeout: 7 });
    const replaced = await wf.expect(200, 'GET', `/workflows/${stored.uuid}`);
    assert.deepStrictEqual(replaced.chain, chain);
    assert.strictEqual(replaced.timeout, 7);
    assert.strictEqual((await wf.request('DELETE', `/workflows/${stored.uuid}`)).status, 204);
    assert.strictEqual((await wf.request('GET', `/workflows/${stored.uuid}`)).status, 404);
});

test('a job succeeds whose tasks call IMGAPI with both clients', async () => {
    const job = await run('succeed-1.0.0', [task(createImage), task(readImage)], {}, { manifest: newImage() });
    assert.strictEqual(job.execution, 'succeeded', JSON.stringify(job.chain_results));
    assert.deepStrictEqual(results(job.chain_results), [
        { name: 'createImage', result: 'Created image', error: '' },
        { name: 'readImage', result: 'unactivated', error: '' }
    ]);
    assert.strictEqual((await call(imgapi, 'getImage', job.created))[0].name, 'by-a-job');
});

test('a job whose PUT replaced workflow stores modules as an object succeeds, too', async () => {
    const stored = await workflow('replaced-1.0.0', [task(refuse)]);
    await wf.expect(200, 'PUT', `/workflows/${stored.uuid}`, { name: stored.name, chain: [task(createImage)] });
    const job = await wf.finished((await start(stored, { manifest: newImage() })).uuid);
    assert.strictEqual(job.execution, 'succeeded', JSON.stringify(job.chain_results));
});

test('a failure of a client ends the chain, and onerror cleans up', async () => {
    const job = await run('fail-1.0.0', [task(createImage), task(readUnknownImage), task(succeed)],
        { onerror: [task(deleteImage), task(refuse)] }, { manifest: newImage() });
    assert.strictEqual(job.execution, 'failed');
    assert.strictEqual(job.chain_results.length, 2);
    const { error } = job.chain_results[1];
    assert.strictEqual(error.statusCode, 404);
    assert.strictEqual(error.body.code, 'ResourceNotFound');
    assert.deepStrictEqual(results(job.onerror_results), [
        { name: 'deleteImage', result: 'Deleted image', error: '' },
        { name: 'refuse', result: '', error: 'Error executing job' }
    ]);
    await assert.rejects(call(imgapi, 'getImage', job.created), { statusCode: 404 });
});

test('a job is failed after a clean onerror, too', async () => {
    const job = await run('fail-clean-1.0.0', [task(refuse)], { onerror: [task(succeed)] });
    assert.strictEqual(job.execution, 'failed');
    assert.deepStrictEqual(results(job.onerror_results), [{ name: 'succeed', result: 'Went well', error: '' }]);
});

test('a fallback rescues a task, or notes its error', async () => {
    const rescued = await run('rescue-1.0.0', [task(refuse, { fallback: rescue }), task(succeed)]);
    assert.strictEqual(rescued.execution, 'succeeded');
    assert.strictEqual(rescued.rescued, 'Error executing job');
    assert.strictEqual(rescued.chain_results.length, 2);

    const noted = await run('note-1.0.0', [task(readUnknownImage, { fallback: noteError })]);
    assert.strictEqual(noted.execution, 'failed');
    // Objects that a task adds come back as text.
    assert.match(JSON.parse(noted.error).message, /not found/);
});

test('attempts are counted, and exceptions are failures', async () => {
    const second = await run('attempts-1.0.0', [task(secondAttempt, { retry: 2 })]);
    assert.strictEqual(second.execution, 'succeeded');
    const crashed = await run('crash-1.0.0', [task(crash)]);
    assert.strictEqual(crashed.execution, 'failed');
    assert.match(crashed.chain_results[0].error, /on purpose/);
});

test('a task times out, and a workflow does without the fallback of its task', async () => {
    const slow = await run('slow-task-1.0.0', [task(never, { timeout: 1, fallback: noteError })], { onerror: [task(succeed)] });
    assert.strictEqual(slow.execution, 'failed');
    assert.strictEqual(slow.chain_results[0].error, 'task timeout error');
    assert.deepStrictEqual(JSON.parse(slow.error), { message: 'task timeout error' });
    assert.strictEqual(slow.onerror_results.length, 1);

    const whole = await run('slow-workflow-1.0.0', [task(never, { fallback: noteError })],
        { timeout: 1, onerror: [task(succeed)] });
    assert.strictEqual(whole.execution, 'failed');
    assert.ok(whole.chain_results.some((entry) => entry.error === 'workflow timeout'));
    assert.strictEqual(whole.error, undefined);
    assert.strictEqual(whole.onerror_results.length, 1);
});

// This is how the engine works: its runner does not check whether a running job was cancelled, and overwrites the mark at the
// end.
test('a job that is cancelled while it runs goes on to its end, without oncancel', async () => {
    const file = path.join(running.directory, 'go-on');
    const stored = await workflow('cancel-1.0.0', [task(succeed), task(waitForFile, { modules: { fs: 'fs' } })],
        { oncancel: [task(succeed)], onerror: [task(refuse)] });
    const { uuid } = await start(stored, { file });
    await coal.waitFor('the first task', async () => (await wf.job(uuid)).chain_results.length === 1);
    await wf.expect(200, 'POST', `/jobs/${uuid}/cancel`);
    assert.strictEqual((await wf.job(uuid)).execution, 'canceled');
    fs.writeFileSync(file, '');
    const job = await coal.waitFor('the last task', async () => {
        const found = await wf.job(uuid);
        return found.execution !== 'canceled' && found;
    });
    assert.strictEqual(job.execution, 'succeeded');
    assert.deepStrictEqual([job.onerror_results, job.oncancel_results], [[], []]);
});

test('a job that is cancelled before it runs never does', async () => {
    const stored = await workflow('cancel-queued-1.0.0', [task(succeed)], { oncancel: [task(succeed)] });
    const later = new Date(Date.now() + 3600 * 1000).toISOString();
    const { uuid } = await start(stored, { exec_after: later });
    await wf.expect(200, 'POST', `/jobs/${uuid}/cancel`);
    // The queue is in order: after the next job has ended, the runner has skipped this one.
    assert.strictEqual((await run('after-cancelled-1.0.0', [task(succeed)])).execution, 'succeeded');
    const job = await wf.job(uuid);
    assert.strictEqual(job.execution, 'canceled');
    assert.deepStrictEqual(job.chain_results || [], []);
});

// Members that a task sets on its job are visible to the next tasks at once, and to others at the end of the job.
test('what a task sets is there in the end', async () => {
    const file = path.join(running.directory, 'look');
    const stored = await workflow('properties-1.0.0', [task(createImage), task(waitForFile, { modules: { fs: 'fs' } })]);
    const { uuid } = await start(stored, { manifest: newImage(), file });
    const before = await coal.waitFor('the first task', async () => {
        const job = await wf.job(uuid);
        return job.chain_results.length === 1 && job;
    });
    assert.strictEqual(before.created, undefined);
    fs.writeFileSync(file, '');
    assert.strictEqual(await imageState((await wf.finished(uuid)).created), 'unactivated');
});

test('a job that is over cannot be cancelled, and an unknown workflow not be run', async () => {
    const over = await run('over-1.0.0', [task(succeed)]);
    assert.strictEqual((await wf.request('POST', `/jobs/${over.uuid}/cancel`)).status, 409);
    const unknown = await wf.request('POST', '/jobs', { workflow: crypto.randomUUID(), target: '/x' });
    assert.ok([404, 409].includes(unknown.status), String(unknown.status));
});

test('jobs are listed by image and task, newest first and without their tasks', async () => {
    const stored = await workflow('list-1.0.0', [task(succeed)]);
    const broken = await workflow('list-broken-1.0.0', [task(refuse)]);
    const image = crypto.randomUUID();
    const jobs = [];
    for (const [from, name] of [[stored, 'import'], [broken, 'import'], [stored, 'create'], [stored, 'import']]) {
        jobs.push((await start(from, { image_uuid: image, task: name })).uuid);
        await wf.finished(jobs.at(-1));
    }
    const list = async (query) => {
        const answer = await wf.request('GET', `/jobs?image_uuid=${image}${query}`);
        assert.strictEqual(answer.status, 200, JSON.stringify(answer.body));
        return { uuids: answer.body.map((job) => job.uuid), count: answer.headers.get('x-count'), jobs: answer.body };
    };
    const all = await list('');
    assert.deepStrictEqual(all.uuids, [...jobs].reverse());
    all.jobs.forEach((job) => {
        assert.strictEqual(job.chain, undefined);
        assert.strictEqual(job.image_uuid, image);
        assert.strictEqual(job.params.image_uuid, image);
    });
    assert.deepStrictEqual((await list('&task=import')).uuids, [jobs[3], jobs[1], jobs[0]]);
    assert.deepStrictEqual((await list('&task=import&execution=failed')).uuids, [jobs[1]]);
    assert.deepStrictEqual((await list('&execution=queued')).uuids, []);
    const page = await list('&limit=2&offset=1');
    assert.deepStrictEqual(page.uuids, [jobs[2], jobs[1]]);
    assert.strictEqual(page.count, '4');
    assert.strictEqual((await wf.request('GET', '/jobs?sort=name')).status, 409);
    assert.strictEqual((await wf.request('GET', '/jobs?execution=waiting')).status, 409);
});

test('a job that waits already is not taken twice', async () => {
    const stored = await workflow('twice-1.0.0', [task(waitForFile, { modules: { fs: 'fs' } })]);
    const body = { workflow: stored.uuid, target: '/twice', file: path.join(running.directory, 'twice') };
    const first = await wf.expect(201, 'POST', '/jobs', body);
    assert.strictEqual((await wf.request('POST', '/jobs', body)).status, 409);
    // IMGAPI chooses the uuid, so that it can find out whether a job was created.
    const uuid = crypto.randomUUID();
    const other = await wf.expect(201, 'POST', '/jobs', { ...body, target: '/other', uuid });
    assert.strictEqual(other.uuid, uuid);
    assert.strictEqual((await wf.request('POST', '/jobs', { ...body, target: '/third', uuid })).status, 412);
    fs.writeFileSync(body.file, '');
    for (const job of [first, other]) {
        assert.strictEqual((await wf.finished(job.uuid)).execution, 'succeeded');
    }
});

test('progress is noted and read', async () => {
    const job = await run('progress-1.0.0', [task(tellProgress)]);
    await wf.expect(200, 'POST', `/jobs/${job.uuid}/info`, { percentage: 100 });
    const told = await wf.expect(200, 'GET', `/jobs/${job.uuid}/info`);
    assert.deepStrictEqual(told.map((entry) => (entry.data || entry).percentage), [50, 100]);
});

test('operators get statistics, which are SQL of the engine\'s own', async () => {
    await run('statistics-1.0.0', [task(succeed)]);
    const { current } = await wf.expect(200, 'GET', '/stats');
    assert.ok(current.succeeded > 0);
    const moray = await morayClient(running);
    const counts = [];
    await new Promise((resolve, reject) => {
        const rows = moray.sql('SELECT count(_id), execution FROM wf_jobs WHERE execution = $1 GROUP BY execution', ['failed']);
        rows.on('record', (row) => counts.push(row));
        rows.once('error', reject);
        rows.once('end', resolve);
    });
    moray.close();
    assert.deepStrictEqual(counts.map((row) => row.execution), ['failed']);
    assert.match(counts[0].count, /^[1-9]\d*$/);
});

test('a runner that dies loses its jobs, and the next one cancels them', async () => {
    const stored = await workflow('lost-1.0.0', [task(never)], { onerror: [task(succeed)], oncancel: [task(succeed)] });
    const { uuid } = await start(stored);
    await coal.waitFor('the job to run', async () => (await wf.job(uuid)).execution === 'running');
    await wf.runner.stop('SIGKILL');
    wf.startRunner();
    const lost = await wf.finished(uuid);
    assert.strictEqual(lost.execution, 'canceled');
    // No chain runs for such a job, so the caller who waits for the job must clean up.
    assert.deepStrictEqual([lost.onerror_results || [], lost.oncancel_results || []], [[], []]);
    assert.strictEqual((await run('after-1.0.0', [task(succeed)])).execution, 'succeeded');
});
