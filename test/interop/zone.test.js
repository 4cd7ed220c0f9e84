/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The release in an empty root, set up in the way of SAPI and sdcadm. SAPI is a small server here; sapi.test.js and the tests of
 * config-agent cover it better.
 */

const assert = require('node:assert');
const { execFile, execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');

const { waitFor } = require('./lib/coal');
const { STAMP, pack, temporary } = require('./lib/tree');
const { Sapi, Zone, possible } = require('./lib/zone');

const UUID = 'b7ef0f4e-8e0f-4d8a-9a2e-6f1c7f3c2d10';
const SERVER = '44454c4c-5400-1034-8053-b5c04f383432';
const NICS = [
    { interface: 'net0', nic_tag: 'external', ip: '203.0.113.7', ips: ['203.0.113.7/24'], mac: '90:b8:d0:00:00:01' },
    { interface: 'net1', nic_tag: 'admin', ip: '127.0.0.1', ips: ['127.0.0.1/8'], mac: '90:b8:d0:00:00:02' }
];
const REGISTRAR = '/opt/smartdc/registrar/etc/config.json';
const SAPI_TRIES = 30;
const skip = possible() ? false : 'it needs root';

const config = {
    manifests: [{
        uuid: '5b1a2f6e-3f4c-4b65-8c86-6a0a6f4f1a10',
        name: 'registrar',
        path: REGISTRAR,
        template: '{"registration": {"domain": "{{{SERVICE_DOMAIN}}}"}}\n'
    }],
    metadata: {
        datacenter_name: 'coal',
        dns_domain: 'example.com',
        SERVICE_NAME: 'imgapi',
        SERVICE_DOMAIN: 'imgapi.coal.example.com',
        STORAGE_MANTA_BASEDIR: 'imgapi',
        ufds_admin_uuid: '930896af-bf8c-48d4-885c-6573a94b1853',
        ufds_admin_login: 'admin',
        ufds_ldap_root_dn: 'cn=root',
        ufds_ldap_root_pw: 'secret',
        UFDS_SERVICE: 'ufds.coal.example.com',
        MORAY_SERVICE: 'moray.coal.example.com',
        WORKFLOW_SERVICE: 'workflow.coal.example.com',
        CNAPI_SERVICE: 'cnapi.coal.example.com',
        VMAPI_SERVICE: 'vmapi.coal.example.com',
        NAPI_SERVICE: 'napi.coal.example.com',
        SAPI_SERVICE: 'sapi.coal.example.com'
    }
};

const directory = temporary(after);
const data = path.join(directory, 'data');
const release = path.join(directory, 'release');
let packages;
let sapi;
let metadata;

before(async () => {
    if (skip) {
        return;
    }
    packages = pack(path.join(directory, 'packages'));
    fs.mkdirSync(release);
    execFileSync('tar', ['-xzf', packages[0], '-C', release]);
    sapi = new Sapi(UUID, config);
    metadata = {
        'sapi-url': await sapi.start(),
        'sdc:datacenter_name': 'coal',
        'sdc:nics': JSON.stringify(NICS),
        'sdc:server_uuid': SERVER,
        'sdc:tags.smartdc_role': 'imgapi'
    };
});

after(async () => {
    if (sapi) {
        await sapi.stop();
    }
});

/* Returns a zone with a new root. By default it has the same data as the others. */
function zone(place = data) {
    return new Zone(fs.mkdtempSync(path.join(directory, 'zone-')), { release, uuid: UUID, metadata, data: place });
}

const SERVICES = {
    'svc:/manta/application/registrar:default': 'online',
    'svc:/smartdc/application/config-agent:default': 'online',
    'svc:/smartdc/site/imgapi:default': 'online',
    'svc:/system/cron:default': 'online',
    'svc:/system/pfexec:default': 'online',
    'svc:/system/rbac:default': 'online'
};

/* Checks that these calls are among the others, in this order. */
function inOrder(calls, expected) {
    let from = 0;
    for (const call of expected) {
        const at = calls.indexOf(call, from);
        assert.notStrictEqual(at, -1, `${call}\nis not in its place among\n${calls.join('\n')}`);
        from = at + 1;
    }
}

/* Returns everything that a setup leaves in the zone, except times and its log. */
function state(of) {
    const names = ['.dcinfo', 'root/.bashrc', 'root/.profile', 'etc/logadm.conf', 'sim/crontab', 'sim/metadata/metricPorts',
        'etc/security/prof_attr.d/mdata', 'etc/security/exec_attr.d/mdata', 'opt/smartdc/config-agent/etc/config.json',
        'opt/smartdc/registrar/etc/config.json', 'var/tmp/metadata.json'];
    const configuration = fs.readFileSync(path.join(data, 'imgapi/etc/imgapi.config.json'), 'utf8');
    return { services: of.services(), configuration, ...Object.fromEntries(names.map((name) => [name, of.read(name)])) };
}

/* Returns the start command of the SMF manifest, with its environment and without the "&" at its end. */
function startMethod(of, service) {
    const manifest = of.read(`sim/manifests/svc:%smartdc%${service.replace('/', '%')}:default`);
    const [, start] = manifest.match(/exec="(\/opt\/smartdc\/imgapi\/bin\/imgapi [^"]*) &amp;"/);
    const variables = [...manifest.matchAll(/<envvar name="([A-Z_]+)" value="([^"]*)"/g)].map(([, name, value]) => `${name}=${value}`);
    return ['env', ...variables, ...start.split(' ')];
}

