/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Every kind of job with every kind of end. The results must be the same with coal's Workflow API and with Triton's.
 */

const assert = require('node:assert');
const http = require('node:http');
const { after, before, describe, test } = require('node:test');
const { Readable } = require('node:stream');
const zlib = require('node:zlib');

const coal = require('./lib/coal');
const { call } = require('./lib/call');
const { ENGINES, startEngine } = require('./lib/engines');
const { activeImage, digestsOf, imgapiClient, manifest } = require('./lib/images');

const CREATE = ['vmapi.get_vm_server', 'cnapi.queue_create_from_vm_task', 'cnapi.poll_task'];
const IMPORT = ['origin_import_images', 'import_image', 'add_image_file', 'activate_image'];

/* Returns the results of a chain that ended with these tasks. If there is an error, the last task has failed. */
function chain(tasks, error = '') {
    return tasks.map((name, at) => [name, at === tasks.length - 1 ? error : '']);
}

function failed(task) {
    return [[task, ''], ['On error', 'Error executing job']];
}

const WELL = { execution: 'succeeded', onerror: [], oncancel: [] };
const CANCELLED = 'the job was canceled';

/*
 * Scenarios and their expected ends. `run` gets the engine and the test, and resolves to the uuid of the job and the uuids of the
 * images to check, with the main image of the job last. `more` checks the images further.
 */
