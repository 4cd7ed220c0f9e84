/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// Asks VMAPI which server the VM is on.
function getVmServer(job, cb) {
    var client = createClient(job, vmapiUrl);
    client.get('/vms/' + job.params.vm_uuid, function onVm(err, req, res, vm) {
        if (err) {
            cb(err);
            return;
        }
        if (!vm || !vm.server_uuid) {
            cb(new Error('VM ' + job.params.vm_uuid + ' is on no server'));
            return;
        }
        job.params.server_uuid = vm.server_uuid;
        cb(null, 'VM is on server ' + vm.server_uuid);
    });

    // include shared/create-client.js
}
