/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * The packages of a release: their contents, and that they do not depend on the machine that builds them.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');

const { EPOCH, ROOT, STAMP, files, pack, temporary } = require('./lib/tree');

const NOBODY = '0/0';
const OTHER_STAMP = 'feature-20240131T235959Z-g0123abc';

const directory = temporary(after);
const binary = path.join(directory, 'imgapi');
let packages;

/* A program that contains the version of its compiler, as Rust programs do. */
function makeProgram(file, { compiler = 'rustc version 1.95.0 (59807616e 2026-04-14)', of = '/bin/sh' } = {}) {
    fs.writeFileSync(file, Buffer.concat([fs.readFileSync(fs.realpathSync(of)), Buffer.from(`\0${compiler}\0`)]), { mode: 0o755 });
}

before(() => {
    // A small file that looks like a Linux program. The real program is packed and run in zone.test.js.
    makeProgram(binary);
    packages = pack(path.join(directory, 'packages'), { binary });
});

/* Returns the entries that `tar` lists: mode, owner, size, date, time and name. */
function list(archive) {
    return execFileSync('tar', ['-tvzf', archive, '--full-time', '--numeric-owner'], { encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } })
        .trim().split('\n').map((line) => {
            const [mode, owner, , date, time, name] = line.split(/\s+/);
            return { mode, owner, time: `${date}T${time}Z`, name };
        });
}

test('the packages have the names that the image build looks for', () => {
    const arch = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
    assert.deepStrictEqual(packages.map((file) => path.basename(file)), [
        `imgapi-pkg-${STAMP}.tar.gz`,
        `imgapi-zfs-${STAMP}.imgmanifest`,
        `imgapi-linux-${arch}-${STAMP}.tar.gz`,
        `imgapi-${STAMP}.sha256`
    ]);
});

test('the zone\'s package has root/ and site/, of root, with the time of the commit', () => {
    const entries = list(packages[0]);
    const names = entries.map((entry) => entry.name);
    assert.deepStrictEqual(names.filter((name) => !/^(root|site)\//.test(name)), []);
    for (const name of ['site/.do-not-delete-me', 'root/opt/smartdc/boot/setup.sh', 'root/opt/smartdc/boot/configure.sh',
        'root/opt/smartdc/boot/sbin/postlogrotate.sh', 'root/opt/smartdc/boot/lib/util.sh', 'root/opt/smartdc/imgapi/bin/imgapi',
        'root/opt/smartdc/imgapi/bin/imgapiadm', 'root/opt/smartdc/imgapi/bin/imgapi-manta-setup',
        'root/opt/smartdc/imgapi/bin/imgapi-external-manta-setup', 'root/opt/smartdc/imgapi/bin/manta-env',
        'root/opt/smartdc/imgapi/build/node/bin/node', 'root/opt/smartdc/imgapi/smf/manifests/imgapi.xml',
        'root/opt/smartdc/imgapi/smf/manifests/config-agent.xml', 'root/opt/smartdc/imgapi/etc/defaults.json',
        'root/opt/smartdc/imgapi/tools/prepare-image/smartos-prepare-image', 'root/opt/smartdc/imgapi/LICENSE']) {
        assert.ok(names.includes(name), name);
    }
    const time = new Date(EPOCH * 1000).toISOString().replace('.000Z', 'Z');
    for (const entry of entries) {
        assert.strictEqual(entry.owner, NOBODY, entry.name);
        assert.strictEqual(entry.time, time, entry.name);
        assert.ok(['drwxr-xr-x', '-rwxr-xr-x', '-rw-r--r--'].includes(entry.mode), `${entry.mode} ${entry.name}`);
    }
    const executable = entries.filter((entry) => entry.mode === '-rwxr-xr-x').map((entry) => entry.name);
    assert.ok(executable.includes('root/opt/smartdc/imgapi/bin/imgapi'));
    assert.ok(executable.includes('root/opt/smartdc/imgapi/build/node/bin/node'));
});

test('everything that belongs into a zone is there', () => {
    const names = new Set(list(packages[0]).map((entry) => entry.name));
    for (const tree of ['boot', 'lib', 'sapi_manifests', 'smf', 'docs'].filter((name) => fs.existsSync(path.join(ROOT, name)))) {
        const top = tree === 'boot' ? 'root/opt/smartdc' : 'root/opt/smartdc/imgapi';
        for (const file of files(path.join(ROOT, tree))) {
            assert.ok(names.has(`${top}/${path.relative(ROOT, file)}`), file);
        }
    }
});

test('the image\'s manifest says what sdcadm looks for', () => {
    const manifest = JSON.parse(fs.readFileSync(packages[1], 'utf8'));
    assert.deepStrictEqual(manifest, {
        v: 2,
        owner: '00000000-0000-0000-0000-000000000000',
        name: 'imgapi',
        version: STAMP,
        description: 'SDC IMGAPI',
        type: 'zone-dataset',
        os: 'smartos',
        origin: '502eeef2-8267-489f-b19c-a206906f57ef',
        requirements: { min_platform: { '7.0': '20210826T002459Z' } },
        tags: { smartdc_service: true }
    });
    // The comparison with the oldest accepted version that sdcadm makes.
    const parts = manifest.version.split('-');
    assert.ok(parts[parts.length - 2] >= '20140619T081912Z');
});

test('the checksums are right', () => {
    const lines = fs.readFileSync(packages[3], 'utf8').trim().split('\n').map((line) => line.split(/\s+/));
    assert.deepStrictEqual(lines.map(([, name]) => name), packages.slice(0, 3).map((file) => path.basename(file)));
    for (const [index, [sum]] of lines.entries()) {
        assert.strictEqual(sum, crypto.createHash('sha256').update(fs.readFileSync(packages[index])).digest('hex'));
    }
});

test('another copy of the repository, at another time and with other permissions, makes the same bytes', () => {
    const copy = path.join(directory, 'a', 'copy');
    for (const file of files()) {
        const target = path.join(copy, path.relative(ROOT, file));
        fs.mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 });
        fs.copyFileSync(file, target);
        fs.chmodSync(target, fs.statSync(file).mode & 0o100 ? 0o700 : 0o600);
    }
    const again = pack(path.join(directory, 'again'), {
        from: copy, binary, environment: { LC_ALL: 'en_US.UTF-8', TZ: 'Asia/Tokyo', GZIP: undefined, TMPDIR: directory }
    });
    for (const [index, file] of packages.entries()) {
        assert.ok(fs.readFileSync(file).equals(fs.readFileSync(again[index])), file);
    }
});

