/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Imports the missing origins with their files, the base first. If another job is importing one of them, this one waits
// for that. All of it takes a while, and the job may be cancelled in that time.
function importOrigins(job, cb) {
    var INTERVAL = 2000;
    var origins = job.params.origins || [];
    var client = createClient(job, imgapiUrl);
    var source = 'job_uuid=' + job.uuid + '&source=' + encodeURIComponent(job.params.source);
    var imported = 0;
    var work = untilCanceled(job, INTERVAL, cb);

    // A text, because only texts come back from the store of jobs as they were.
    function created() {
        return job.created_images ? job.created_images.split(',') : [];
    }

    function note(uuid) {
        job.created_images = created().concat(uuid).join(',');
    }

    function forget(uuid) {
        job.created_images = created().filter(function (other) {
            return other !== uuid;
        }).join(',');
    }

    function importOne(index) {
        if (work.isOver) {
            return;
        }
        if (index === origins.length) {
            work.end(null, 'Imported ' + imported + ' of ' + origins.length + ' origins');
            return;
        }
        if (job.timeToDie) {
            work.end(new Error('the job is over before its origins were imported'));
            return;
        }
        var uuid = origins[index];
        var path = '/images/' + uuid;
        var query = '?action=import&skip_owner_check=' + Boolean(job.params.skip_owner_check) + '&' + source;
        // Noted first: if the answer is lost, it may be there.
        note(uuid);
        client.post(path + query, {}, function onImport(err) {
            if (err && err.restCode === 'ImageUuidAlreadyExists') {
                forget(uuid);
                waitFor(index);
                return;
            }
            if (err) {
                work.end(err);
                return;
            }
            if (work.isOver) {
                return;
            }
            client.put(path + '/file?' + source, {}, function onFile(fileErr) {
                if (fileErr) {
                    work.end(fileErr);
                    return;
                }
                if (work.isOver) {
                    return;
                }
                client.post(path + '?action=activate', {}, function onActivate(activateErr) {
                    if (activateErr) {
                        work.end(activateErr);
                        return;
                    }
                    imported += 1;
                    importOne(index + 1);
                });
            });
        });
    }

    function waitFor(index) {
        var uuid = origins[index];
        client.get('/images/' + uuid, function onImage(err, req, res, image) {
            if (err && err.statusCode === 404) {
                // The other job has given up.
                importOne(index);
            } else if (err) {
                work.end(err);
            } else if (image.state === 'active') {
                importOne(index + 1);
            } else if (image.state !== 'unactivated') {
                work.end(new Error('origin image ' + uuid + ' is ' + image.state));
            } else if (job.timeToDie) {
                work.end(new Error('origin image ' + uuid + ' was not imported in time'));
            } else {
                setTimeout(function again() {
                    waitFor(index);
                }, INTERVAL);
            }
        });
    }

    importOne(0);

    // include shared/create-client.js
    // include shared/until-canceled.js
}
