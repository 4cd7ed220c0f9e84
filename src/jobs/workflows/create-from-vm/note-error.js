/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Notes why a task failed, for the image that will not be made, and then fails like the task.
function noteError(err, job, cb) {
    var MAX_LENGTH = 20000;
    var message = typeof (err) === 'string' ? err : String(err && err.message || err);
    var error = null;
    if (message.charAt(0) === '{') {
        try {
            error = JSON.parse(message);
        } catch (e) {
            error = null;
        }
    }
    if (!error) {
        if (message.length > MAX_LENGTH) {
            var half = Math.floor((MAX_LENGTH - 5) / 2);
            message = message.slice(0, half) + ' ... ' + message.slice(message.length - half);
        }
        error = {message: message};
        var code = err && (err.restCode || err.body && err.body.code || err.code);
        if (code) {
            error.code = code;
        }
    }
    job.error = error;
    cb(err);
}
