/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The parts of VMAPI and CNAPI that images of VMs need, and a compute node that creates them.
 */

const crypto = require('node:crypto');
const http = require('node:http');
const { Readable } = require('node:stream');
const { json } = require('node:stream/consumers');
const zlib = require('node:zlib');

const IMGAPI = require('sdc-clients/lib/imgapi');

const { call } = require('./call');

/* Does what `imgadm create --publish` does. The content of the image is arbitrary. */
async function publish(request, { log }) {
    const client = IMGAPI.createClient({ url: request.imgapi_url, agent: false, retry: false, log });
    const { uuid } = request.manifest;
    const file = zlib.gzipSync(`image ${uuid}`);
    const sha1 = crypto.createHash('sha1').update(file).digest('hex');
    try {
        await call(client, 'adminImportImage', {
            v: 2, type: 'zone-dataset', os: 'smartos', ...request.manifest,
            files: [{ sha1, size: file.length, compression: request.compression }]
        }, {});
        await call(client, 'addImageFile', {
            uuid, compression: request.compression, file: Readable.from([file]), size: file.length, sha1
        });
        await call(client, 'activateImage', uuid);
    } finally {
        client.close();
    }
}

/*
 * One server on localhost for both services.
 *
 *   vms       by uuid, in VMAPI's format
 *   requests  the requests for images
 *   node      handles a request like a compute node; can be replaced for another outcome. If it throws, the task fails with
 *             the `event` of the thrown object
 */
class Machines {
    constructor(log) {
        this.vms = {};
        this.tasks = {};
        this.requests = [];
        this.server = crypto.randomUUID();
        this.node = (request) => publish(request, { log });
        this.http = http.createServer((req, res) => {
            this.answer(req).then(([status, body]) => {
                res.writeHead(status, { 'content-type': 'application/json' });
                res.end(JSON.stringify(body));
            }, (err) => res.destroy(err));
        });
    }

    async answer(req) {
        const [, kind, uuid, , vm] = new URL(req.url, this.url).pathname.split('/');
        if (req.method === 'POST' && uuid === this.server && this.vms[vm]) {
            return [200, { id: this.begin(await json(req)) }];
        }
        const servers = { [this.server]: { sysinfo: { 'SDC Version': '7.0' }, current_platform: '20260101T000000Z' } };
        const found = { vms: this.vms, tasks: this.tasks, servers }[kind][uuid];
        return found ? [200, found] : [404, { code: 'ResourceNotFound', message: `no ${kind} ${uuid}` }];
    }

    begin(request) {
        const task = { id: crypto.randomUUID(), status: 'active', history: [] };
        this.tasks[task.id] = task;
        this.requests.push(request);
        this.node(request).then(() => {
            task.status = 'complete';
        }, (err) => {
            task.history.push({ name: 'error', event: err.event || { error: err.message } });
            task.status = 'failure';
        });
        return task.id;
    }

    /* Returns the uuid of a new VM that was created from this image. */
    addVm(owner, image) {
        const uuid = crypto.randomUUID();
        this.vms[uuid] = {
            uuid, owner_uuid: owner, image_uuid: image, server_uuid: this.server, brand: 'joyent', state: 'running'
        };
        return uuid;
    }

    stop() {
        this.http.close();
        this.http.closeAllConnections();
    }
}

async function startMachines(log) {
    const machines = new Machines(log);
    await new Promise((resolve) => machines.http.listen(0, '127.0.0.1', resolve));
    machines.url = `http://127.0.0.1:${machines.http.address().port}`;
    return machines;
}

module.exports = { startMachines };
