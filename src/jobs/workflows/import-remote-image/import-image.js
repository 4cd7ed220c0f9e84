/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Imports the manifest of the image. IMGAPI notes the job in it, so that the image of a lost job can be recognised.
function importImage(job, cb) {
    var uuid = job.params.image_uuid;
    var client = createClient(job, imgapiUrl);
    var path = '/images/' + uuid + '?action=import&skip_owner_check=' + Boolean(job.params.skip_owner_check) +
        '&job_uuid=' + job.uuid + '&source=' + encodeURIComponent(job.params.source);
    var before = job.created_images || '';
    // Noted first: if the answer is lost, it may be there.
    job.created_images = before ? before + ',' + uuid : uuid;
    client.post(path, {}, function onImport(err) {
        if (err && err.restCode === 'ImageUuidAlreadyExists') {
            job.created_images = before;
        }
        cb(err, 'Imported the manifest');
    });

    // include shared/create-client.js
}
