/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Lets IMGAPI fetch the file of the image. That takes a while, and the job may be cancelled in that time.
function addImageFile(job, cb) {
    var INTERVAL = 2000;
    var client = createClient(job, imgapiUrl);
    var work = untilCanceled(job, INTERVAL, cb);

    var path = '/images/' + job.params.image_uuid + '/file?job_uuid=' + job.uuid +
        '&source=' + encodeURIComponent(job.params.source);
    client.put(path, {}, function onFile(err) {
        work.end(err, 'Added the file');
    });

    // include shared/create-client.js
    // include shared/until-canceled.js
}
