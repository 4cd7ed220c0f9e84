/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

/* A workflow of one task, as Triton's services upload theirs. */
function greet(job, cb) {
    var client = restify.createJsonClient({ url: vmapiUrl });
    client.get('/vms/' + job.params.vm_uuid, function onVm(err, req, res, vm) {
        cb(err, vm && 'hello ' + vm.alias);
    });
}

function tell(job, cb) {
    cb(null, 'told');
}

module.exports = {
    name: 'greet-1.0.0',
    version: '1.0.0',
    timeout: 60,
    chain: [{ name: 'greet', timeout: 10, retry: 1, body: greet,
        modules: { restify: 'restify' } }],
    onerror: [{ name: 'tell', body: tell, modules: {} }]
};
