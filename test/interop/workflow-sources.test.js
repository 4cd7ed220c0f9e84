/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The functions of src/jobs/workflows, called one after the other by the task runner of Triton's Workflow API as its jobs call
 * them, with services that fail at the worst moments.
 */

const acorn = require('acorn');
const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { after, before, beforeEach, test } = require('node:test');
const TaskRunner = require('wf/lib/task-runner');

const SOURCES = path.resolve(__dirname, '..', '..', 'src', 'jobs', 'workflows');

/* The members of a job that a task cannot change. */
const FROZEN = ['chain_results', 'ending_results', 'execution', 'log', 'uuid'];

const CREATE = {
    chain: ['get-vm-server', 'queue-task', 'poll-task']
        .map((name) => task(`create-from-vm/${name}`, 'create-from-vm/note-error')),
    ending: [task('create-from-vm/mark-image-failed')]
};
const IMPORT = {
    chain: ['import-origins', 'import-image', 'add-image-file', 'activate-image']
        .map((name) => task(`import-remote-image/${name}`)),
    ending: [task('import-remote-image/delete-created')]
};

/* Images by UUID, and answers that replace the usual ones, by method, path and action. */
let images;
let instead;
let calls;
let cnapiTask;
let server;
let sandbox;

/* A function, with the shared ones inside it, as src/jobs/workflows/mod.rs puts them together. */
function source(name) {
    const text = fs.readFileSync(path.join(SOURCES, `${name}.js`), 'utf8');
    return text.slice(text.indexOf('\nfunction ') + 1).trim()
        .replace(/\/\/ include (\S+)\.js/g, (line, shared) => source(shared));
}

function task(name, fallback) {
    return {
        name,
        body: source(name),
        fallback: fallback && source(fallback),
        timeout: 60,
        retry: 1,
        modules: { restify: 'restify' }
    };
}

