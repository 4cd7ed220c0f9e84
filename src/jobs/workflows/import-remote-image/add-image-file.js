/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Lets IMGAPI fetch the file of the image.
function addImageFile(job, cb) {
    var client = restify.createJsonClient({
        url: imgapiUrl,
        headers: {'x-request-id': job.params.req_id},
        rejectUnauthorized: !job.params.allowInsecure,
        agent: false,
        retry: false
    });
    var path = '/images/' + job.params.image_uuid + '/file?source=' + encodeURIComponent(job.params.source);
    client.put(path, {}, function onFile(err) {
        cb(err, 'Added the file');
    });
}
