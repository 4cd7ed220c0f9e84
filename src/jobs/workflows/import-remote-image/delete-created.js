/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Deletes the images that this job has created but not finished, the last one first. Active images are complete, and
// images that another job created are not in the list.
function deleteCreated(job, cb) {
    var client = createClient(job, imgapiUrl);
    var created = (job.created_images ? job.created_images.split(',') : []).reverse();
    var deleted = 0;
    var failure = null;

    function isGone(err) {
        return err && (err.statusCode === 404 || err.restCode === 'ResourceNotFound');
    }

    function deleteOne(index) {
        if (index === created.length) {
            cb(failure, 'Deleted ' + deleted + ' unfinished images');
            return;
        }
        var path = '/images/' + created[index];
        client.get(path, function onImage(err, req, res, image) {
            if (isGone(err) || (!err && image.state !== 'unactivated')) {
                deleteOne(index + 1);
                return;
            }
            if (err) {
                failure = err;
                deleteOne(index + 1);
                return;
            }
            client.del(path, function onDelete(deleteErr) {
                if (deleteErr && !isGone(deleteErr)) {
                    failure = deleteErr;
                } else {
                    deleted += 1;
                }
                deleteOne(index + 1);
            });
        });
    }

    deleteOne(0);

    // include shared/create-client.js
}
