/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * A Moray with the server of Triton's Moray, the npm package fast, and the store of coal's Moray. It records its calls.
 */

const net = require('node:net');

const bunyan = require('bunyan');
const { FastClient, FastServer } = require('fast');

const log = bunyan.createLogger({ name: 'interop', level: 'fatal' });

/* Methods whose answer is one object. Moray passes the object to fast together with the end of the answer. */
const ONE_OBJECT = new Set([
    'getBucket', 'putObject', 'getObject', 'delObject', 'updateObjects', 'deleteMany', 'batch', 'reindexObjects', 'version'
]);

const METHODS = [
    ...ONE_OBJECT, 'createBucket', 'updateBucket', 'delBucket', 'listBuckets', 'findObjects', 'sql', 'ping'
];

/* Returns the error that the server sent, without the errors that the client wraps around it. */
function sent(err) {
    const cause = typeof err.cause === 'function' && err.cause();
    return cause ? sent(cause) : err;
}

/*
 * A running server.
 *
 *   port    the port that it listens on
 *   calls   the calls so far: method, arguments, and milliseconds until the end of the answer
 *   stop()  ends it
 */
class FastMoray {
    constructor(store) {
        this.store = store;
        this.calls = [];
        this.sockets = new Set();
        // As in Moray, Nagle's algorithm is on, and fast writes frame by frame.
        this.listener = net.createServer({ allowHalfOpen: true });
        this.listener.on('connection', (socket) => {
            this.sockets.add(socket);
            socket.once('close', () => this.sockets.delete(socket));
        });
        this.server = new FastServer({ log, server: this.listener });
        for (const rpcmethod of METHODS) {
            this.server.registerRpcMethod({ rpcmethod, rpchandler: (rpc) => this.serve(rpc) });
        }
    }

    async start() {
        this.socket = net.connect(this.store);
        await new Promise((resolve, reject) => {
            this.socket.once('connect', resolve);
            this.socket.once('error', reject);
        });
        this.client = new FastClient({ log, nRecentRequests: 1, transport: this.socket });
        this.client.on('error', () => {});
        await new Promise((resolve) => {
            this.listener.listen(0, '127.0.0.1', resolve);
        });
        this.port = this.listener.address().port;
    }

    /* Passes a call on to the store. */
    serve(rpc) {
        const method = rpc.methodName();
        const args = rpc.argv();
        const call = { method, args, ms: null };
        const begun = performance.now();
        const end = () => {
            call.ms = performance.now() - begun;
        };
        this.calls.push(call);
        const request = this.client.rpc({ rpcmethod: method, rpcargs: args });
        request.on('error', (err) => {
            if (call.ms === null) {
                end();
                rpc.fail(sent(err));
            }
        });
        if (ONE_OBJECT.has(method)) {
            // The answer does not wait for the store's end, which may be held back until the object is acknowledged.
            request.once('data', (object) => {
                end();
                rpc.end(object);
            });
            return;
        }
        request.on('data', (object) => rpc.write(object));
        request.on('end', () => {
            end();
            rpc.end();
        });
    }

    /* Stops the server. There must be no more calls. */
    async stop() {
        const closed = new Promise((resolve) => {
            this.listener.close(resolve);
        });
        this.sockets.forEach((socket) => socket.destroy());
        await closed;
        this.socket.destroy();
    }
}

async function startFastMoray(running) {
    const moray = new FastMoray(running.moray());
    await moray.start();
    return moray;
}

module.exports = { startFastMoray };
