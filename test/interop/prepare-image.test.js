/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The scripts that prepare a VM for an image, run on the files of a fake guest. They can only use the commands of this machine
 * that are explicitly allowed, so they can neither shut it down nor delete its files.
 */

const assert = require('node:assert');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');

const SCRIPTS = path.resolve(__dirname, '..', '..', 'tools', 'prepare-image');
const SHELLS = ['bsd', 'linux', 'smartos'];
const TOOLS = ['cat', 'find', 'grep', 'mkdir', 'rm', 'sed', 'sh', 'tail'];
const MAX_ERROR = 2000;
const MAX_WINDOWS = 3000;
const TIMEOUT_MS = 60 * 1000;
const HASH = '$6$salt$notToBeSeenAnywhere';

const directories = [];

after(() => directories.forEach((name) => fs.rmSync(name, { recursive: true, force: true })));

function script(system) {
    return path.join(SCRIPTS, `${system}-prepare-image`);
}

/*
 * A guest with these files and metadata, and a record of its calls.
 */
class Guest {
    constructor(files, { metadata = {}, commands = {}, system = 'Linux' } = {}) {
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'prepare-image-'));
        directories.push(this.directory);
        this.root = path.join(this.directory, 'root');
        this.bin = path.join(this.directory, 'bin');
        this.calls = path.join(this.directory, 'calls');
        fs.mkdirSync(this.bin);
        fs.writeFileSync(this.calls, '');
        fs.mkdirSync(this.root);
        Object.entries(files).forEach(([name, text]) => this.write(name, text));
        TOOLS.forEach((name) => fs.symlinkSync(
            execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(), path.join(this.bin, name)));
        const record = `printf '%s\\0' "\${0##*/} $*" >>${this.calls}`;
        const fakes = {
            'mdata-put': '', shutdown: '', poweroff: '', halt: '', sync: '', svcadm: '', 'update-grub': '',
            uname: `echo ${system}`,
            chpasswd: `cat >${this.directory}/chpasswd`,
            'mdata-get': `case $1 in\n${Object.entries(metadata)
                .map(([key, value]) => `${key}) echo '${value}' ;;`).join('\n')}\n*) exit 2 ;;\nesac`,
            ...commands
        };
        Object.entries(fakes).forEach(([name, body]) => fs.writeFileSync(
            path.join(this.bin, name), `#!/bin/sh\n${record}\n${body}\n`, { mode: 0o755 }));
    }

    write(name, text) {
        const file = path.join(this.root, name);
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, text, { mode: name.includes('/bin/') ? 0o755 : 0o644 });
    }

    run(system) {
        const { status } = spawnSync('/bin/sh', [script(system)], {
            env: { PATH: this.bin, PREPARE_IMAGE_ROOT: this.root },
            stdio: 'ignore',
            timeout: TIMEOUT_MS
        });
        return status;
    }

    /* Returns the recorded calls of these commands. */
    called(...names) {
        return fs.readFileSync(this.calls, 'utf8').split('\0').slice(0, -1)
            .filter((line) => names.includes(line.split(' ')[0]));
    }

    read(name) {
        return fs.readFileSync(path.join(this.root, name), 'utf8');
    }

    /* Returns all files and links, without the directories. */
    files() {
        return fs.readdirSync(this.root, { recursive: true, withFileTypes: true })
            .filter((entry) => !entry.isDirectory())
            .map((entry) => path.relative(this.root, path.join(entry.path, entry.name)))
            .sort();
    }
}

const KEPT = {
    'etc/ssh/sshd_config': 'Port 22\n',
    'home/me/.ssh/authorized_keys': 'ssh-ed25519 mine\n',
    'home/me/data file': 'data',
    'root/work.sh': 'echo\n',
    'opt/app/log/app.log.1': 'not a log of the system'
};
const ERASED = {
    'etc/ssh/ssh_host_rsa_key': 'private',
    'etc/ssh/ssh_host_rsa_key.pub': 'public',
    'root/.ssh/authorized_keys': 'ssh-ed25519 operator\n',
    'root/.ssh/known_hosts': 'host\n',
    'root/.bash_history': 'secret\n',
    'home/me/.zsh_history': 'secret\n',
    'var/svc/mdata-user-script': 'echo\n',
    'var/log/old.log.1': 'old\n',
    'var/log/app/app.log.gz': 'old\n',
    'tmp/a b/c': 'temporary',
    'tmp/.hidden': 'temporary',
    'var/tmp/x': 'temporary'
};
const EMPTIED = { 'var/log/app/current log': 'line\n' };

