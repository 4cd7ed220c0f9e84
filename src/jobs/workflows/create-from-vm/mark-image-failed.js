/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Stores in the placeholder why there is no image. An image that has become active is left unchanged: the compute node
// has finished it, whatever this job knows.
function markImageFailed(job, cb) {
    var ATTEMPTS = 5;
    var path = '/images/' + job.params.image_uuid;
    var client = createClient(job, imgapiUrl);

    // As it was noted, as text when it comes from the store of jobs; otherwise what the last task left.
    function reason() {
        var noted = job.error;
        if (typeof (noted) === 'string' && noted) {
            try {
                noted = JSON.parse(noted);
            } catch (e) {
                noted = {message: noted};
            }
        }
        if (noted) {
            return noted;
        }
        if (job.execution === 'canceled') {
            return {message: 'the job was canceled'};
        }
        var results = Array.isArray(job.chain_results) ? job.chain_results : [];
        var last = results.length > 0 ? results[results.length - 1].error : '';
        if (last && typeof (last) === 'object') {
            last = last.message;
        }
        return {message: String(last || 'the job has ended before the image was made')};
    }

    function mark(attempts) {
        client.get(path, function onImage(getErr, getReq, getRes, image) {
            if (getErr && getErr.statusCode === 404) {
                cb(null, 'There is no image');
                return;
            }
            if (getErr) {
                cb(getErr);
                return;
            }
            if (image.state !== 'creating' && image.state !== 'unactivated') {
                cb(null, 'The image is ' + image.state);
                return;
            }
            var noted = reason();
            var update = {state: 'failed', error: {message: noted.message, code: noted.code, stack: noted.stack}};
            // Not an image that has become active meanwhile.
            var headers = getRes.headers.etag ? {'if-match': getRes.headers.etag} : {};
            client.post({path: path + '?action=update', headers: headers}, update, function onUpdate(err) {
                if (err && err.statusCode === 412 && attempts > 1) {
                    mark(attempts - 1);
                    return;
                }
                cb(err, 'The image is marked as failed');
            });
        });
    }

    mark(ATTEMPTS);

    // include shared/create-client.js
}