const SCENARIOS = [
    {
        name: 'a VM becomes an image',
        run: (engine) => engine.ofVm('smartos'),
        end: { ...WELL, chain: chain(CREATE), states: ['active'] },
        more: async (engine, [image]) => {
            assert.strictEqual(image.origin, undefined);
            await engine.hasItsFile(image);
        }
    },
    {
        name: 'a VM becomes an incremental image',
        run: (engine) => engine.ofVm('lx', { incremental: true }),
        end: { ...WELL, chain: chain(CREATE), states: ['active'] },
        more: async (engine, [image]) => {
            assert.strictEqual(image.origin, engine.vm('lx').image_uuid);
            await engine.hasItsFile(image);
        }
    },
    {
        name: 'a running VM is stopped to become an image',
        run: (engine) => engine.ofVm('running'),
        end: { ...WELL, chain: chain(CREATE), states: ['active'] },
        more: async (engine) => {
            const { uuid } = engine.vm('running');
            const vm = await (await fetch(`${engine.near.vmapi}/vms/${uuid}`)).json();
            assert.strictEqual(vm.state, 'running');
        }
    },
    {
        name: 'an image comes with the three origins that are missing',
        run: async (engine) => engine.importOf(await engine.images(4)),
        end: { ...WELL, chain: chain(IMPORT), states: ['active', 'active', 'active', 'active'] },
        more: (engine, images) => engine.areThoseOf(images)
    },
    {
        name: 'an image is copied from another datacenter with its two private origins',
        run: async (engine) => {
            const shared = await engine.images(1, { public: true });
            await engine.finished((await engine.importOf(shared)).job);
            const owner = engine.account('imgapitestluke');
            return engine.copyOf(await engine.images(3, { owner, origin: shared[0] }), owner);
        },
        end: { ...WELL, chain: chain(IMPORT), states: ['active', 'active', 'active'] },
        more: (engine, images) => {
            assert.deepStrictEqual(new Set(images.map(({ owner }) => owner)), new Set([engine.account('imgapitestluke')]));
            return engine.areThoseOf(images);
        }
    },
    {
        name: 'the source dies half way',
        run: async (engine, t) => {
            const uuids = await engine.images(2);
            const url = await engine.proxy(t, `/images/${uuids[1]}/file`, (answer, res) => {
                res.writeHead(answer.statusCode, answer.headers);
                answer.once('data', (chunk) => res.write(chunk.subarray(0, chunk.length / 2), () => res.destroy()));
            });
            return engine.importOf(uuids, url);
        },
        end: {
            execution: 'failed', chain: chain(IMPORT.slice(0, 3), 'cannot import from the source'),
            onerror: failed('delete_created'), oncancel: [], states: ['active', null]
        }
    },
    {
        name: 'the source dies half way through an origin',
        run: async (engine, t) => {
            const uuids = await engine.images(2);
            const url = await engine.proxy(t, `/images/${uuids[0]}/file`, (answer, res) => res.destroy());
            return engine.importOf(uuids, url);
        },
        end: {
            execution: 'failed', chain: chain(IMPORT.slice(0, 1), 'cannot import from the source'),
            onerror: failed('delete_created'), oncancel: [], states: [null, null]
        }
    },
    ...[
        ['a text', { fault: 'text', message: 'zfs send', details: 'broken pipe' }, { message: 'zfs send, broken pipe' }],
        ['an object', { fault: 'object', message: 'no such dataset' }, { message: 'no such dataset' }],
        ['imgadm\'s', { fault: 'json', code: 'PrepareImageError', message: 'disk on fire' },
            { code: 'PrepareImageError', message: 'disk on fire' }],
        ['nothing', { fault: 'silent' }, { message: 'Unexpected error occured' }]
    ].map(([what, fault, error]) => ({
        name: `the task of CNAPI fails, and its error is ${what}`,
        run: (engine) => engine.ofVm('smartos', {}, fault),
        end: {
            execution: 'failed', chain: chain(CREATE, error.code ? `{"code":"${error.code}"` : error.message),
            onerror: failed('imgapi.mark_image_failed'), oncancel: [], states: ['failed'], error
        }
    })),
    {
        name: 'the compute node dies half way',
        run: (engine) => engine.ofVm('smartos', {}, { fault: 'die_half_way' }),
        end: {
            execution: 'failed', chain: chain(CREATE, '{"code":"ClientError"'),
            onerror: failed('imgapi.mark_image_failed'), oncancel: [], states: ['failed']
        }
    },
    {
        name: 'a job is cancelled while a compute node makes the image',
        run: async (engine) => {
            const begun = await engine.ofVm('smartos', {}, { fault: 'never_end' });
            await engine.has(begun.job, 2);
            assert.strictEqual(await engine.cancel(begun.job), 200);
            return begun;
        },
        end: {
            execution: 'failed', chain: chain(CREATE, CANCELLED), onerror: failed('imgapi.mark_image_failed'), oncancel: [],
            states: ['failed'], error: { message: CANCELLED }
        }
    },
    {
        name: 'a job is cancelled while a file is fetched',
        run: async (engine, t) => {
            const uuids = await engine.images(2);
            let asked = false;
            const url = await engine.proxy(t, `/images/${uuids[1]}/file`, () => { asked = true; });
            const begun = await engine.importOf(uuids, url);
            await coal.waitFor('the file to be fetched', () => asked);
            assert.strictEqual(await engine.cancel(begun.job), 200);
            return begun;
        },
        end: {
            execution: 'failed', chain: chain(IMPORT.slice(0, 3), CANCELLED), onerror: failed('delete_created'), oncancel: [],
            states: ['active', null]
        }
    },
    {
        name: 'the Workflow API restarts in the middle of a job',
        run: async (engine, t) => {
            const uuids = await engine.images(1);
            let goOn = null;
            const url = await engine.proxy(t, `/images/${uuids[0]}/file`, (answer, res) => {
                goOn = () => {
                    res.writeHead(answer.statusCode, answer.headers);
                    answer.pipe(res);
                };
            });
            const begun = await engine.importOf(uuids, url);
            await coal.waitFor('the file to be fetched', () => goOn);
            await engine.stopApi();
            const ask = async (where) => (await fetch(engine.engine.imgapi + where)).status;
            await coal.waitFor('its absence to be noticed', async () => await ask(`/images/${uuids[0]}/jobs`) === 503);
            assert.strictEqual(await ask('/ping'), 200);
            goOn();
            await coal.waitFor('the image', async () => (await engine.states(uuids))[0] === 'active');
            await engine.startApi();
            await coal.waitFor('its return to be noticed', async () => await ask(`/images/${uuids[0]}/jobs`) === 200);
            return begun;
        },
        end: { ...WELL, chain: chain(IMPORT), states: ['active'] },
        more: (engine, images) => engine.areThoseOf(images)
    },
    {
        name: 'a runner dies while a file is fetched, and the image is imported again',
        run: async (engine, t) => {
            const uuids = await engine.images(2);
            let asked = false;
            const url = await engine.proxy(t, `/images/${uuids[1]}/file`, () => { asked = true; });
            const { job } = await engine.importOf(uuids, url);
            await coal.waitFor('the file to be fetched', () => asked);
            await engine.restartRunner();
            const lost = await engine.finished(job);
            assert.strictEqual(lost.execution, 'canceled');
            assert.deepStrictEqual(await engine.states(uuids), ['active', 'unactivated']);
            return engine.importOf(uuids);
        },
        end: { ...WELL, chain: chain(IMPORT), states: ['active', 'active'] },
        more: (engine, images) => engine.areThoseOf(images)
    },
    {
        name: 'a runner dies while an origin is fetched, and the image is imported again',
        run: async (engine, t) => {
            const uuids = await engine.images(2);
            let asked = false;
            const url = await engine.proxy(t, `/images/${uuids[0]}/file`, () => { asked = true; });
            const { job } = await engine.importOf(uuids, url);
            await coal.waitFor('the file to be fetched', () => asked);
            await engine.restartRunner();
            await engine.finished(job);
            assert.deepStrictEqual(await engine.states(uuids), ['unactivated', null]);
            return engine.importOf(uuids);
        },
        end: { ...WELL, chain: chain(IMPORT), states: ['active', 'active'] }
    }
];