const SYSTEMS = {
    linux: {
        kept: {
            'etc/sysconfig/network-scripts/ifcfg-lo': 'UUID=keep\n',
            'var/lib/cloud/seed/nocloud/meta-data': 'seed',
            'usr/lib/os': ''
        },
        erased: {
            'etc/netplan/50-cloud-init.yaml': 'network',
            'etc/udev/rules.d/70-persistent-net.rules': 'rule',
            'var/lib/cloud/instances/7/user-data.txt': 'secret',
            'var/lib/dbus/machine-id': 'abc',
            'var/lib/dhcp/dhclient.eth0.leases': 'lease',
            'var/lib/NetworkManager/internal-1-eth0.lease': 'lease',
            'var/lib/systemd/random-seed': 'seed',
            'var/log/journal/abc/system.journal': 'journal',
            'var/log/messages-20240131': 'old',
            'var/mail/root': 'mail',
            'home/ubuntu/.ssh/authorized_keys': 'from the metadata',
            'lib/smartdc/.firstboot-complete-do-not-delete': ''
        },
        emptied: { 'etc/machine-id': 'abc\n' },
        down: ['shutdown -h now']
    },
    bsd: {
        kept: { 'home/freebsd/.profile': '' },
        erased: {
            'etc/hostid': 'id',
            'entropy': 'seed',
            'var/db/entropy/saved-entropy.1': 'seed',
            'var/db/dhclient.leases.vtnet0': 'lease',
            'var/cache/pkg/a.pkg': 'package',
            'etc/iked/private/local.key': 'private',
            'usr/home/you/.sh_history': 'secret'
        },
        emptied: { 'var/mail/root': 'mail' },
        made: ['firstboot'],
        down: ['shutdown -p now']
    },
    smartos: {
        kept: { 'var/zoneinit/zoneinit.json': '{}' },
        erased: {
            'var/ssh/ssh_host_ed25519_key': 'private',
            'var/db/mdata-user-data': 'secret',
            'var/svc/log/network-ssh:default.log': 'log',
            'var/svc/provision_success': '',
            'var/mail/root': 'mail',
            'var/cores/core.1': 'memory'
        },
        emptied: { 'var/adm/wtmpx': 'logins' },
        down: ['poweroff ']
    }
};

function guest(system, more = {}, options = {}) {
    const { kept, erased, emptied } = SYSTEMS[system];
    return new Guest({ ...KEPT, ...ERASED, ...EMPTIED, ...kept, ...erased, ...emptied, ...more },
        { system: system === 'bsd' ? 'FreeBSD' : 'Linux', ...options });
}

for (const system of SHELLS) {
    const { kept, emptied, made = [], down } = SYSTEMS[system];

    test(`${system}: a shell and its linter accept the script`, () => {
        execFileSync('shellcheck', ['--shell=sh', script(system)]);
        execFileSync('sh', ['-n', script(system)]);
    });

    test(`${system}: running, clean, success, shut down`, () => {
        const prepared = guest(system);
        const outside = path.join(prepared.directory, 'outside');
        fs.writeFileSync(outside, 'not of the guest');
        fs.symlinkSync(outside, path.join(prepared.root, 'var/tmp/link'));
        fs.symlinkSync(outside, path.join(prepared.root, 'var/log/link'));
        assert.strictEqual(prepared.run(system), 0);
        assert.deepStrictEqual(prepared.called('mdata-put', 'shutdown', 'poweroff', 'halt'), [
            'mdata-put prepare-image:state running',
            'mdata-put prepare-image:state success',
            ...down
        ]);
        const remaining = { ...KEPT, ...EMPTIED, ...kept, ...emptied };
        assert.deepStrictEqual(prepared.files(), [...Object.keys(remaining), ...made, 'var/log/link'].sort());
        Object.entries({ ...KEPT, ...kept }).forEach(([name, text]) => assert.strictEqual(prepared.read(name), text));
        Object.keys({ ...EMPTIED, ...emptied }).forEach((name) => assert.strictEqual(prepared.read(name), '', name));
        assert.strictEqual(fs.readFileSync(outside, 'utf8'), 'not of the guest');
    });

    test(`${system}: an error in the middle is reported with the end of the trace`, () => {
        const noise = 'x'.repeat(2 * MAX_ERROR);
        const failed = guest(system, {}, { commands: { sync: `echo ${noise} 'disk on fire' >&2; exit 3` } });
        assert.strictEqual(failed.run(system), 3);
        const [running, error, state, ...rest] = failed.called('mdata-put', 'shutdown', 'poweroff', 'halt');
        assert.strictEqual(running, 'mdata-put prepare-image:state running');
        const [, text] = error.match(/^mdata-put prepare-image:error ([^]*)$/);
        assert.match(text, /disk on fire/);
        assert.ok(text.length <= MAX_ERROR, text);
        assert.strictEqual(state, 'mdata-put prepare-image:state error');
        assert.deepStrictEqual(rest, down);
    });

    test(`${system}: nothing is touched where there is no metadata`, () => {
        const other = guest(system, {}, { commands: { 'mdata-put': 'exit 1' } });
        const before = other.files();
        assert.notStrictEqual(other.run(system), 0);
        assert.deepStrictEqual(other.files(), before);
        assert.deepStrictEqual(other.called('shutdown', 'poweroff', 'halt'), []);
    });
}

