/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Images of VMs, with Triton's Workflow API and coal's VMAPI and CNAPI.
 */

const assert = require('node:assert');
const { Readable } = require('node:stream');
const { after, before, test } = require('node:test');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { freePort, startImgapi } = require('./lib/imgapi');
const { digestsOf, imgapiClient, manifest } = require('./lib/images');
const { startWorkflow } = require('./lib/wf');

let running;
let imgapi;
let client;
let wf;

before(async () => {
    running = await coal.start();
    const port = await freePort();
    imgapi = await startImgapi(running, {
        wfapi: { ...running.config.wfapi, url: `http://127.0.0.1:${port}` }, allowLocalCreateImageFromVm: true
    });
    client = imgapiClient(running, { url: imgapi.url });
    wf = await startWorkflow(running, { imgapiUrl: imgapi.url }, { port });
    await coal.waitFor('IMGAPI to store its workflows',
        async () => (await wf.expect(200, 'GET', '/workflows')).length === 2);
});

after(async () => {
    if (client) {
        client.close();
    }
    for (const open of [imgapi, wf, running]) {
        if (open) {
            await open.stop();
        }
    }
});

/* Returns one of coal's VMs by its alias. The image that it was created from is imported. */
async function vmWithImage(alias) {
    const vm = running.datacenter.vms.find((one) => one.alias === alias);
    const uuid = vm.image_uuid;
    const present = await call(client, 'getImage', uuid).then(() => true, () => false);
    if (!present) {
        const content = zlib.gzipSync(uuid);
        await call(client, 'adminImportImage', manifest(running.account('admin'), {
            uuid, public: true, published_at: '2026-01-01T00:00:00.000Z'
        }), {});
        await call(client, 'addImageFile',
            { uuid, compression: 'gzip', file: Readable.from([content]), size: content.length });
        await call(client, 'activateImage', uuid);
    }
    return vm;
}

for (const [alias, options] of [['smartos', { incremental: true }], ['bhyve', {}]]) {
    test(`a VM becomes an image of its owner: ${alias}`, async () => {
        const vm = await vmWithImage(alias);
        const [image] = await call(client, 'createImageFromVmAndWait', { name: `of-${alias}`, version: '1.0.0' },
            { vm_uuid: vm.uuid, ...options }, vm.owner_uuid);
        assert.strictEqual(image.state, 'active');
        assert.strictEqual(image.owner, vm.owner_uuid);
        assert.strictEqual(image.origin, options.incremental ? vm.image_uuid : undefined);
        const { sha1, size } = await digestsOf(await call(client, 'getImageFileStream', image.uuid));
        assert.deepStrictEqual({ sha1, size }, { sha1: image.files[0].sha1, size: image.files[0].size });
        const [job] = await (await fetch(`${imgapi.url}/images/${image.uuid}/jobs`)).json();
        assert.strictEqual(job.execution, 'succeeded');
        assert.strictEqual(job.vm_uuid, vm.uuid);
    });
}

test('VMs of which no image can be made are refused at once', async () => {
    for (const [alias, code] of [['docker', 'InvalidParameter'], ['on-old-server', 'InsufficientServerVersion']]) {
        const vm = await vmWithImage(alias);
        const err = await call(client, 'createImageFromVm', { name: 'none', version: '1.0.0' }, { vm_uuid: vm.uuid },
            vm.owner_uuid).then(() => null, (refused) => refused);
        assert.strictEqual(err.body.code, code);
    }
});
