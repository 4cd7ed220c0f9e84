/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Lets IMGAPI fetch the file of the image. That takes a while, and the job may be cancelled in that time.
function addImageFile(job, cb) {
    var INTERVAL = 2000;
    var client = restify.createJsonClient({
        url: imgapiUrl,
        headers: {'x-request-id': job.params.req_id},
        rejectUnauthorized: !job.params.allowInsecure,
        agent: false,
        retry: false
    });
    var isOver = false;

    // Nobody tells a task that its job was cancelled.
    function watch() {
        if (isOver || job.timeToDie || typeof (wfapiUrl) === 'undefined') {
            return;
        }
        var jobs = restify.createJsonClient({url: wfapiUrl, agent: false, retry: false, connectTimeout: 5000});
        jobs.get('/jobs/' + job.uuid, function onJob(err, req, res, found) {
            if (!err && found && found.execution === 'canceled') {
                end(new Error('the job was canceled'));
            } else {
                setTimeout(watch, INTERVAL);
            }
        });
    }

    function end(err, result) {
        if (!isOver) {
            isOver = true;
            cb(err, result);
        }
    }

    var path = '/images/' + job.params.image_uuid + '/file?job_uuid=' + job.uuid +
        '&source=' + encodeURIComponent(job.params.source);
    client.put(path, {}, function onFile(err) {
        end(err, 'Added the file');
    });
    watch();
}
