/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Waits for the end of the CNAPI task. CNAPI may be unavailable for a while. The compute node goes on even if the job
// is cancelled, but IMGAPI then rejects the image.
function pollTask(job, cb) {
    var INTERVAL = 1000;
    var client = restify.createJsonClient({
        url: cnapiUrl,
        headers: {'x-request-id': job.params.req_id},
        agent: false,
        retry: false,
        connectTimeout: 5000,
        requestTimeout: 10000
    });
    var work = untilCanceled(job, INTERVAL, cb);

    function isObject(value) {
        return typeof (value) === 'object' && value !== null;
    }

    // What the history of the task says about its failure.
    function reasonOf(task) {
        var message = '';
        var details = [];
        var history = Array.isArray(task.history) ? task.history : [];
        history.forEach(function (entry) {
            var event = isObject(entry) ? entry.event : null;
            if (!isObject(event)) {
                return;
            }
            if (entry.name === 'error') {
                if (typeof (event.error) === 'string') {
                    message = event.error;
                    if (isObject(event.details) && event.details.error) {
                        message += ', ' + event.details.error;
                    }
                } else if (isObject(event.error) && event.error.message) {
                    message = String(event.error.message);
                }
            } else if (entry.name === 'finish' && Array.isArray(event.log)) {
                event.log.forEach(function (line) {
                    if (isObject(line) && line.level === 'error' && line.message) {
                        details.push(String(line.message));
                    }
                });
            }
        });
        if (!message && details.length === 0) {
            return 'Unexpected error occured';
        }
        // What is JSON as it is stays so.
        if (message.charAt(0) === '{' || details.length === 0) {
            return message;
        }
        return message + ': ' + details.join(', ');
    }

    function poll() {
        if (work.isOver) {
            return;
        }
        if (job.timeToDie) {
            work.end(new Error('the job is over before its task'));
            return;
        }
        client.get('/tasks/' + job.taskId, function onTask(err, req, res, task) {
            if (err && err.statusCode === 404) {
                work.end(err);
            } else if (err || !isObject(task)) {
                setTimeout(poll, INTERVAL);
            } else if (task.status === 'complete') {
                work.end(null, 'CNAPI task ' + job.taskId + ' is complete');
            } else if (task.status === 'failure') {
                work.end(new Error(reasonOf(task)));
            } else {
                setTimeout(poll, INTERVAL);
            }
        });
    }

    poll();

    // include shared/until-canceled.js
}
