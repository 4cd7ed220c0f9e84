/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Promises for the callbacks and emitters of old clients.
 */

const DEADLINE_MS = 120 * 1000;

/*
 * Rejects if `promise` takes too long. The timer does not keep the process alive.
 */
function within(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(
            () => reject(new Error(`${what}: no answer`)), DEADLINE_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/*
 * Calls `client[method](...args, callback)` and resolves to the results.
 */
function call(client, method, ...args) {
    const result = new Promise((resolve, reject) => {
        client[method](...args, (err, ...results) => {
            if (err) {
                reject(err);
            } else {
                resolve(results.length > 1 ? results : results[0]);
            }
        });
    });
    return within(result, method);
}

/*
 * Collects the events of an emitter until `end`.
 */
function collect(emitter, event) {
    const result = new Promise((resolve, reject) => {
        const items = [];
        emitter.on(event, (item) => items.push(item));
        emitter.once('error', reject);
        emitter.once('end', () => resolve(items));
    });
    return within(result, event);
}

module.exports = { call, collect, within };
