/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's Workflow API, VMAPI and CNAPI with the clients of Triton's services.
 */

const assert = require('node:assert');
const path = require('node:path');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');
const { CNAPI, VMAPI } = require('sdc-clients');
const WfClient = require('wf-client');

const coal = require('./lib/coal');
const { call } = require('./lib/call');

const log = bunyan.createLogger({ name: 'workflow', level: 'fatal' });

let running;
const clients = [];

function wfClient(options) {
    const client = new WfClient({
        url: running.datacenter.workflow,
        path: path.join(__dirname, 'data', 'workflows'),
        workflows: ['greet'],
        log,
        agent: false,
        ...options
    });
    clients.push(client);
    return client;
}

before(async () => {
    running = await coal.start();
});

after(async () => {
    clients.forEach((client) => client.close());
    if (running) {
        await running.stop();
    }
});

function vm(alias) {
    return running.datacenter.vms.find((one) => one.alias === alias);
}

function settled(client, uuid) {
    return coal.waitFor('the job', async () => {
        const job = await call(client, 'getJob', uuid);
        return ['queued', 'running'].includes(job.execution) ? null : job;
    });
}

test('workflows are loaded, and replaced when they are not the same', async () => {
    const first = wfClient({ forceMd5Check: true });
    await call(first, 'initWorkflows');
    const uuid = first.uuids.greet;
    const posted = await call(first, 'getWorkflow', uuid);
    assert.strictEqual(posted.chain[0].modules, '{"restify":"restify"}');
    const second = wfClient({ forceMd5Check: true });
    await call(second, 'initWorkflows');
    assert.strictEqual(second.uuids.greet, uuid);
    const put = await call(second, 'getWorkflow', uuid);
    assert.deepStrictEqual(put.chain[0].modules, { restify: 'restify' });
    const third = wfClient({ forceMd5Check: true });
    assert.ok(third.md5Matches(put, 'greet'));
    assert.ok(await call(third, 'ping'));
});

test('a job runs, and is listed', async () => {
    const client = wfClient();
    await call(client, 'initWorkflows');
    const { uuid } = vm('smartos');
    const job = await call(client, 'createJob', 'greet',
        { target: '/greet', vm_uuid: uuid, task: 'greet' });
    const done = await settled(client, job.uuid);
    assert.strictEqual(done.execution, 'succeeded');
    assert.strictEqual(done.chain_results[0].result, 'hello smartos');
    const jobs = await call(client, 'listJobs', { vm_uuid: uuid, task: 'greet' });
    assert.deepStrictEqual(jobs.map((one) => one.uuid), [job.uuid]);
});

test('a job fails, and tells the error of the service', async () => {
    const client = wfClient();
    await call(client, 'initWorkflows');
    const job = await call(client, 'createJob', 'greet',
        { target: '/none', vm_uuid: 'none' });
    const done = await settled(client, job.uuid);
    assert.strictEqual(done.execution, 'failed');
    assert.strictEqual(done.chain_results[0].error.body.code, 'ResourceNotFound');
    assert.strictEqual(done.onerror_results[0].result, 'told');
});

test('machines, servers and tasks are those of the services', async () => {
    const vmapi = new VMAPI({ url: running.datacenter.vmapi, log, agent: false });
    const cnapi = new CNAPI({ url: running.datacenter.cnapi, log, agent: false });
    clients.push(vmapi);
    const { uuid, owner_uuid: owner } = vm('kvm');
    const [found] = await call(vmapi, 'getVm', { uuid, owner_uuid: owner });
    assert.strictEqual(found.disks[0].image_uuid, vm('kvm').image_uuid);
    const [server] = await call(cnapi, 'getServer', found.server_uuid);
    assert.strictEqual(server.sysinfo['SDC Version'], '7.0');
    await assert.rejects(call(cnapi, 'getTask', 'none'), { statusCode: 404 });
});