test('the package for Linux has a program, a unit and a configuration', () => {
    const names = list(packages[2]).map((entry) => entry.name);
    for (const name of ['bin/imgapi', 'etc/linux/imgapi.service', 'etc/linux/imgapi.sysusers.conf',
        'etc/linux/imgapi.config.json', 'docs/index.md', 'LICENSE']) {
        assert.ok(names.includes(`imgapi-${STAMP}/${name}`), name);
    }
});

test('the program of an old compiler, or of an unknown one, is not released', () => {
    const other = path.join(directory, 'other');
    const release = (options) => {
        makeProgram(other, options);
        return spawnSync(path.join(ROOT, 'tools', 'release.sh'), ['-s', STAMP, '-o', path.join(directory, 'other-packages'), other],
            { encoding: 'utf8', env: { ...process.env, SOURCE_DATE_EPOCH: EPOCH } });
    };
    const oldest = /^rust-version = "(.*)"$/m.exec(fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'))[1];
    assert.match(release({ compiler: 'rustc version 1.91.0 (f8297e351 2025-10-28)' }).stderr,
        new RegExp(`was made by Rust 1\\.91\\.0, and has to be by ${oldest.replace('.', '\\.')} or later`));
    assert.match(release({ compiler: 'GCC: 12.2.0' }).stderr, /which compiler made/);
    assert.strictEqual(fs.existsSync(path.join(directory, 'other-packages')), false);
    assert.strictEqual(release({ compiler: `rustc version ${oldest}.0` }).status, 0);
});

test('a program that needs a library of packages is not released', () => {
    const commands = path.join(directory, 'commands');
    const other = path.join(directory, 'packaged');
    const release = (ldd) => {
        makeProgram(other);
        fs.mkdirSync(commands, { recursive: true });
        fs.writeFileSync(path.join(commands, 'ldd'), `#!/bin/sh\nprintf '${ldd}'\n`, { mode: 0o755 });
        const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH, PATH: `${commands}:${process.env.PATH}` };
        return spawnSync(path.join(ROOT, 'tools', 'release.sh'), ['-s', STAMP, '-o', path.join(directory, 'packaged-packages'), other],
            { encoding: 'utf8', env });
    };
    // The output as SmartOS prints it.
    const platform = '\\tlibsocket.so.1 =>\\t /lib/64/libsocket.so.1\\n\\tlibgcc_s.so.1 =>\\t /usr/lib/64/libgcc_s.so.1\\n';
    for (const [line, message] of [
        ['\\tlibssl.so.3 =>\\t /opt/local/lib/libssl.so.3\\n', /needs libssl\.so\.3/],
        ['\\tlibssl.so.3 =>\\t (file not found)\\n', /needs libssl\.so\.3/],
        ['\\tlibgcc_s.so.1 =>\\t /opt/local/gcc10/lib/amd64/libgcc_s.so.1\\n', /needs libgcc_s\.so\.1/]
    ]) {
        const { status, stderr } = release(platform + line);
        assert.strictEqual(status, 1, line);
        assert.match(stderr, message);
    }
    assert.strictEqual(release(platform).status, 0);
});

