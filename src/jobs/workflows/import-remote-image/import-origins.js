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
    var client = restify.createJsonClient({
        url: imgapiUrl,
        headers: {'x-request-id': job.params.req_id},
        rejectUnauthorized: !job.params.allowInsecure,
        agent: false,
        retry: false
    });
    var source = 'job_uuid=' + job.uuid + '&source=' + encodeURIComponent(job.params.source);
    var imported = 0;
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
        if (isOver) {
            return;
        }
        if (index === origins.length) {
            end(null, 'Imported ' + imported + ' of ' + origins.length + ' origins');
            return;
        }
        if (job.timeToDie) {
            end(new Error('the job is over before its origins were imported'));
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
                end(err);
                return;
            }
            if (isOver) {
                return;
            }
            client.put(path + '/file?' + source, {}, function onFile(fileErr) {
                if (fileErr) {
                    end(fileErr);
                    return;
                }
                if (isOver) {
                    return;
                }
                client.post(path + '?action=activate', {}, function onActivate(activateErr) {
                    if (activateErr) {
                        end(activateErr);
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
                // Whoever it was has given up.
                importOne(index);
            } else if (err) {
                end(err);
            } else if (image.state === 'active') {
                importOne(index + 1);
            } else if (image.state !== 'unactivated') {
                end(new Error('origin image ' + uuid + ' is ' + image.state));
            } else if (job.timeToDie) {
                end(new Error('origin image ' + uuid + ' was not imported in time'));
            } else {
                setTimeout(function again() {
                    waitFor(index);
                }, INTERVAL);
            }
        });
    }

    importOne(0);
    watch();
}
