/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Shell scripts and SMF manifests, as far as they can be checked without a zone.
 */

const assert = require('node:assert');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, test } = require('node:test');

const { ROOT, files, temporary } = require('./lib/tree');

const DTD = path.join(ROOT, 'test', 'data', 'smf', 'service_bundle.dtd');
const MANIFESTS = path.join(ROOT, 'smf', 'manifests');
const ZONE = '3a3fd4a0-3b5c-4e9d-8b1c-5c5ed0a1b2c3';

function isScript(file) {
    const start = fs.readFileSync(file, 'latin1').slice(0, 64);
    return file.endsWith('.sh') || /^#!\s*\S*\/(env )?(ba|da|k)?sh\b/.test(start) || start.startsWith('# shellcheck shell=');
}

function mode(file) {
    return (fs.statSync(file).mode & 0o777).toString(8);
}

const scripts = files().filter(isScript);

test('every shell script passes its linter', () => {
    const names = scripts.map((file) => path.relative(ROOT, file));
    for (const expected of ['boot/setup.sh', 'boot/etc/root.bashrc', 'bin/imgapiadm', 'tools/sdcadm/build/node/bin/node', 'tools/release.sh',
        'tools/prepare-image/linux-prepare-image', 'test/interop/lib/zone-command', '.ci/run']) {
        assert.ok(names.includes(expected), expected);
    }
    const { status, stdout } = spawnSync('shellcheck', ['--external-sources', '--source-path=SCRIPTDIR', ...names],
        { cwd: ROOT, encoding: 'utf8' });
    assert.strictEqual(status, 0, stdout);
});

test('what is executed may be executed', () => {
    for (const directory of ['bin', 'boot', 'boot/sbin', 'tools/sdcadm/build/node/bin']) {
        for (const entry of fs.readdirSync(path.join(ROOT, directory), { withFileTypes: true }).filter((e) => e.isFile())) {
            assert.strictEqual(mode(path.join(ROOT, directory, entry.name)), '755', `${directory}/${entry.name}`);
        }
    }
});

