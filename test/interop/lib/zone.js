/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * A SmartOS zone as the scripts of an image see it: an empty root with the release in it, this machine's programs and libraries
 * mounted, and SmartOS's own commands simulated (zone-command). It needs root, and leaves no mount behind, because each command
 * has mounts of its own.
 */

const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const DEADLINE_MS = 120 * 1000;
const SYSTEM_COMMANDS = ['ipadm', 'logadm', 'mdata-get', 'mdata-put', 'ndd', 'svcadm', 'svccfg', 'zfs'];
const OTHER_COMMANDS = ['crontab', 'sleep', 'zonename'];
const JSON_COMMAND = require.resolve('json/lib/json.js');
const ACCOUNTS = {
    passwd: 'root:x:0:0:Super-User:/root:/usr/bin/bash\nnobody:x:60001:60001:NFS Anonymous Access User:/:\n',
    group: 'root::0:\nsys::3:root\nnobody::60001:\n'
};
const LIBRARIES = fs.readdirSync('/usr').filter((name) => name.startsWith('lib') && name !== 'libexec');
const SHARED = ['bin', 'share', ...LIBRARIES].join(' ');
const ENTER = `
for name in ${SHARED}; do
    mount --bind "/usr/$name" "$ROOT/usr/$name"
    mount -o remount,bind,ro "$ROOT/usr/$name"
done
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
exec chroot $AS "$ROOT" "$@"`;

function service(name, { enabled = false } = {}) {
    return `<service_bundle><service name="${name}"><instance name="default" enabled="${enabled}"/></service></service_bundle>\n`;
}

/*
 * A zone.
 *
 *   uuid      its name
 *   root      its root: a copy of `release`, an unpacked package
 *   data      the delegated dataset, which survives a change of the root
 */
class Zone {
    constructor(directory, { release, uuid, metadata, data }) {
        this.uuid = uuid;
        this.root = path.join(directory, 'root');
        // No program writes to the files of the release.
        execFileSync('cp', ['-al', path.join(release, 'root'), this.root]);
        this.data = data;
        fs.mkdirSync(data, { recursive: true });
        for (const name of ['data', 'dev', 'etc', 'lib/svc/manifest/system', 'opt/local/bin', 'proc', 'root', 'sim/fail',
            'sim/manifests', 'sim/metadata', 'sim/services', 'sim/states', 'tmp', 'usr/bin', 'usr/sbin', 'usr/share',
            'var/adm', 'var/svc', 'var/tmp', ...LIBRARIES.map((library) => `usr/${library}`)]) {
            fs.mkdirSync(this.path(name), { recursive: true });
        }
        fs.chmodSync(this.path('root'), 0o700);
        fs.chmodSync(this.path('tmp'), 0o1777);
        fs.symlinkSync('usr/bin', this.path('bin'));
        for (const name of LIBRARIES.filter((library) => library !== 'lib')) {
            fs.symlinkSync(path.join('usr', name), this.path(name));
        }
        for (const name of fs.readdirSync('/usr/lib').filter((entry) => entry !== 'svc')) {
            fs.symlinkSync(path.join('/usr/lib', name), this.path('lib', name));
        }
        for (const [name, text] of Object.entries(ACCOUNTS)) {
            this.write(`etc/${name}`, text);
        }
        this.install();
        this.write('sim/zonename', `${uuid}\n`);
        for (const [key, value] of Object.entries(metadata)) {
            this.write(`sim/metadata/${key}`, `${value}\n`);
        }
    }

    /* Installs the commands, the services of the platform, and the agents that the image build adds. */
    install() {
        const directories = [['usr/sbin', SYSTEM_COMMANDS], ['opt/local/bin', OTHER_COMMANDS]];
        for (const [directory, names] of directories) {
            for (const name of names) {
                fs.copyFileSync(path.join(__dirname, 'zone-command'), this.path(directory, name));
            }
        }
        fs.copyFileSync(JSON_COMMAND, this.path('opt/local/bin/json'));
        fs.chmodSync(this.path('opt/local/bin/json'), 0o755);
        for (const [file, name] of [['pfexecd', 'system/pfexec'], ['rbac', 'system/rbac'], ['cron', 'system/cron']]) {
            this.write(`lib/svc/manifest/system/${file}.xml`, service(name));
        }
        this.write('opt/smartdc/registrar/smf/manifests/registrar.xml', service('manta/application/registrar'));
        this.write('opt/amon-agent/pkg/postinstall.sh', '#!/bin/sh\necho "amon-agent installed" >>/sim/calls\n', 0o755);
        this.write('var/svc/amon-agent.tgz', '');
        this.write('sim/crontab', '# Rotate system logs\n10 3 * * * /usr/sbin/logadm\n30 3 * * * /usr/bin/keep-me\n');
        this.write('sim/calls', '');
    }