before(async () => {
    server = http.createServer(serve);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${server.address().port}`;
    sandbox = { imgapiUrl: url, vmapiUrl: url, cnapiUrl: url };
});

after(() => {
    server.close();
    server.closeAllConnections();
});

beforeEach(() => {
    images = {};
    instead = {};
    calls = [];
    cnapiTask = { status: 'complete' };
});

function serve(req, res) {
    let body = '';
    req.on('data', (chunk) => { body += chunk; });
    req.on('end', () => {
        const url = new URL(req.url, 'http://x');
        const action = url.searchParams.get('action');
        const call = `${req.method} ${url.pathname}${action ? `?${action}` : ''}`;
        calls.push({ call, target: req.url, body });
        const answer = instead[call] ? instead[call](req) : usual(req.method, url, action, body);
        if (!answer) {
            req.socket.destroy();
            return;
        }
        if (answer instanceof Promise) {
            return;
        }
        res.writeHead(answer[0], { 'content-type': 'application/json', etag: 'a-tag' });
        res.end(answer[0] === 204 ? '' : JSON.stringify(answer[1]));
    });
}

function refusal(status, code) {
    return [status, { code, message: code }];
}

function usual(method, url, action, body) {
    const [, kind, uuid, file] = url.pathname.split('/');
    const image = images[uuid];
    if (kind === 'vms') {
        return [200, { uuid, server_uuid: 'server' }];
    }
    if (kind === 'servers') {
        return [200, { id: 'task' }];
    }
    if (kind === 'tasks') {
        return [200, cnapiTask];
    }
    if (action === 'import') {
        if (image) {
            return refusal(409, 'ImageUuidAlreadyExists');
        }
        images[uuid] = { uuid, state: 'unactivated' };
        return [200, images[uuid]];
    }
    if (!image) {
        return refusal(404, 'ResourceNotFound');
    }
    if (method === 'DELETE') {
        delete images[uuid];
        return [204];
    }
    if (file) {
        image.file = true;
    } else if (action === 'activate') {
        if (!image.file) {
            return refusal(422, 'NoActivationNoFile');
        }
        image.state = 'active';
    } else if (action === 'update') {
        Object.assign(image, JSON.parse(body));
    }
    return [200, image];
}

/* Runs one task after the other, each on a copy of the job, until one fails. */
async function run(job, tasks, results) {
    for (const one of tasks) {
        const message = await new Promise((resolve) => {
            const runner = TaskRunner({ job: structuredClone(job), task: one, sandbox: { ...sandbox, modules: {} } });
            runner.runTask((told) => {
                runner.markDone();
                resolve(told);
            });
        });
        for (const name of Object.keys(message.job).filter((own) => !FROZEN.includes(own))) {
            job[name] = message.job[name];
        }
        job[results].push({ result: message.result, error: message.error });
        if (message.error) {
            return false;
        }
    }
    return true;
}

/* Runs a job to its end. If it fails, the chain for errors runs as well. */
async function runJob(workflow, params) {
    const job = { uuid: 'job', execution: 'running', params, chain_results: [], ending_results: [] };
    job.execution = await run(job, workflow.chain, 'chain_results') ? 'succeeded' : 'failed';
    if (job.execution === 'failed') {
        assert.ok(await run(job, workflow.ending, 'ending_results'), JSON.stringify(job.ending_results));
    }
    return job;
}

function createJob() {
    return runJob(CREATE, {
        image_uuid: 'image', vm_uuid: 'vm', compression: 'gzip', incremental: true, manifest: { name: 'a' },
        prepare_image_script: 'script', max_origin_depth: 4, req_id: 'id'
    });
}

function importJob() {
    return runJob(IMPORT, {
        image_uuid: 'image', origins: ['base', 'middle', 'top'], source: 'http://far?channel=dev',
        skip_owner_check: true, req_id: 'id'
    });
}

function states() {
    return Object.fromEntries(Object.values(images).map((image) => [image.uuid, image.state]));
}

test('a source is one function in the language of Node.js 6', () => {
    const files = fs.readdirSync(SOURCES, { recursive: true }).filter((name) => name.endsWith('.js'));
    assert.equal(files.length, 13);
    for (const file of files) {
        const text = fs.readFileSync(path.join(SOURCES, file), 'utf8');
        const { body } = acorn.parse(text, { ecmaVersion: 6, sourceType: 'script' });
        assert.deepEqual(body.map((statement) => statement.type), ['FunctionDeclaration'], file);
    }
});

test('a compute node is told what to make', async () => {
    images.image = { uuid: 'image', state: 'active' };
    assert.equal((await createJob()).execution, 'succeeded');
    const { call, body } = calls[1];
    assert.equal(call, 'POST /servers/server/vms/vm/images');
    assert.deepEqual(JSON.parse(body), {
        jobid: 'job', compression: 'gzip', imgapi_url: sandbox.imgapiUrl, incremental: true, manifest: { name: 'a' },
        prepare_image_script: 'script', max_origin_depth: 4
    });
});

test('a placeholder says why there is no image', async () => {
    const error = (event) => ({ name: 'error', event });
    const line = (level, message) => ({ level, message });
    for (const [history, expected] of [
        [[error({ error: 'bad', details: { error: 'worse' } })], { message: 'bad, worse' }],
        [[error({ error: { message: '{"code":"VmHasNoOrigin"}' } })], { code: 'VmHasNoOrigin' }],
        [[error({ error: { message: 'E' } }),
            { name: 'finish', event: { log: [line('error', 'a'), line('info', 'b')] } }], { message: 'E: a' }],
        [[], { message: 'Unexpected error occured' }]
    ]) {
        images.image = { uuid: 'image', state: 'creating' };
        cnapiTask = { status: 'failure', history };
        assert.equal((await createJob()).execution, 'failed');
        assert.equal(images.image.state, 'failed');
        assert.deepEqual(images.image.error, expected);
    }
    images.image = { uuid: 'image', state: 'creating' };
    instead['GET /vms/vm'] = () => refusal(404, 'ResourceNotFound');
    await createJob();
    assert.deepEqual(images.image.error, { message: 'ResourceNotFound', code: 'ResourceNotFound' });
});

test('an image that has become active stays so, and one that is gone is no matter', async () => {
    cnapiTask = { status: 'failure', history: [] };
    images.image = { uuid: 'image', state: 'active' };
    await createJob();
    assert.deepEqual(states(), { image: 'active' });
    images = {};
    await createJob();
    assert.deepEqual(states(), {});
});

test('an image that becomes active while it is looked at is not marked', async () => {
    cnapiTask = { status: 'failure', history: [] };
    images.image = { uuid: 'image', state: 'unactivated' };
    let attempts = 0;
    instead['POST /images/image?update'] = (req) => {
        assert.equal(req.headers['if-match'], 'a-tag');
        attempts += 1;
        images.image.state = 'active';
        return refusal(412, 'PreconditionFailed');
    };
    await createJob();
    assert.deepEqual([attempts, images.image.state], [1, 'active']);
});

test('a job that is cancelled ends its task', async () => {
    sandbox.wfapiUrl = sandbox.imgapiUrl;
    instead['GET /jobs/job'] = () => [200, { uuid: 'job', execution: 'canceled' }];
    try {
        cnapiTask = { status: 'active' };
        images.image = { uuid: 'image', state: 'creating' };
        assert.equal((await createJob()).execution, 'failed');
        assert.deepEqual(images.image.error, { message: 'the job was canceled' });
        // The upload of this file never ends, and the cancelled job must not wait for it.
        for (const held of ['base', 'image']) {
            images = {};
            instead[`PUT /images/${held}/file`] = () => new Promise(() => {});
            assert.equal((await importJob()).execution, 'failed');
            delete instead[`PUT /images/${held}/file`];
            assert.equal(images[held], undefined);
        }
    } finally {
        delete sandbox.wfapiUrl;
    }
});

test('CNAPI may be away while the image is made', async () => {
    images.image = { uuid: 'image', state: 'active' };
    let polls = 0;
    instead['GET /tasks/task'] = () => {
        polls += 1;
        return [null, refusal(503, 'ServiceUnavailable'), [200, cnapiTask]][polls - 1];
    };
    assert.equal((await createJob()).execution, 'succeeded');
    assert.equal(polls, 3);
});

test('a job that is cancelled lets its placeholder say so', async () => {
    images.image = { uuid: 'image', state: 'creating' };
    const params = { image_uuid: 'image', req_id: 'id' };
    const job = { uuid: 'job', execution: 'canceled', params, chain_results: [], ending_results: [] };
    assert.ok(await run(job, CREATE.ending, 'ending_results'));
    assert.deepEqual(images.image, { uuid: 'image', state: 'failed', error: { message: 'the job was canceled' } });
});

test('origins are imported before the image, the base first', async () => {
    assert.equal((await importJob()).execution, 'succeeded');
    assert.deepEqual(states(), { base: 'active', middle: 'active', top: 'active', image: 'active' });
    const from = 'job_uuid=job&source=http%3A%2F%2Ffar%3Fchannel%3Ddev';
    assert.deepEqual(calls.slice(0, 3).map((made) => made.target), [
        `/images/base?action=import&skip_owner_check=true&${from}`, `/images/base/file?${from}`,
        '/images/base?action=activate'
    ]);
    assert.equal(calls.length, 12);
});

test('what is unfinished is deleted, and what is complete stays', async () => {
    instead['PUT /images/middle/file'] = () => refusal(503, 'RemoteSourceError');
    assert.equal((await importJob()).execution, 'failed');
    assert.deepEqual(states(), { base: 'active' });
    images = {};
    instead = { 'PUT /images/image/file': () => null };
    assert.equal((await importJob()).execution, 'failed');
    assert.deepEqual(states(), { base: 'active', middle: 'active', top: 'active' });
});

test('an import whose answer was lost is deleted', async () => {
    instead['POST /images/image?import'] = () => {
        images.image = { uuid: 'image', state: 'unactivated' };
        return null;
    };
    assert.equal((await importJob()).execution, 'failed');
    assert.equal(images.image, undefined);
});

test('images that somebody else imports are not deleted', async () => {
    images.image = { uuid: 'image', state: 'unactivated' };
    assert.equal((await importJob()).execution, 'failed');
    assert.equal(images.image.state, 'unactivated');
    images = { middle: { uuid: 'middle', state: 'disabled' } };
    assert.equal((await importJob()).execution, 'failed');
    assert.deepEqual(states(), { middle: 'disabled', base: 'active' });
});

test('an origin that somebody else imports is waited for, and imported when they give up', async () => {
    images.middle = { uuid: 'middle', state: 'unactivated' };
    instead['GET /images/middle'] = () => {
        images.middle.state = 'active';
        delete instead['GET /images/middle'];
        return [200, { uuid: 'middle', state: 'unactivated' }];
    };
    assert.equal((await importJob()).execution, 'succeeded');
    images = { middle: { uuid: 'middle', state: 'unactivated' } };
    instead['GET /images/middle'] = () => {
        delete images.middle;
        return refusal(404, 'ResourceNotFound');
    };
    assert.equal((await importJob()).execution, 'succeeded');
    assert.deepEqual(states(), { base: 'active', middle: 'active', top: 'active', image: 'active' });
});
