/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Lets a task end once: when it calls `end`, or when its job was cancelled, which nobody tells a task. `interval` is the
// time in milliseconds between two looks at the job.
function untilCanceled(job, interval, cb) {
    var work = {isOver: false, end: end};

    function end(err, result) {
        if (!work.isOver) {
            work.isOver = true;
            cb(err, result);
        }
    }

    function watch() {
        if (work.isOver || job.timeToDie || typeof (wfapiUrl) === 'undefined') {
            return;
        }
        var jobs = restify.createJsonClient({url: wfapiUrl, agent: false, retry: false, connectTimeout: 5000});
        jobs.get('/jobs/' + job.uuid, function onJob(err, req, res, found) {
            if (!err && found && found.execution === 'canceled') {
                end(new Error('the job was canceled'));
            } else {
                setTimeout(watch, interval);
            }
        });
    }

    // The work of the task begins first.
    setTimeout(watch, 0);
    return work;
}
