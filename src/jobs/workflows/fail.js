/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// The last task of a chain for errors: the job has failed, whatever the tasks before have repaired.
function fail(job, cb) {
    cb('Error executing job');
}
