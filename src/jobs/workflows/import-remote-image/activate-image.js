/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Activates the image, which makes it visible to everyone who may see it.
function activateImage(job, cb) {
    var client = createClient(job, imgapiUrl);
    client.post('/images/' + job.params.image_uuid + '?action=activate', {}, function onActivate(err) {
        cb(err, 'Activated the image');
    });

    // include shared/create-client.js
}
