/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Triton's Workflow API: the API and the runner of the npm package wf, which store workflows and jobs in coal's Moray.
 */

const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const { waitFor } = require('./coal');
const { freePort } = require('./imgapi');

const PROGRAMS = path.join(path.dirname(require.resolve('wf/package.json')), 'bin');
const STOP_DEADLINE_MS = 30 * 1000;
const FINAL = ['succeeded', 'failed', 'canceled'];

/* The members that Triton's configuration indexes besides the engine's own. */
const EXTRA = ['vm_uuid', 'server_uuid', 'image_uuid', 'creator_uuid', 'origin', 'task'];

/* As in Triton's template, but the queue is polled more often. */
function configuration({ moray, port, sandbox }) {
    const extra = Object.fromEntries(EXTRA.map((name) => [name, { type: 'string', index: true, unique: false }]));
    return {
        backend: {
            module: 'wf-moray-backend',
            opts: {
                moray,
                extra_fields: { wf_workflows: {}, wf_jobs: extra, wf_jobs_info: {} },
                version: 5
            }
        },
        api: { port, wf_extra_params: [], job_extra_params: EXTRA },
        runner: {
            identifier: crypto.randomUUID(),
            forks: 10,
            do_fork: false,
            run_interval: 50,
            activity_interval: 30000,
            sandbox: {
                modules: { urlModule: 'url', http: 'http', restify: 'restify', sdcClients: 'sdc-clients', vasync: 'vasync' },
                ...sandbox
            }
        }
    };
}

/* A program of wf whose log goes to a file. */
class Program {
    constructor(name, configFile, directory) {
        this.name = name;
        this.ended = null;
        this.logFile = path.join(directory, `${name}.log`);
        const log = fs.openSync(this.logFile, 'a');
        this.child = spawn(process.execPath, [path.join(PROGRAMS, name), configFile], { stdio: ['ignore', log, log] });
        fs.closeSync(log);
        this.exited = new Promise((resolve) => {
            this.child.once('exit', (code, sig) => {
                this.ended = sig || code;
                resolve();
            });
        });
    }

    log() {
        return fs.readFileSync(this.logFile, 'utf8');
    }

    check() {
        if (this.ended !== null) {
            throw new Error(`${this.name} ended (${this.ended}): ${this.log()}`);
        }
    }

    async stop(sig = 'SIGTERM') {
        this.child.kill(sig);
        const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
        await this.exited;
        clearTimeout(timer);
    }
}

/*
 * A running Workflow API.
 *
 *   url     of the API
 *   runner  the program that runs the jobs
 */
class Workflow {
    constructor(url, directory, configFile) {
        this.url = url;
        this.program = (name) => new Program(name, configFile, directory);
        this.api = null;
        this.runner = null;
    }

    async startApi() {
        this.api = this.program('workflow-api');
        await waitFor('wf', async () => {
            this.api.check();
            const answer = await fetch(`${this.url}/workflows/workflow-check`).catch(() => null);
            return answer && answer.status === 404;
        });
    }

    startRunner() {
        this.runner = this.program('workflow-runner');
    }

    /* They start one after the other, because both would create the buckets. */
    async ready() {
        await this.startApi();
        this.startRunner();
        await waitFor('wf runner', () => {
            this.runner.check();
            return this.runner.log().includes('Workflow Runner up!');
        });
    }

    /* Sends a request and resolves to the response, with the parsed body in `body`. */
    async request(method, where, body) {
        const answer = await fetch(this.url + where, {
            method,
            headers: { accept: 'application/json', 'accept-version': '*', 'content-type': 'application/json' },
            body: body && JSON.stringify(body)
        });
        const text = await answer.text();
        return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : null };
    }

    /* Returns the body of an answer that must have this status. */
    async expect(status, method, where, body) {
        const answer = await this.request(method, where, body);
        if (answer.status !== status) {
            throw new Error(`${method} ${where}: ${answer.status} ${JSON.stringify(answer.body)}`);
        }
        return answer.body;
    }

    job(uuid) {
        return this.expect(200, 'GET', `/jobs/${uuid}`);
    }

    /* Waits until the job has ended, and returns it. */
    finished(uuid) {
        return waitFor(`job ${uuid}`, async () => {
            this.runner.check();
            const job = await this.job(uuid);
            return FINAL.includes(job.execution) && !job.runner_id && job;
        });
    }

    async stop() {
        await Promise.all([this.api, this.runner].filter(Boolean).map((program) => program.stop()));
    }
}

/*
 * Starts the API and the runner on coal's Moray. Tasks have the members of `sandbox` as global variables, besides the URLs of
 * coal's services.
 */
async function startWorkflow(running, sandbox = {}, { port } = {}) {
    const directory = path.join(running.directory, 'wf');
    const configFile = path.join(directory, 'config.json');
    const listen = port || await freePort();
    const { datacenter } = running;
    fs.mkdirSync(directory);
    fs.writeFileSync(configFile, JSON.stringify(configuration({
        moray: running.moray(),
        port: listen,
        sandbox: {
            imgapiUrl: datacenter.imgapi, vmapiUrl: datacenter.vmapi, cnapiUrl: datacenter.cnapi,
            wfapiUrl: `http://127.0.0.1:${listen}`, ...sandbox
        }
    })));
    const workflow = new Workflow(`http://127.0.0.1:${listen}`, directory, configFile);
    try {
        await workflow.ready();
    } catch (err) {
        await workflow.stop();
        throw err;
    }
    return workflow;
}

module.exports = { startWorkflow };
