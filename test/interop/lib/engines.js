/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Two datacenters. The jobs of the first one are run by coal's or by Triton's Workflow API.
 */

const coal = require('./coal');
const { freePort, startImgapi } = require('./imgapi');
const { startWorkflow } = require('./wf');

const FINAL = ['succeeded', 'failed', 'canceled'];

/* Sends a request to coal's control. */
async function control(datacenter, method, where, body) {
    const answer = await fetch(datacenter.control + where, {
        method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body)
    });
    if (!answer.ok) {
        throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
    }
}

/*
 *   near, far   the datacenters from the ready-file
 *   imgapi      URL of the IMGAPI that starts the jobs
 *   jobs        URL of the Workflow API
 */
class Engine {
    constructor(running, imgapi, jobs) {
        [this.near, this.far] = running.datacenters;
        this.running = running;
        this.imgapi = imgapi;
        this.jobs = jobs;
    }

    async job(uuid) {
        return (await fetch(`${this.jobs}/jobs/${uuid}`)).json();
    }

    /* Waits until no runner works on the job any more, and returns the job. */
    finished(uuid) {
        return coal.waitFor(`job ${uuid}`, async () => {
            const job = await this.job(uuid);
            return FINAL.includes(job.execution) && !job.runner_id && job;
        });
    }

    async cancel(uuid) {
        const answer = await fetch(`${this.jobs}/jobs/${uuid}/cancel`, { method: 'POST' });
        return answer.status;
    }

    /* Injects a fault into the creation of images, until `cnapi(null)` is called. */
    cnapi(fault) {
        return fault ? control(this.near, 'POST', '/cnapi/tasks/faults', fault) :
            control(this.near, 'DELETE', '/cnapi/tasks/faults');
    }
}

class Coals extends Engine {
    /* Kills the runner, and starts another one. */
    restartRunner() {
        return control(this.near, 'POST', '/workflow/runner/restart');
    }

    /* Stops the API, but not the runner. */
    stopApi() {
        return control(this.near, 'POST', '/workflow/stop');
    }

    startApi() {
        return control(this.near, 'POST', '/workflow/start');
    }

    stop() {
        return this.running.stop();
    }
}

class Tritons extends Engine {
    async restartRunner() {
        await this.wf.runner.stop('SIGKILL');
        this.wf.startRunner();
    }

    stopApi() {
        return this.wf.api.stop();
    }

    startApi() {
        return this.wf.startApi();
    }

    async stop() {
        for (const open of [this.own, this.wf, this.running]) {
            if (open) {
                await open.stop();
            }
        }
    }
}

const STARTS = {
    async coal(running) {
        const [near] = running.datacenters;
        return new Coals(running, near.imgapi, near.workflow);
    },
    async wf(running) {
        const port = await freePort();
        const url = `http://127.0.0.1:${port}`;
        const own = await startImgapi(running, { wfapi: { ...running.config.wfapi, url } });
        const engine = new Tritons(running, own.url, url);
        engine.own = own;
        engine.wf = await startWorkflow(running, { imgapiUrl: own.url }, { port });
        return engine;
    }
};

/* Starts the engine with this name, and waits until jobs can be started. */
async function startEngine(name) {
    const running = await coal.start({ imgapi: true, args: ['--datacenters', '2'] });
    try {
        const engine = await STARTS[name](running);
        await coal.waitFor('the workflows', async () => {
            const stored = await (await fetch(`${engine.jobs}/workflows`)).json();
            return stored.length === 2;
        });
        return engine;
    } catch (err) {
        await running.stop();
        throw err;
    }
}

module.exports = { ENGINES: Object.keys(STARTS), startEngine };
