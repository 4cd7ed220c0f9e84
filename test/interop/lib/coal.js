/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Starts coal for a test: its backends alone, or a whole datacenter.
 */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..', '..');
const START_DEADLINE_MS = 120 * 1000;
const STOP_DEADLINE_MS = 60 * 1000;
const POLL_MS = 25;

/*
 * Returns the path of one of our programs: $COAL or $IMGAPI, or the newest build.
 */
function program(name) {
    const chosen = process.env[name.toUpperCase()];
    if (chosen) {
        return path.resolve(chosen);
    }
    const target = path.resolve(ROOT, process.env.CARGO_TARGET_DIR || 'target');
    const built = ['release', 'debug']
        .map((profile) => path.join(target, profile, name))
        .filter((file) => fs.existsSync(file))
        .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs);
    if (built.length === 0) {
        throw new Error(`no ${name} below ${target}: build it first`);
    }
    return built[0];
}

function delay(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
}

/*
 * Calls `check` until it returns a true value, and returns that.
 */
async function waitFor(what, check, deadlineMs = START_DEADLINE_MS) {
    const end = Date.now() + deadlineMs;
    for (;;) {
        const result = await check();
        if (result) {
            return result;
        }
        if (Date.now() > end) {
            throw new Error(`timed out waiting for ${what}`);
        }
        await delay(POLL_MS);
    }
}

/*
 * A running coal.
 *
 *   datacenters the datacenters of the ready-file
 *   datacenter  the first of them
 *   config      the parsed config that was written for imgapi
 *   child       the process
 *   stop()      ends it and resolves to its exit code
 */
class Coal {
    constructor(child, directory, readyFile) {
        this.child = child;
        this.directory = directory;
        this.readyFile = readyFile;
        this.output = '';
        this.datacenter = null;
        this.config = null;
        this.exited = new Promise((resolve) => {
            child.once('exit', (code, sig) => resolve(sig || code));
            child.once('error', (err) => resolve(err.message));
        });
        for (const stream of [child.stdout, child.stderr]) {
            stream.setEncoding('utf8');
            stream.on('data', (text) => { this.output += text; });
        }
    }

    async ready() {
        let end = null;
        this.exited.then((status) => { end = { status }; });
        await waitFor('coal', () => {
            if (end) {
                throw new Error(`coal ended (${end.status}): ${this.output}`);
            }
            return fs.existsSync(this.readyFile);
        });
        const ready = JSON.parse(fs.readFileSync(this.readyFile, 'utf8'));
        this.datacenters = ready.datacenters;
        this.datacenter = ready.datacenters[0];
        this.config = JSON.parse(
            fs.readFileSync(this.datacenter.config_file, 'utf8'));
    }

    /* Returns host and port of Moray. */
    moray() {
        const [host, port] = this.datacenter.moray.split(':');
        return { host, port: Number(port) };
    }

    /* Returns the uuid of the account with this login. */
    account(login) {
        return this.datacenter.accounts.find((a) => a.login === login).uuid;
    }

    async stop() {
        this.child.kill('SIGTERM');
        const timer = setTimeout(
            () => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
        const status = await this.exited;
        clearTimeout(timer);
        fs.rmSync(this.directory, { recursive: true, force: true });
        return status;
    }
}

/*
 * Starts coal and waits until all services answer.
 *
 *   imgapi      whether to run imgapi as well (default false)
 *   args        more arguments for coal
 */
async function start({ imgapi = false, args = [] } = {}) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'interop-'));
    const readyFile = path.join(directory, 'ready.json');
    const server = imgapi ? ['--imgapi', program('imgapi')] : ['--no-imgapi'];
    const child = spawn(
        program('coal'),
        ['--data', path.join(directory, 'data'), '--ready-file', readyFile,
            ...server, ...args],
        { stdio: ['ignore', 'pipe', 'pipe'] });
    const coal = new Coal(child, directory, readyFile);
    try {
        await coal.ready();
    } catch (err) {
        await coal.stop();
        throw err;
    }
    return coal;
}

module.exports = { start, waitFor, program };
