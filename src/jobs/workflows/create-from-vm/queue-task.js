/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Starts the work in CNAPI. The compute node makes the image, and publishes it to IMGAPI itself.
function queueTask(job, cb) {
    var params = job.params;
    var task = {
        jobid: job.uuid,
        compression: params.compression,
        imgapi_url: imgapiUrl,
        incremental: params.incremental,
        manifest: params.manifest,
        prepare_image_script: params.prepare_image_script
    };
    if (params.max_origin_depth) {
        task.max_origin_depth = params.max_origin_depth;
    }
    var client = createClient(job, cnapiUrl);
    var path = '/servers/' + params.server_uuid + '/vms/' + params.vm_uuid + '/images';
    client.post(path, task, function onQueued(err, req, res, queued) {
        if (err) {
            cb(err);
            return;
        }
        if (!queued || !queued.id) {
            cb(new Error('CNAPI named no task'));
            return;
        }
        job.taskId = queued.id;
        cb(null, 'CNAPI task ' + queued.id);
    });

    // include shared/create-client.js
}
