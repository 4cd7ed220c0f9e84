/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Copies images from one datacenter to another with curl alone.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const { execFile } = require('node:child_process');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const coal = require('./lib/coal');

let running;
let near;
let far;
let luke;
let vader;
let admin;

before(async () => {
    running = await coal.start({ imgapi: true, args: ['--datacenters', '2'] });
    [near, far] = running.datacenters;
    [luke, vader, admin] = ['imgapitestluke', 'imgapitestvader', 'admin'].map((login) => running.account(login));
    await coal.waitFor('the workflows', async () => {
        const { status } = await curl(copy(crypto.randomUUID()));
        return status !== 503;
    });
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

/* Returns status and body of curl's answer with these arguments. */
async function curl(...args) {
    const { stdout } = await promisify(execFile)('curl', ['-sS', '--noproxy', '*', '-w', '\n%{http_code}', ...args]);
    const end = stdout.lastIndexOf('\n');
    const text = stdout.slice(0, end);
    return { status: Number(stdout.slice(end)), text, body: /^[[{]/.test(text) ? JSON.parse(text) : null };
}

async function ok(...args) {
    const { status, text, body } = await curl(...args);
    assert.strictEqual(status, 200, text);
    return body;
}

function json(object) {
    return ['-H', 'content-type: application/json', '-d', JSON.stringify(object)];
}

/* Returns the arguments that copy an image from the far datacenter. */
function copy(uuid, { account = luke, datacenter } = {}) {
    return `${near.imgapi}/images/${uuid}?action=import-from-datacenter&datacenter=${datacenter || far.name}&account=${account}`;
}

/* Creates an image in the far datacenter. */
async function image(owner, { active = true, ...more } = {}) {
    const url = `${far.imgapi}/images`;
    const { uuid } = await ok(...json({
        v: 2, owner, name: 'copied', version: '1.0.0', type: 'other', os: 'other', public: false, ...more
    }), url);
    await ok('-X', 'PUT', '-H', 'content-type: application/octet-stream', '--data-binary', uuid,
        `${url}/${uuid}/file?compression=none`);
    if (active) {
        await ok('-X', 'POST', `${url}/${uuid}?action=activate`);
    }
    return uuid;
}

async function finished(uuid) {
    return coal.waitFor('the job', async () => {
        const job = await ok(`${near.workflow}/jobs/${uuid}`);
        return ['succeeded', 'failed', 'canceled'].includes(job.execution) && job;
    });
}

async function refused(args, status, code, field) {
    const answer = await curl('-X', 'POST', ...[args].flat());
    assert.deepStrictEqual([answer.status, answer.body.code], [status, code], answer.text);
    if (field) {
        assert.deepStrictEqual(answer.body.errors.map((error) => [error.field, error.code]), [field]);
    }
}

test('an image of an account is copied with its two private origins', async () => {
    const shared = await image(admin, { public: true });
    const lower = await image(luke, { origin: shared });
    const upper = await image(luke, { origin: lower });
    const top = await image(luke, { origin: upper });

    // An image that belongs to the operators is not copied on behalf of an account.
    await refused(copy(top), 404, 'ResourceNotFound');
    const source = encodeURIComponent(far.imgapi);
    const shares = await ok('-X', 'POST', `${near.imgapi}/images/${shared}?action=import-remote&source=${source}`);
    assert.strictEqual((await finished(shares.job_uuid)).execution, 'succeeded');

    const started = await ok('-X', 'POST', copy(top));
    assert.strictEqual(started.image_uuid, top);
    const job = await finished(started.job_uuid);
    assert.strictEqual(job.execution, 'succeeded', JSON.stringify(job.chain_results));
    assert.deepStrictEqual(job.params.origins, [lower, upper]);
    for (const uuid of [lower, upper, top]) {
        const copied = await ok(`${near.imgapi}/images/${uuid}?account=${luke}`);
        const there = await ok(`${far.imgapi}/images/${uuid}?account=${luke}`);
        assert.deepStrictEqual(copied, there);
        assert.strictEqual((await curl(`${near.imgapi}/images/${uuid}/file?account=${luke}`)).text, uuid);
    }
    const jobs = await ok(`${near.imgapi}/images/${top}/jobs?account=${luke}`);
    assert.deepStrictEqual(jobs.map((one) => [one.uuid, one.task, one.execution]),
        [[started.job_uuid, 'import-remote-image', 'succeeded']]);
    await refused(copy(top), 409, 'ImageUuidAlreadyExists');
});

test('the wrong copies are refused', async () => {
    // The answer does not reveal that another account has an image, unless the image is public.
    await refused(copy(await image(vader)), 404, 'ResourceNotFound');
    await refused(copy(await image(vader, { public: true })), 401, 'UnauthorizedError');
    await refused(copy(await image(luke, { active: false })), 422, 'ValidationFailed', ['state', 'Invalid']);
    const disabled = await image(luke);
    await ok('-X', 'POST', `${far.imgapi}/images/${disabled}?action=disable`);
    await refused(copy(disabled), 422, 'ValidationFailed', ['state', 'Invalid']);
    const mine = await image(luke);
    await refused(copy(mine, { datacenter: 'nowhere' }), 422, 'ValidationFailed', ['datacenter', 'Invalid']);
    await refused(copy(mine, { datacenter: near.name }), 422, 'ValidationFailed', ['datacenter', 'Invalid']);
    await refused(copy(mine, { account: 'luke' }), 422, 'ValidationFailed', ['account', 'Invalid']);
    await refused(copy(await image(luke, { origin: await image(admin, { public: true }) })), 404, 'ResourceNotFound');
    await refused(copy(await image(luke, { origin: await image(vader) })), 404, 'ResourceNotFound');
    await refused(copy(crypto.randomUUID()), 404, 'ResourceNotFound');
    // None of these requests has started a job.
    const images = await ok(`${near.imgapi}/images?state=all&account=${luke}&name=copied`);
    assert.deepStrictEqual(images.map(({ uuid }) => uuid).filter((uuid) => uuid === mine), []);
});
