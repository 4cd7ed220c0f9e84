/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// A client of one of the services, for the request that the job belongs to.
function createClient(job, url) {
    return restify.createJsonClient({
        url: url,
        headers: {'x-request-id': job.params.req_id},
        rejectUnauthorized: !job.params.allowInsecure,
        agent: false,
        retry: false
    });
}