/* The engine and the clients that the scenarios use. */
class Stage {
    constructor(engine) {
        this.engine = engine;
        this.near = engine.near;
        this.here = imgapiClient(engine.running, { url: engine.imgapi });
        this.there = imgapiClient(engine.running, { url: engine.far.imgapi });
        for (const name of ['job', 'finished', 'cancel', 'restartRunner', 'stopApi', 'startApi']) {
            this[name] = engine[name].bind(engine);
        }
    }

    close() {
        this.here.close();
        this.there.close();
    }

    account(login) {
        return this.engine.running.account(login);
    }

    vm(alias) {
        return this.near.vms.find((vm) => vm.alias === alias);
    }

    async found(client, uuid) {
        try {
            return (await call(client, 'getImage', uuid))[0];
        } catch (err) {
            assert.strictEqual(err.statusCode, 404, err.message);
            return null;
        }
    }

    async states(uuids) {
        const images = await Promise.all(uuids.map((uuid) => this.found(this.here, uuid)));
        return images.map((image) => image && image.state);
    }

    /* Waits until the job has the results of this many tasks. */
    has(uuid, tasks) {
        return coal.waitFor('the tasks of a job', async () => (await this.job(uuid)).chain_results.length >= tasks);
    }

    /* Starts a job, and resolves to it and its images. */
    async begin(where, body, uuids) {
        const answer = await fetch(this.engine.imgapi + where, {
            method: 'POST', headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body)
        });
        const started = await answer.json();
        assert.strictEqual(answer.status, 200, JSON.stringify(started));
        assert.strictEqual(answer.headers.get('workflow-api'), this.engine.jobs);
        return { job: started.job_uuid, images: uuids || [started.image_uuid] };
    }

    /* Creates an image of one of coal's VMs. */
    async ofVm(alias, options = {}, fault = null) {
        const vm = this.vm(alias);
        if (!await this.found(this.here, vm.image_uuid)) {
            const uuid = vm.image_uuid;
            const content = zlib.gzipSync(uuid);
            await call(this.here, 'adminImportImage', manifest(this.account('admin'), {
                uuid, public: true, published_at: '2026-01-01T00:00:00.000Z'
            }), {});
            await call(this.here, 'addImageFile',
                { uuid, compression: 'gzip', file: Readable.from([content]), size: content.length });
            await call(this.here, 'activateImage', uuid);
        }
        await this.engine.cnapi(fault && { ...fault, times: 1 });
        const query = new URLSearchParams({ action: 'create-from-vm', vm_uuid: vm.uuid, ...options });
        return this.begin(`/images?${query}`, { name: `of-${alias}`, version: '1.0.0', owner: vm.owner_uuid });
    }

    /* Creates images in the other datacenter, each the origin of the next, and resolves to their uuids. */
    async images(count, { owner = this.account('admin'), origin = null, ...members } = {}) {
        const uuids = [];
        while (uuids.length < count) {
            const before = uuids.at(-1) || origin;
            const more = before ? { ...members, origin: before } : members;
            uuids.push((await activeImage(this.there, manifest(owner, { name: 'link', ...more }))).uuid);
        }
        return uuids;
    }

    importOf(uuids, source = this.engine.far.imgapi) {
        const query = new URLSearchParams({ action: 'import-remote', source });
        return this.begin(`/images/${uuids.at(-1)}?${query}`, null, uuids);
    }

    copyOf(uuids, account) {
        const query = new URLSearchParams({ action: 'import-from-datacenter', datacenter: this.engine.far.name, account });
        return this.begin(`/images/${uuids.at(-1)}?${query}`, null, uuids);
    }

    /* A proxy of the other datacenter's IMGAPI, which passes the answers for one path to `spoil`. It is closed with the test. */
    async proxy(t, spoilt, spoil) {
        const server = http.createServer((req, res) => {
            res.on('error', () => {});
            const { accept } = req.headers;
            http.get(this.engine.far.imgapi + req.url, { headers: { accept: accept || '*/*' } }, (answer) => {
                if (req.url.startsWith(spoilt)) {
                    spoil(answer, res);
                    return;
                }
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

    async hasItsFile(image) {
        const { sha1, size } = await digestsOf(await call(this.here, 'getImageFileStream', image.uuid));
        assert.deepStrictEqual({ sha1, size }, { sha1: image.files[0].sha1, size: image.files[0].size });
    }

    async areThoseOf(images) {
        for (const { uuid } of images) {
            const [one, other] = await Promise.all([this.here, this.there].map(
                async (from) => digestsOf(await call(from, 'getImageFileStream', uuid))));
            assert.deepStrictEqual(one, other);
        }
    }
}

/* Returns the results of a chain without varying members. Of a long message, only the expected beginning is kept. */
function results(entries, expected) {
    return (entries || []).map(({ name, error }, at) => {
        const message = error && typeof error === 'object' ? error.message : error;
        const wanted = expected[at] ? expected[at][1] : '';
        return [name, wanted && message.startsWith(wanted) ? wanted : message];
    });
}

for (const name of ENGINES) {
    describe(`on the engine of ${name}`, () => {
        let engine;
        let stage;

        before(async () => {
            engine = await startEngine(name);
            stage = new Stage(engine);
        });

        after(async () => {
            if (stage) {
                stage.close();
            }
            if (engine) {
                await engine.stop();
            }
        });

        for (const { name: scenario, run, end, more } of SCENARIOS) {
            test(scenario, async (t) => {
                const { job: uuid, images: uuids } = await run(stage, t);
                const job = await stage.finished(uuid);
                const images = await Promise.all(uuids.map((one) => stage.found(stage.here, one)));
                const { error: expectedError, ...expected } = end;
                assert.deepStrictEqual({
                    execution: job.execution,
                    chain: results(job.chain_results, expected.chain),
                    onerror: results(job.onerror_results, expected.onerror),
                    oncancel: results(job.oncancel_results, expected.oncancel),
                    states: images.map((image) => image && image.state)
                }, expected, JSON.stringify(job.chain_results));
                for (const entry of job.chain_results) {
                    assert.deepStrictEqual(Object.keys(entry).sort(), ['error', 'finished_at', 'name', 'result', 'started_at']);
                }
                if (expectedError) {
                    const { message, code } = images.at(-1).error;
                    assert.deepStrictEqual(code ? { code, message } : { message }, expectedError);
                }
                if (more) {
                    await more(stage, images);
                }
                await engine.cnapi(null);
            });
        }
    });
}