test('the image build of Triton finds its variables, and the release where it looks for it', () => {
    const tree = path.join(directory, 'image');
    const write = (name, text, mode = 0o644) => {
        fs.mkdirSync(path.dirname(path.join(tree, name)), { recursive: true });
        fs.writeFileSync(path.join(tree, name), text, { mode });
    };
    for (const name of ['Makefile', 'tools/image.mk']) {
        write(name, fs.readFileSync(path.join(ROOT, name)));
    }
    // The parts of Triton's makefiles that are needed, and a build that takes no time.
    const mk = 'deps/eng/tools/mk';
    write(`${mk}/Makefile.defs`, `TOP := $(CURDIR)\nSTAMP := ${STAMP}\nENGBLD_BITS_DIR := $(TOP)/bits\nBUILD_PLATFORM := 2018\n`);
    write(`${mk}/Makefile.rust.defs`, 'CARGO_EXEC := $(TOP)/rust/cargo/bin/cargo\n');
    write(`${mk}/Makefile.rust.targ`, '$(CARGO_EXEC):\n\tmkdir -p $(@D)\n\ttouch $@\n\tchmod 755 $@\n');
    for (const name of ['deps', 'agent_prebuilt.defs', 'agent_prebuilt.targ']) {
        write(`${mk}/Makefile.${name}`, '');
    }
    write(`${mk}/Makefile.targ`, `buildimage: release
\t@echo 'image: $(BASE_IMAGE_UUID) $(BUILDIMAGE_NAME) $(BUILDIMAGE_DESC) $(BUILDIMAGE_DO_PKGSRC_UPGRADE) $(ENGBLD_USE_BUILDIMAGE)'
\t@echo 'with: $(BUILDIMAGE_PKGSRC) $(AGENTS) $(BUILD_PLATFORM)'\n`);
    write('tools/release.sh', `#!/bin/sh\ncommand -v cargo\nmkdir -p "$4"\necho "$2" >"$4/imgapi-pkg-$2.tar.gz"\n`, 0o755);
    const { status, stdout, stderr } = spawnSync('make', ['-C', tree, 'all', 'publish', 'buildimage'], { encoding: 'utf8' });
    assert.strictEqual(status, 0, stderr);
    assert.match(stdout, /^image: 502eeef2-8267-489f-b19c-a206906f57ef imgapi SDC IMGAPI true true$/m);
    assert.match(stdout, /^with: mozilla-rootcerts-openssl amon registrar 20210826T002459Z$/m);
    assert.ok(stdout.includes(path.join(fs.realpathSync(tree), 'rust', 'cargo', 'bin', 'cargo')), 'the compiler of the image build');
    for (const name of ['.', 'bits/imgapi']) {
        assert.strictEqual(fs.readFileSync(path.join(tree, name, `imgapi-pkg-${STAMP}.tar.gz`), 'utf8'), `${STAMP}\n`, name);
    }
});

test('a stamp has a branch, a time and a commit', () => {
    const release = (...args) => spawnSync(path.join(ROOT, 'tools', 'release.sh'), args,
        { encoding: 'utf8', env: { ...process.env, SOURCE_DATE_EPOCH: EPOCH } });
    const output = path.join(directory, 'stamps');
    for (const bad of ['1.0', 'master-20240131-g0123abc', '../x-20240131T235959Z-g0123abc']) {
        assert.notStrictEqual(release('-s', bad, '-o', output, binary).status, 0, bad);
    }
    assert.strictEqual(release('-s', OTHER_STAMP, '-o', output, path.join(directory, 'none')).status, 1);
    assert.strictEqual(release('-x').status, 2);
    assert.strictEqual(fs.existsSync(output), false);
});

test('the stamp of a commit', () => {
    const repository = path.join(directory, 'repository');
    const git = (...args) => execFileSync('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args],
        { encoding: 'utf8', env: { ...process.env, GIT_COMMITTER_DATE: `${EPOCH} +0900`, GIT_AUTHOR_DATE: `${EPOCH} +0900` } }).trim();
    const stamp = (environment = {}) => spawnSync(path.join(repository, 'tools', 'release.sh'), ['--stamp'],
        { encoding: 'utf8', env: { ...process.env, SOURCE_DATE_EPOCH: '', ...environment } });
    fs.mkdirSync(path.join(repository, 'tools'), { recursive: true });
    fs.copyFileSync(path.join(ROOT, 'tools', 'release.sh'), path.join(repository, 'tools', 'release.sh'));
    execFileSync('git', ['init', '--quiet', '--initial-branch=main', repository]);
    git('add', '.');
    git('commit', '--quiet', '-m', 'one');
    const end = `20240131T235959Z-g${git('rev-parse', 'HEAD').slice(0, 7)}`;
    assert.strictEqual(stamp().stdout, `master-${end}\n`, 'what Triton\'s tools take for the main branch');
    assert.strictEqual(stamp({ BRANCH: 'release-20240208' }).stdout, `release-20240208-${end}\n`);
    git('checkout', '--quiet', '-b', 'fix/this');
    assert.strictEqual(stamp().stdout, `fix_this-${end}\n`);
    fs.writeFileSync(path.join(repository, 'new'), '');
    assert.strictEqual(stamp().status, 1, 'a version says which commit it is');
});