test('linux: the password of root is set, and seen nowhere', () => {
    const metadata = { 'prepare-image:root-password-hash': HASH };
    const prepared = guest('linux', {}, { metadata });
    assert.strictEqual(prepared.run('linux'), 0);
    assert.deepStrictEqual(prepared.called('chpasswd'), ['chpasswd -e']);
    assert.strictEqual(fs.readFileSync(path.join(prepared.directory, 'chpasswd'), 'utf8'), `root:${HASH}\n`);

    const failed = guest('linux', {}, { metadata, commands: { chpasswd: 'echo no >&2; exit 1' } });
    assert.strictEqual(failed.run('linux'), 1);
    assert.ok(failed.called('mdata-put').includes('mdata-put prepare-image:state error'));
    assert.ok(!fs.readFileSync(failed.calls, 'utf8').includes('notToBeSeen'));

    const odd = guest('linux', {}, { metadata: { 'prepare-image:root-password-hash': 'a:0:0' } });
    assert.strictEqual(odd.run('linux'), 1);
    assert.deepStrictEqual(odd.called('chpasswd'), []);
});

test('linux: an Ubuntu gets its serial console once, when asked for', () => {
    const files = { 'etc/os-release': 'NAME="Ubuntu"\nID=ubuntu\n', 'etc/default/grub': 'GRUB_CMDLINE_LINUX="quiet"\n' };
    const metadata = { 'prepare-image:fix-ubuntu-console': 'true' };
    const asked = guest('linux', files, { metadata });
    assert.strictEqual(asked.run('linux'), 0);
    const line = 'GRUB_CMDLINE_LINUX="quiet console=tty0 console=ttyS0,115200n8"\n';
    assert.strictEqual(asked.read('etc/default/grub'), line);
    assert.strictEqual(asked.run('linux'), 0);
    assert.strictEqual(asked.read('etc/default/grub'), line);
    assert.strictEqual(asked.called('update-grub').length, 1);

    for (const other of [guest('linux', files),
        guest('linux', { ...files, 'etc/os-release': 'ID=debian\n' }, { metadata })]) {
        assert.strictEqual(other.run('linux'), 0);
        assert.strictEqual(other.read('etc/default/grub'), files['etc/default/grub']);
    }
});

test('linux: what a network card is called stays, its address goes', () => {
    const name = 'etc/sysconfig/network-scripts/ifcfg-eth0';
    const prepared = guest('linux', {
        [name]: 'DEVICE=eth0\nHWADDR=90:b8:d0:00:00:01\nUUID=7\nBOOTPROTO=dhcp\n', 'etc/hostname': 'customer-7\n'
    });
    assert.strictEqual(prepared.run('linux'), 0);
    assert.strictEqual(prepared.read(name), 'DEVICE=eth0\nBOOTPROTO=dhcp\n');
    assert.strictEqual(prepared.read('etc/hostname'), 'localhost\n');
});

test('smartos: the program of the image runs first, unasked', () => {
    const own = 'opt/local/bin/sm-prepare-image';
    const prepared = guest('smartos', { [own]: '#!/bin/sh\nmdata-put "own $yn_start $yn_halt"\n' });
    assert.strictEqual(prepared.run('smartos'), 0);
    assert.deepStrictEqual(prepared.called('mdata-put'), [
        'mdata-put prepare-image:state running', 'mdata-put own y n', 'mdata-put prepare-image:state success'
    ]);
    assert.deepStrictEqual(prepared.called('svcadm'), [
        'svcadm disable svc:/smartdc/mdata:fetch', 'svcadm disable svc:/smartdc/mdata:execute'
    ]);

    const failed = guest('smartos', { [own]: '#!/bin/sh\necho "no zoneinit" >&2\nexit 4\n' });
    assert.strictEqual(failed.run('smartos'), 4);
    assert.match(failed.called('mdata-put')[1], /no zoneinit/);
});

test('windows: the script fits into what a guest can read', () => {
    const text = fs.readFileSync(script('windows'));
    assert.ok(text.length <= MAX_WINDOWS, String(text.length));
    assert.ok(text.every((byte) => byte < 0x80));
    // The guest tools run files that contain this text.
    assert.match(text.toString(), /prepare-image/);
    const steps = ['Put state running', 'sysprep.exe', 'Put state success', 'Put error', 'Put state error', 'Stop-Computer']
        .map((step) => text.indexOf(step));
    assert.ok(steps.every((at, i) => at > (i ? steps[i - 1] : 0)), String(steps));
});
