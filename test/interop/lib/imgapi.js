/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Starts imgapi with the test's own config. A coal runs the backends.
 */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { program, waitFor } = require('./coal');

const STOP_DEADLINE_MS = 60 * 1000;

let instances = 0;

/* Returns a port that no server listens on. */
function freePort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer();
        // The system uses none of these for outgoing connections.
        server.once('error', (err) => (err.code === 'EADDRINUSE' ? resolve(freePort()) : reject(err)));
        server.listen(10000 + Math.floor(Math.random() * 20000), '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/*
 * A running imgapi.
 *
 *   url     URL of the API
 *   log()   the log records so far
 *   stop()  ends it and resolves to its exit code
 */
class Imgapi {
    constructor(child, url, logFile) {
        this.child = child;
        this.url = url;
        this.logFile = logFile;
        this.ended = false;
        this.exited = new Promise((resolve) => {
            child.once('exit', (code, sig) => {
                this.ended = true;
                resolve(sig || code);
            });
        });
    }

    async ready() {
        await waitFor('imgapi', async () => {
            if (this.ended) {
                throw new Error(`imgapi ended: ${fs.readFileSync(this.logFile, 'utf8')}`);
            }
            const answer = await fetch(`${this.url}/ping`).catch(() => null);
            return answer && answer.ok;
        });
    }

    log() {
        return fs.readFileSync(this.logFile, 'utf8').split('\n').slice(0, -1).map(JSON.parse);
    }

    async stop() {
        this.child.kill('SIGTERM');
        const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
        const status = await this.exited;
        clearTimeout(timer);
        return status;
    }
}

/*
 * Starts imgapi with coal's config, changed by `changes`, and with additional environment variables. Backends may be unavailable.
 */
async function startImgapi(running, changes, environment = {}) {
    const directory = path.join(running.directory, `imgapi-${instances++}`);
    const configFile = path.join(directory, 'config.json');
    const logFile = path.join(directory, 'imgapi.log');
    const [port, metricsPort] = [await freePort(), await freePort()];
    fs.mkdirSync(directory);
    fs.writeFileSync(configFile, JSON.stringify({ ...running.config, port, metricsPort, ...changes }));
    const log = fs.openSync(logFile, 'a');
    const child = spawn(program('imgapi'), ['serve', '-f', configFile], {
        env: { ...process.env, IMGAPI_LOCAL_BASE_DIR: path.join(directory, 'data'), ...environment },
        stdio: ['ignore', log, log]
    });
    fs.closeSync(log);
    const imgapi = new Imgapi(child, `http://127.0.0.1:${port}`, logFile);
    try {
        await imgapi.ready();
    } catch (err) {
        await imgapi.stop();
        throw err;
    }
    return imgapi;
}

module.exports = { freePort, startImgapi };