/* Returns the text that an XPath expression finds in a manifest. */
function xpath(manifest, expression) {
    return execFileSync('xmllint', ['--nonet', '--xpath', `string(${expression})`, path.join(MANIFESTS, manifest)],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}

test('every SMF manifest has the structure that svccfg asks for', () => {
    const names = fs.readdirSync(MANIFESTS);
    assert.deepStrictEqual(names.sort(), ['config-agent.xml', 'imgapi.xml']);
    for (const name of names) {
        const { status, stderr } = spawnSync('xmllint', ['--noout', '--nonet', '--dtdvalid', DTD, path.join(MANIFESTS, name)],
            { encoding: 'utf8' });
        assert.strictEqual(status, 0, stderr);
    }
    const broken = path.join(temporary(after), 'broken.xml');
    fs.writeFileSync(broken, fs.readFileSync(path.join(MANIFESTS, 'imgapi.xml'), 'utf8').replace(/ timeout_seconds="30"/, ''));
    assert.notStrictEqual(spawnSync('xmllint', ['--noout', '--nonet', '--dtdvalid', DTD, broken]).status, 0);
});

test('imgapi: the name, user and privileges that others rely on', () => {
    const is = (expression, expected) => assert.strictEqual(xpath('imgapi.xml', expression), expected, expression);
    is('//service/@name', 'smartdc/site/imgapi');
    is('//create_default_instance/@enabled', 'true');
    is('count(//single_instance)', '1');
    is('//method_credential/@user', 'nobody');
    is('//method_credential/@group', 'nobody');
    is('//method_credential/@privileges', 'basic,net_privaddr');
    is('//exec_method[@name="start"]/@exec',
        '/opt/smartdc/imgapi/bin/imgapi serve -f /data/imgapi/etc/imgapi.config.json &');
    is('//exec_method[@name="refresh"]/@exec', ':kill -HUP');
    is('//exec_method[@name="stop"]/@exec', ':kill');
    is('//exec_method[@name="start"]//envvar[@name="LD_PRELOAD_64"]/@value', 'libumem.so.1');
    is('//propval[@name="ignore_error"]/@value', 'core,signal');
    const grace = JSON.parse(fs.readFileSync(path.join(ROOT, 'etc', 'defaults.json'), 'utf8')).shutdownGraceSeconds;
    const stop = Number(xpath('imgapi.xml', '//exec_method[@name="stop"]/@timeout_seconds'));
    assert.ok(stop >= grace + 10, `transfers may go on for ${grace} s, and the service is killed after ${stop} s`);
});

test('config-agent: root, and a refresh is a pass at once', () => {
    const is = (expression, expected) => assert.strictEqual(xpath('config-agent.xml', expression), expected, expression);
    is('//service/@name', 'smartdc/application/config-agent');
    is('//method_credential/@user', 'root');
    is('//exec_method[@name="refresh"]/@exec', ':kill -HUP');
    is('//exec_method[@name="stop"]/@exec', ':kill');
});

test('the systemd unit is one that systemd reads', { skip: !fs.existsSync('/usr/bin/systemd-analyze') }, () => {
    const unit = path.join(temporary(after), 'imgapi.service');
    fs.writeFileSync(unit, fs.readFileSync(path.join(ROOT, 'etc', 'linux', 'imgapi.service'), 'utf8')
        .replace('ExecStart=/usr/local/bin/imgapi', 'ExecStart=/bin/true'));
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
    assert.deepStrictEqual((stdout + stderr).split('\n').filter((line) => line.includes('imgapi.service:')), []);
});

test('the dashboard shows metrics that there are', () => {
    const sources = files(path.join(ROOT, 'src', 'telemetry', 'metrics')).map((file) => fs.readFileSync(file, 'utf8')).join('\n');
    const dashboard = JSON.parse(fs.readFileSync(path.join(ROOT, 'etc', 'dashboard.json'), 'utf8'));
    const names = dashboard.panels.flatMap(({ targets }) => targets)
        .flatMap(({ expr }) => expr.match(/\b(imgapi|http|process)_[a-z_]+/g));
    assert.ok(names.length >= dashboard.panels.length);
    for (const name of names) {
        assert.ok(sources.includes(`"${name.replace(/_bucket$/, '')}"`), name);
    }
});

/*
 * Runs a script with these commands instead of SmartOS's: name -> shell text. Every call is recorded.
 */
function run(script, args, commands, { environment = {}, edit = (text) => text } = {}) {
    const directory = temporary(after);
    const calls = path.join(directory, 'calls');
    fs.writeFileSync(calls, '');
    for (const [name, body] of Object.entries(commands)) {
        fs.writeFileSync(path.join(directory, name),
            `#!/bin/sh\nprintf '%s\\n' "${name} $*" >>${calls}\n${body}\n`, { mode: 0o755 });
    }
    const file = path.join(directory, path.basename(script));
    const text = fs.readFileSync(path.join(ROOT, script), 'utf8');
    fs.writeFileSync(file, edit(text.replace(/^PATH=/m, `PATH=${directory}:`)), { mode: 0o755 });
    const { status, stderr } = spawnSync('bash', [file, ...args], { encoding: 'utf8', env: { ...process.env, ...environment } });
    return { status, stderr, calls: fs.readFileSync(calls, 'utf8').split('\n').slice(0, -1) };
}

const DATASET = `zones/${ZONE}/data`;

test('backup: snapshot, stream, and no snapshot left', () => {
    const target = temporary(after);
    const script = 'boot/backup.sh';
    const backup = (body) => run(script, [ZONE, target], { zfs: body, date: 'echo 20240131T235959Z' });
    const done = backup('[ "$1" != send ] || { echo stream; echo warning >&2; }');
    assert.strictEqual(done.status, 0, done.stderr);
    assert.deepStrictEqual(done.calls, [
        'date -u +%Y%m%dT%H%M%SZ',
        `zfs list -H -o name ${DATASET}`,
        `zfs snapshot ${DATASET}@imgapi-20240131T235959Z`,
        `zfs send -p ${DATASET}@imgapi-20240131T235959Z`,
        `zfs destroy ${DATASET}@imgapi-20240131T235959Z`
    ]);
    const file = path.join(target, 'imgapi', 'imgapi-data.zfs');
    assert.strictEqual(fs.readFileSync(file, 'utf8'), 'stream\n', 'messages do not belong into the stream');

    assert.strictEqual(backup('[ "$1" != list ]').status, 103);
    assert.strictEqual(backup('[ "$1" != snapshot ]').status, 106);
    const broken = backup('[ "$1" != send ] || { echo half; exit 1; }');
    assert.strictEqual(broken.status, 108);
    assert.match(broken.calls.at(-1), /^zfs destroy .*@imgapi-/);
    assert.deepStrictEqual(fs.readdirSync(path.join(target, 'imgapi')), ['imgapi-data.zfs']);
    assert.strictEqual(fs.readFileSync(file, 'utf8'), 'stream\n', 'the backup before is kept');
    assert.strictEqual(run(script, [ZONE], {}).status, 1);
});

/*
 * A zfs of the global zone. Its datasets are files in `directory`, which contain the value of the property zoned. It rejects the
 * calls that the real one rejects, and the call `fails`.
 */
function zfs(directory, fails = '') {
    return `cd '${directory}'
for name in "$@"; do :; done
file=$(printf '%s' "$name" | tr / %)
refuse() { echo "cannot $*" >&2; exit 1; }
[ "$*" != '${fails}' ] || refuse 'do it: made to fail'
[ "$1" = receive ] || [ "$1" = rename ] || [ -e "$file" ] || refuse "open '$name': dataset does not exist"
case "$1 $2" in
    'list -H') echo "$name" ;;
    'receive -u')
        [ ! -e "$file" ] || refuse "receive new filesystem stream: destination '$name' exists"
        [ "$(cat)" = stream ] || refuse 'receive: invalid stream'
        echo on >"$file"
        ;;
    'set mountpoint=/data')
        [ "$(cat "$file")" = off ] || refuse "set property for '$name': 'mountpoint' cannot be set on dataset in a non-global zone"
        ;;
    'set zoned='*) echo "\${2#*=}" >"$file" ;;
    'destroy -r') rm "$file" ;;
    rename*)
        [ ! -e "$file" ] || refuse "rename '$2': dataset already exists"
        mv "$(printf '%s' "$2" | tr / %)" "$file"
        ;;
    *) refuse "do '$*'" ;;
esac`;
}

test('restore: the old dataset is destroyed when the new one is there', () => {
    const target = temporary(after);
    const datasets = temporary(after);
    const file = path.join(datasets, DATASET.replaceAll('/', '%'));
    const zoned = () => Object.fromEntries(fs.readdirSync(datasets).map((name) => [name.replaceAll('%', '/'),
        fs.readFileSync(path.join(datasets, name), 'utf8').trim()]));
    const restore = (fails) => run('boot/restore.sh', [ZONE, target],
        { zfs: zfs(datasets, fails), svcadm: '', zoneadm: `[ "$3" != list ] || echo 7:${ZONE}:running:/zones/${ZONE}:x:joyent-minimal` });
    fs.writeFileSync(file, 'on');
    assert.strictEqual(restore().status, 108, 'no backup');
    fs.mkdirSync(path.join(target, 'imgapi'));
    fs.writeFileSync(path.join(target, 'imgapi', 'imgapi-data.zfs'), 'stream\n');

    const done = restore();
    assert.strictEqual(done.status, 0, done.stderr);
    assert.deepStrictEqual(done.calls, [
        `zfs list -H -o name ${DATASET}`,
        `zfs list -H -o name ${DATASET}-restored`,
        `zfs receive -u ${DATASET}-restored`,
        `zfs set zoned=off ${DATASET}-restored`,
        `zfs set mountpoint=/data ${DATASET}-restored`,
        `zoneadm -z ${ZONE} list -p`,
        `svcadm -z ${ZONE} disable -st imgapi`,
        `zoneadm -z ${ZONE} halt`,
        `zfs destroy -r ${DATASET}`,
        `zfs rename ${DATASET}-restored ${DATASET}`,
        `zfs set zoned=on ${DATASET}`
    ]);
    assert.deepStrictEqual(zoned(), { [DATASET]: 'on' });

    // A failure before the old dataset is destroyed leaves it and a running zone, so the command can be repeated.
    for (const call of [`receive -u ${DATASET}-restored`, `set zoned=off ${DATASET}-restored`, `set mountpoint=/data ${DATASET}-restored`]) {
        const broken = restore(call);
        assert.strictEqual(broken.status, 108, call);
        assert.ok(!broken.calls.includes(`zfs destroy -r ${DATASET}`), 'the old one stays');
        assert.ok(!broken.calls.some((other) => other.startsWith('zoneadm')), 'and the zone runs');
        assert.strictEqual(zoned()[DATASET], 'on');
    }
    assert.strictEqual(restore(`destroy -r ${DATASET}`).status, 106);
    assert.strictEqual(restore(`rename ${DATASET}-restored ${DATASET}`).status, 108);
    assert.strictEqual(restore().status, 105, 'the new one has the other name');
    assert.strictEqual(run('boot/restore.sh', [], {}).status, 1);
});

test('rotated logs get the name that hermes uploads', () => {
    const upload = temporary(after);
    const rotate = (name, environment) => run('boot/sbin/postlogrotate.sh', [name], {},
        { environment, edit: (text) => text.replace('UPLOAD_DIR=/var/log/sdc/upload', `UPLOAD_DIR=${upload}`) });
    const write = (stamp, text, name = 'imgapi') => fs.writeFileSync(path.join(upload, `${name}_${ZONE}_${stamp}.log`), text);
    const contents = () => Object.fromEntries(fs.readdirSync(upload).sort().map((name) =>
        [name.replace(`_${ZONE}_`, ' '), fs.readFileSync(path.join(upload, name), 'utf8')]));

    write('2024-01-31T23:00:00', 'whole\n');
    write('2024-01-31T23:10:00', 'more\n');
    write('2024-01-31T22:59:59', 'earlier\n');
    write('2024-01-31T23:10:01', 'other\n', 'config-agent');
    assert.strictEqual(rotate('imgapi').status, 0);
    assert.deepStrictEqual(contents(), {
        'config-agent 2024-01-31T23:10:01.log': 'other\n',
        'imgapi 2024-01-31T22:00:00.log': 'earlier\n',
        'imgapi 2024-01-31T23:00:00.log': 'whole\nmore\n'
    });
    write('2024-01-31T23:30:00', 'before the end\n');
    assert.strictEqual(rotate('imgapi', { SDC_LOG_ROLL_FORWARD: '1' }).status, 0);
    assert.strictEqual(contents()['imgapi 2024-02-01T00:00:00.log'], 'before the end\n');
    const before = contents();
    assert.strictEqual(rotate('imgapi').status, 0);
    assert.deepStrictEqual(contents(), before, 'nothing to do');
    for (const name of ['', 'a_b', '../x']) {
        assert.strictEqual(rotate(name).status, 1, name);
    }
});

test('TCP is tuned, and what cannot be set keeps no zone from starting', () => {
    const calls = [
        'ipadm set-prop -t -p max_buf=2097152 tcp',
        'ndd -set /dev/tcp tcp_recv_hiwat 2097152',
        'ndd -set /dev/tcp tcp_xmit_hiwat 2097152',
        'ndd -set /dev/tcp tcp_conn_req_max_q 2048',
        'ndd -set /dev/tcp tcp_conn_req_max_q0 8192'
    ];
    for (const body of ['', 'exit 1']) {
        const done = run('boot/configure.sh', [], { ipadm: body, ndd: body });
        assert.strictEqual(done.status, 0);
        assert.deepStrictEqual(done.calls, calls);
    }
});