/* Returns the output of a command in the network of a running program. */
async function inNetworkOf(child, ...command) {
    const { stdout } = await promisify(execFile)('nsenter', [`--net=/proc/${child.pid}/ns/net`, ...command]);
    return stdout;
}

/* Runs `check` after a program has logged `sign`, stops the program, and resolves to its status and log. */
async function whileRunning(child, sign, check) {
    let log = '';
    child.stdout.on('data', (text) => { log += text; });
    child.stderr.on('data', (text) => { log += text; });
    let status = null;
    const ended = new Promise((resolve) => child.once('close', (code, signal) => {
        status = signal || code;
        resolve();
    }));
    try {
        await waitFor(sign, () => {
            assert.strictEqual(status, null, `it ended: ${log}`);
            return log.includes(sign);
        });
        await check();
    } catch (err) {
        throw new Error(`${err.message}\nstatus ${status}\n${log}`, { cause: err });
    } finally {
        if (status === null) {
            process.kill(-child.pid, 'SIGTERM');
        }
        await ended;
    }
    return { status, log };
}

test('a zone is set up, twice, and its service starts', { skip }, async (t) => {
    const fresh = zone();

    await t.test('without SAPI it is not set up, and says so', async () => {
        sapi.answer = 503;
        const { status, output } = await fresh.boot();
        assert.notStrictEqual(status, 0);
        assert.match(output, new RegExp(`setup\\.sh: error: SAPI does not answer: .*/configs/${UUID} \\(${SAPI_TRIES} tries\\)`));
        assert.strictEqual(sapi.asked, SAPI_TRIES);
        for (const marker of ['var/svc/setup_complete', 'var/svc/.ran-user-script', 'var/tmp/metadata.json']) {
            assert.strictEqual(fresh.exists(marker), false, marker);
        }
        assert.ok(!('svc:/smartdc/site/imgapi:default' in fresh.services()));
        assert.ok(!('svc:/smartdc/application/config-agent:default' in fresh.services()));
        assert.strictEqual(fresh.calls().filter((call) => call === 'sleep 2').length, SAPI_TRIES - 1);
    });

    await t.test('with SAPI it is', async () => {
        sapi.answer = null;
        const { status, output } = await fresh.boot();
        assert.strictEqual(status, 0, output);
        assert.match(output, /^setup done$/m);
        assert.doesNotMatch(output, /secret/);
        assert.deepStrictEqual(fresh.services(), SERVICES);
        for (const marker of ['var/svc/setup_complete', 'var/svc/.ran-user-script', 'var/smartdc/imgapi']) {
            assert.ok(fresh.exists(marker), marker);
        }
        assert.strictEqual(fresh.exists('var/svc/amon-agent.tgz'), false);
        await waitFor('the copy of the log', () => fresh.exists('var/svc/setup_init.log'));
    });

    await t.test('with the files of a core zone', () => {
        assert.strictEqual(fresh.read('.dcinfo'), 'SDC_DATACENTER_NAME="coal"\n');
        assert.strictEqual(fresh.owner('var/log/sdc/upload'), '755 0:3');
        assert.strictEqual(fresh.read('sim/metadata/metricPorts'), '8881\n');
        assert.deepStrictEqual(JSON.parse(fresh.read('var/tmp/metadata.json')), config.metadata);
        assert.deepStrictEqual(JSON.parse(fresh.read('opt/smartdc/config-agent/etc/config.json')), {
            logLevel: 'info', pollInterval: 120000, sapi: { url: metadata['sapi-url'] },
            localManifestDirs: ['/opt/smartdc/imgapi']
        });
        assert.deepStrictEqual(JSON.parse(fresh.read(REGISTRAR)).registration, { domain: 'imgapi.coal.example.com' });
        assert.match(fresh.read('root/.profile'), /^export PATH=\/opt\/smartdc\/imgapi\/bin:\$PATH$/m);
        for (const directory of ['root', 'root/.ssh']) {
            assert.ok(fs.statSync(fresh.path(directory)).mode & 0o001, `nobody may enter ${directory}`);
        }
        assert.strictEqual(fs.statSync(path.join(data, 'imgapi')).uid, 60001);
    });

    await t.test('with logs that are rotated every hour', () => {
        const lines = fresh.read('etc/logadm.conf').trim().split('\n');
        const rule = (name) => `${name} -S 1g -C 168 -c -p 1h -t '/var/log/sdc/upload/${name}_$nodename_%FT%H:%M:%S.log' `
            + `-a '/opt/smartdc/boot/sbin/postlogrotate.sh ${name}' /var/svc/log/*${name}*.log`;
        assert.deepStrictEqual(lines.slice(1), [...['amon-agent', 'config-agent', 'registrar', 'imgapi'].map(rule),
            'smf_logs -C 3 -c -s 1m /var/svc/log/*.log']);
        assert.match(lines[0], /^\/var\/adm\/messages -C 4 -a 'kill -HUP /);
        assert.strictEqual(fresh.read('sim/crontab'),
            '30 3 * * * /usr/bin/keep-me\n0 * * * * /usr/sbin/logadm -v >> /var/log/logadm.log 2>&1\n');
    });

    const before = skip ? null : state(fresh);

    await t.test('again: nothing changes, and SAPI is not asked', async () => {
        const asked = sapi.asked;
        fresh.calls();
        const { status, output } = await fresh.run(['/opt/smartdc/boot/setup.sh']);
        assert.strictEqual(status, 0, output);
        assert.deepStrictEqual(state(fresh), before);
        assert.strictEqual(sapi.asked, asked);
        const calls = fresh.calls();
        assert.ok(!calls.some((call) => /registrar\.xml|config-agent\.xml|amon-agent installed/.test(call)), calls.join('\n'));
    });

    await t.test('the service starts as nobody on port 80, without anything of the datacenter, and stops', async () => {
        const start = startMethod(fresh, 'site/imgapi');
        const child = fresh.spawn(start, { user: 'nobody', network: true });
        const { status, log } = await whileRunning(child, 'listening on <http://0.0.0.0:80>', async () => {
            const answer = await inNetworkOf(child, 'curl', '-sS', '-i', 'http://127.0.0.1:80/ping');
            assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
            assert.match(answer, /"pong"/);
            const metrics = await inNetworkOf(child, 'curl', '-sS', 'http://127.0.0.1:8881/metrics');
            assert.match(metrics, /datacenter="coal"/);
        });
        assert.strictEqual(status, 0, log);
        assert.doesNotMatch(log, /secret/);
    });

    await t.test('config-agent brings a change of SAPI to the service', async () => {
        fresh.calls();
        const start = startMethod(fresh, 'application/config-agent');
        const child = fresh.spawn(start);
        const { status, log } = await whileRunning(child, 'keeping files up to date', async () => {
            sapi.config = { ...config, metadata: { ...config.metadata, IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM: true } };
            // svcadm refresh config-agent
            process.kill(child.pid, 'SIGHUP');
            await waitFor('the change', () => fresh.read('sim/calls').includes('svcadm refresh imgapi\n'));
            const written = JSON.parse(fs.readFileSync(path.join(data, 'imgapi/etc/imgapi.config.json'), 'utf8'));
            assert.strictEqual(written.allowLocalCreateImageFromVm, true);
        });
        sapi.config = config;
        assert.strictEqual(status, 0, log);
        assert.doesNotMatch(log, /secret/);
    });

    await t.test('an upgrade brings another root, and keeps the data', async () => {
        fs.mkdirSync(path.join(data, 'imgapi/images/001'), { recursive: true });
        fs.writeFileSync(path.join(data, 'imgapi/images/001/file0'), 'bytes');
        fs.writeFileSync(path.join(data, 'imgapi/etc/imgapi.config.json'), '{"old": true}\n');
        const next = zone();
        const { status, output } = await next.boot();
        assert.strictEqual(status, 0, output);
        await waitFor('the copy of the log', () => next.exists('var/svc/setup_init.log'));
        assert.deepStrictEqual(state(next), before);
        assert.strictEqual(fs.readFileSync(path.join(data, 'imgapi/images/001/file0'), 'utf8'), 'bytes');
    });
});

test('the steps have the order that others rely on', { skip }, async () => {
    const fresh = zone(path.join(directory, 'other data'));
    const { status, output } = await fresh.boot();
    assert.strictEqual(status, 0, output);
    const svc = (name) => `svc:/${name}:default`;
    const calls = fresh.calls();
    inOrder(calls, [
        `zfs set mountpoint=/data zones/${UUID}/data`,
        'mdata-get sdc:datacenter_name',
        'amon-agent installed',
        'logadm -r /var/adm/messages',
        'svccfg import /lib/svc/manifest/system/pfexecd.xml',
        'svccfg import /lib/svc/manifest/system/rbac.xml',
        `svcadm disable -s ${svc('system/rbac')}`,
        `svcadm enable -s ${svc('system/rbac')}`,
        'mdata-get sapi-url',
        'mdata-get sdc:nics',
        // The steps that config-agent runs for the first files, before its service exists.
        'svcadm refresh imgapi',
        'svccfg import /opt/smartdc/imgapi/smf/manifests/config-agent.xml',
        `svcadm enable ${svc('smartdc/application/config-agent')}`,
        'svccfg import /opt/smartdc/registrar/smf/manifests/registrar.xml',
        `svcadm enable ${svc('manta/application/registrar')}`,
        'svccfg import /lib/svc/manifest/system/cron.xml',
        `svcadm enable -s ${svc('system/cron')}`,
        'svccfg import /opt/smartdc/imgapi/smf/manifests/imgapi.xml',
        'logadm -r smf_logs',
        'crontab',
        'mdata-put metricPorts 8881',
        'ipadm set-prop -t -p max_buf=2097152 tcp',
        'ndd -set /dev/tcp tcp_conn_req_max_q0 8192'
    ]);
});

const FAILURES = [
    ['zfs', /error: cannot mount the delegated dataset zones\/.*\/data/],
    ['svccfg', /error: cannot import \/lib\/svc\/manifest\/system\/pfexecd\.xml/],
    ['svcadm', /error: cannot enable svc:\/system\/pfexec:default/],
    ['zonename', /error: line \d+/],
    ['crontab', /error: cannot write the crontab of root/],
    ['mdata-put', /error: cannot write metadata/]
];

for (const [command, message] of FAILURES) {
    test(`when ${command} fails the zone is not set up, and may be later`, { skip }, async () => {
        const broken = zone();
        broken.write(`sim/fail/${command}`, '');
        const { status, output } = await broken.boot();
        assert.notStrictEqual(status, 0, output);
        assert.match(output, message);
        assert.strictEqual(broken.exists('var/svc/setup_complete'), false);
        fs.rmSync(broken.path('sim/fail', command));
        const again = await broken.boot();
        assert.strictEqual(again.status, 0, again.output);
        assert.ok(broken.exists('var/svc/setup_complete'));
    });
}

test('metadata that are missing or odd are named', { skip }, async () => {
    const broken = zone();
    const boot = async (key, value) => {
        const before = metadata[key];
        if (value === undefined) {
            fs.rmSync(broken.path('sim/metadata', key));
        } else {
            broken.write(`sim/metadata/${key}`, `${value}\n`);
        }
        const { status, output } = await broken.boot();
        broken.write(`sim/metadata/${key}`, `${before}\n`);
        assert.notStrictEqual(status, 0);
        assert.strictEqual(broken.exists('var/svc/setup_complete'), false);
        return output;
    };
    assert.match(await boot('sapi-url'), /error: metadata "sapi-url": mdata-get failed/);
    assert.match(await boot('sapi-url', ''), /error: metadata "sapi-url" is empty/);
    assert.match(await boot('sapi-url', 'http://x", "y": "'), /error: metadata "sapi-url" is no URL/);
    assert.match(await boot('sdc:nics', '{'), /error: metadata "sdc:nics" is no JSON/);
    assert.match(await boot('sdc:datacenter_name'), /error: metadata "sdc:datacenter_name": mdata-get failed/);
});

test('the migrations of sdcadm succeed in the zone, and nothing else does', { skip }, async () => {
    const upgraded = zone();
    const node = (file) => upgraded.run(['bash', '-c', `cd /opt/smartdc/imgapi && ./build/node/bin/node ${file}`]);
    for (const name of ['008-new-storage-layout', '009-backfill-archive', '010-backfill-billing_tags', '011-backfill-published_at']) {
        const { status, output } = await node(`lib/migrations/migration-${name}.js`);
        assert.strictEqual(status, 0, output);
        assert.match(output, /nothing to migrate/);
    }
    // sdcadm calls the script only if it exists.
    assert.strictEqual(upgraded.exists('opt/smartdc/imgapi/lib/migrations/012-update-docker-image-uuids.js'), false);
    for (const other of ['main.js', 'lib/config.js', '-e 1', '', 'lib/migrations/migration-008-new-storage-layout.js -x']) {
        const { status, output } = await node(other);
        assert.strictEqual(status, 1, other);
        assert.match(output, /there is no Node\.js in this image/);
    }
    assert.match((await upgraded.run(['/opt/smartdc/imgapi/bin/imgapi', '--version'])).output, /^IMGAPI \d+\.\d+\.\d+/);
});

test('the programs for operators are on the path of root', { skip }, async () => {
    const fresh = zone();
    const { status, output } = await fresh.boot();
    assert.strictEqual(status, 0, output);
    for (const name of ['imgapi', 'imgapiadm', 'imgapi-manta-setup', 'imgapi-external-manta-setup']) {
        const help = await fresh.run(['bash', '-lc', `command -v ${name} && ${name} --help`]);
        assert.strictEqual(help.status, 0, help.output);
        assert.match(help.output, new RegExp(`^/opt/smartdc/imgapi/bin/${name}\n[^]*Usage: imgapi`));
    }
    // Shells evaluate this file even if no Manta is configured.
    const env = await fresh.run(['bash', '-c', 'eval "$(/opt/smartdc/imgapi/bin/manta-env)"; echo "<$MANTA_URL>"']);
    assert.match(env.output, /<>/);
});

test('the package for Linux serves with its own configuration', { skip }, async () => {
    const top = path.join(directory, `imgapi-${STAMP}`);
    execFileSync('tar', ['-xzf', packages[2], '-C', directory]);
    const base = path.join(directory, 'standalone');
    fs.mkdirSync(base);
    const child = spawn('unshare', ['--net', 'sh', '-euc', 'ip link set lo up\nexec "$@"', 'sh',
        path.join(top, 'bin/imgapi'), 'serve', '-f', path.join(top, 'etc/linux/imgapi.config.json')],
    { detached: true, env: { ...process.env, IMGAPI_LOCAL_BASE_DIR: base }, stdio: ['ignore', 'pipe', 'pipe'] });
    const { status, log } = await whileRunning(child, 'listening on <http://127.0.0.1:8080>', async () => {
        assert.match(await inNetworkOf(child, 'curl', '-sS', 'http://127.0.0.1:8080/ping'), /"pong"/);
        assert.strictEqual((await inNetworkOf(child, 'curl', '-sS', 'http://127.0.0.1:8080/images')).trim(), '[]');
    });
    assert.strictEqual(status, 0, log);
    assert.ok(fs.existsSync(path.join(base, 'images')), 'data are where the environment says');
});