    path(...names) {
        return path.join(this.root, ...names);
    }

    read(name) {
        return fs.readFileSync(this.path(name), 'utf8');
    }

    write(name, text, mode = 0o644) {
        fs.mkdirSync(path.dirname(this.path(name)), { recursive: true });
        fs.writeFileSync(this.path(name), text, { mode });
        fs.chmodSync(this.path(name), mode);
    }

    exists(name) {
        return fs.existsSync(this.path(name));
    }

    /* Returns mode and owner of a file. */
    owner(name) {
        const { mode, uid, gid } = fs.statSync(this.path(name));
        return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
    }

    /* Returns the calls since the last time. */
    calls() {
        const calls = this.read('sim/calls').split('\n').slice(0, -1);
        this.write('sim/calls', '');
        return calls;
    }

    /* Returns the state of each imported service. */
    services() {
        return Object.fromEntries(fs.readdirSync(this.path('sim/states')).sort()
            .map((file) => [file.replaceAll('%', '/'), this.read(`sim/states/${file}`).trim()]));
    }

    /* Starts a program in the zone, in its own process group. With `network` it has its own network, where every port is free. */
    spawn(command, { user = 'root', network = false, environment = {} } = {}) {
        const net = network ? 'ip link set lo up\necho 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start\n' : '';
        const data = 'mkdir -p "$ROOT/data"\nmount --bind "$DATA" "$ROOT/data"\n';
        return spawn('unshare', ['--mount', '--propagation=private', ...(network ? ['--net'] : []),
            'sh', '-euc', net + data + ENTER, 'sh', ...command], {
            detached: true,
            env: {
                PATH: process.env.PATH, HOME: '/root', LC_ALL: 'C', ...environment, ROOT: this.root, DATA: this.data,
                AS: user === 'root' ? '' : '--userspec=60001:60001'
            },
            stdio: ['ignore', 'pipe', 'pipe']
        });
    }

    /* Runs a program to its end, and resolves to `{status, output}`. */
    async run(command, options = {}) {
        const child = this.spawn(command, options);
        let output = '';
        for (const stream of [child.stdout, child.stderr]) {
            stream.setEncoding('utf8');
            stream.on('data', (text) => { output += text; });
        }
        const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), DEADLINE_MS);
        const status = await new Promise((resolve, reject) => {
            child.once('error', reject);
            child.once('close', (code, signal) => resolve(signal || code));
        });
        clearTimeout(timer);
        return { status, output };
    }

    /* Does what all core zones do at a boot. */
    boot() {
        return this.run(['bash', '-c', `
            set -o errexit -o pipefail
            if [[ ! -e /var/svc/.ran-user-script ]]; then
                /opt/smartdc/boot/setup.sh 2>&1 | tee -a /var/svc/setup.log
                touch /var/svc/.ran-user-script
            fi
            [[ -e /opt/smartdc/boot/configure.sh ]]
            exec /opt/smartdc/boot/configure.sh`]);
    }
}

/*
 * A SAPI that returns the zone's configuration. `answer` can be set to a status to return instead; `asked` counts the requests.
 */
class Sapi {
    constructor(uuid, config) {
        this.answer = null;
        this.asked = 0;
        this.config = config;
        this.server = http.createServer((request, response) => {
            const known = request.url === `/configs/${uuid}`;
            this.asked += known ? 1 : 0;
            if (this.answer || !known) {
                response.writeHead(this.answer || 404, { 'Content-Type': 'application/json' });
                response.end(JSON.stringify({ code: 'InternalError', message: 'made to fail' }));
                return;
            }
            const body = JSON.stringify(this.config);
            const ETag = crypto.createHash('sha1').update(body).digest('hex');
            if (request.headers['if-none-match'] === ETag) {
                response.writeHead(304, { ETag });
                response.end();
                return;
            }
            response.writeHead(200, { 'Content-Type': 'application/json', ETag });
            response.end(body);
        });
    }

    async start() {
        await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
        return `http://127.0.0.1:${this.server.address().port}`;
    }

    stop() {
        this.server.closeAllConnections();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

/* Returns whether this process may create a zone. */
function possible() {
    return process.getuid() === 0 && os.platform() === 'linux';
}

module.exports = { Sapi, Zone, possible };
