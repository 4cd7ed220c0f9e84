#!/bin/sh
#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Guess: a job that POST /jobs/UUID/cancel has answered with 200 and "canceled" stops, or at least stays canceled, and its
# workflow's oncancel chain cleans up.
# What happens (npm wf 1.2.2, the engine of Triton's Workflow API): nobody tells the runner. The running task and all later
# ones run to their end, oncancel never runs, and the job that was "canceled" is "succeeded" in the end.
# Why it matters: a caller who has cancelled must not clean up behind the job, and tasks have to look at their own job.
set -eu

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
echo '{"private": true}' >package.json
npm install --no-audit --no-fund --loglevel=error wf@1.2.2 >/dev/null

# The API and the runner share one in-memory backend, which the package brings.
cat >backend.js <<'END'
let backend;
module.exports = (options) => (backend ||= require('wf/lib/workflow-in-memory-backend')(options));
END

cat >cancel.js <<'END'
const assert = require('node:assert');
const wf = require('wf');

const PORT = Number(process.argv[2]);
const quiet = { streams: [{ level: 'fatal', stream: process.stderr }] };
const backend = () => ({ module: `${__dirname}/backend.js`, opts: {} });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(method, path, body) {
    const answer = await fetch(`http://127.0.0.1:${PORT}${path}`, {
        method, headers: { 'content-type': 'application/json', 'accept-version': '*' }, body: body && JSON.stringify(body)
    });
    return answer.json();
}

async function until(what, check) {
    for (let tries = 0; tries < 600; tries++) {
        const found = await check();
        if (found) {
            return found;
        }
        await wait(50);
    }
    throw new Error(`never: ${what}`);
}

async function main() {
    const api = wf.API({ backend: backend(), api: { port: PORT }, logger: { ...quiet } });
    await new Promise((resolve) => api.init(resolve));
    const runner = wf.Runner({
        backend: backend(), logger: { ...quiet },
        runner: { identifier: 'r', forks: 2, do_fork: false, run_interval: 50, activity_interval: 1000, sandbox: {} }
    });
    await new Promise((resolve) => runner.init(resolve));
    runner.run();

    const task = (name, text) => ({ name, timeout: 20, retry: 1, body: text });
    const workflow = await ask('POST', '/workflows', {
        name: 'cancelled', timeout: 60,
        chain: [
            task('long', 'function (job, cb) { setTimeout(function () { cb(null, "long is over"); }, 2000); }'),
            task('later', 'function (job, cb) { cb(null, "later ran, too"); }')
        ],
        oncancel: [task('clean up', 'function (job, cb) { cb(null, "cleaned up"); }')]
    });
    const { uuid } = await ask('POST', '/jobs', { workflow: workflow.uuid, target: '/x', params: {} });
    await until('running', async () => (await ask('GET', `/jobs/${uuid}`)).execution === 'running');
    const canceled = await ask('POST', `/jobs/${uuid}/cancel`);
    console.log(`answer to the cancel: ${canceled.execution}`);
    const job = await until('another state', async () => {
        const found = await ask('GET', `/jobs/${uuid}`);
        return found.execution !== 'canceled' && found;
    });
    const results = (chain) => (job[chain] || []).map((entry) => entry.result).join(', ') || 'nothing';
    console.log(`in the end: ${job.execution}; chain: ${results('chain_results')}; oncancel: ${results('oncancel_results')}`);
    assert.deepStrictEqual(
        [canceled.execution, job.execution, results('chain_results'), results('oncancel_results')],
        ['canceled', 'succeeded', 'long is over, later ran, too', 'nothing']);
}

main().then(() => process.exit(0), (err) => {
    console.error(err);
    process.exit(1);
});
END

echo "node $(node --version), wf $(node -p 'require("wf/package.json").version')"
node cancel.js "$(node -e 'const s = require("net").createServer().listen(0, () => { console.log(s.address().port); s.close(); })')"
