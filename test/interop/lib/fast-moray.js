/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * A Moray whose server is that of Triton's Moray, the npm package fast, on the store of coal's Moray. It keeps what it was
 * called with.
 */

const net = require('node:net');

const bunyan = require('bunyan');
const { FastClient, FastServer } = require('fast');

const log = bunyan.createLogger({ name: 'interop', level: 'fatal' });

/* Methods whose answer is one object. Moray gives it to fast with the end of the answer. */
const ONE_OBJECT = new Set([
    'getBucket', 'putObject', 'getObject', 'delObject', 'updateObjects', 'deleteMany', 'batch', 'reindexObjects', 'version'
]);

const METHODS = [
    ...ONE_OBJECT, 'createBucket', 'updateBucket', 'delBucket', 'listBuckets', 'findObjects', 'sql', 'ping'
];

/* The error that the server sent, below what the client says of it. */
function sent(err) {
    const cause = typeof err.cause === 'function' && err.cause();
    return cause ? sent(cause) : err;
}

/*
 * A running one.
 *
 *   port    where it listens
 *   calls   the methods, arguments, and milliseconds until the end of the answer, of the calls so far
 *   stop()  ends it
 */
class FastMoray {
    constructor(store) {
        this.store = store;
        this.calls = [];
        this.sockets = new Set();
        // As Moray makes it: Nagle's algorithm is on, and fast writes frame by frame.
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

    /* Hands a call on to the store. */
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
            // Not with the store's end, which it may hold back until the object is acknowledged.
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

    /* For when no more calls come. */
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
