/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's UFDS with OpenLDAP's own client, as operators use it.
 */

const assert = require('node:assert');
const { execFile, spawnSync } = require('node:child_process');
const { after, before, test } = require('node:test');

const coal = require('./lib/coal');
const { newKey } = require('./lib/keys');

const USERS = 'ou=users, o=smartdc';
let running;

before(async () => {
    running = await coal.start();
});

after(async () => {
    if (running) {
        await running.stop();
    }
});

/* Runs ldapsearch and resolves to its exit code and output. */
function ldapsearch(bind, ...args) {
    return new Promise((resolve) => {
        execFile('ldapsearch',
            ['-x', '-LLL', '-o', 'ldif-wrap=no', '-H', running.config.ufds.url,
                ...bind, ...args],
            { env: { ...process.env, LDAPTLS_REQCERT: 'never' }, timeout: 30000 },
            (err, stdout, stderr) => resolve({
                code: err ? err.code : 0, stdout, stderr
            }));
    });
}

function root() {
    const { bindDN, bindPassword } = running.config.ufds;
    return ['-D', bindDN, '-w', bindPassword];
}

/* Returns the values of an attribute, in the order of the answer. */
function values(output, name) {
    return output.split('\n')
        .filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2));
}

test('the search that IMGAPI does', async () => {
    const uuid = running.account('imgapitestluke');
    const found = await ldapsearch(root(), '-b', USERS, '-s', 'one',
        `(&(objectclass=sdcperson)(uuid=${uuid}))`, 'uuid', 'login');
    assert.strictEqual(found.code, 0, found.stderr);
    assert.strictEqual(found.stdout.trim(), [
        `dn: uuid=${uuid}, ou=users, o=smartdc`,
        'login: imgapitestluke',
        `uuid: ${uuid}`
    ].join('\n'));
});

test('all attributes but the hidden ones', async () => {
    const uuid = running.account('imgapitestvader');
    const found = await ldapsearch(root(), '-b', `uuid=${uuid},${USERS}`,
        '-s', 'sub', '(objectclass=*)');
    assert.deepStrictEqual(values(found.stdout, 'login'), ['imgapitestvader', 'tarkin']);
    assert.ok(!/userpassword/i.test(found.stdout));
});

test('results of what goes wrong', async () => {
    const search = ['-b', USERS, '-s', 'one', '(login=admin)'];
    const { bindDN } = running.config.ufds;
    const wrong = await ldapsearch(['-D', bindDN, '-w', 'wrong'], ...search);
    assert.strictEqual(wrong.code, 49, wrong.stderr);
    const anonymous = await ldapsearch([], ...search);
    assert.strictEqual(anonymous.code, 50, anonymous.stderr);
    const account = `uuid=${running.account('imgapitestluke')},${USERS}`;
    const other = await ldapsearch(
        ['-D', account, '-w', 'imgadmisawesome123'], ...search);
    assert.strictEqual(other.code, 50, other.stderr);
    const nowhere = await ldapsearch(root(), '-b', 'ou=nowhere, o=smartdc');
    assert.strictEqual(nowhere.code, 32, nowhere.stderr);
});

test('a size limit and the description of the server', async () => {
    const limited = await ldapsearch(root(), '-z', '2', '-b', USERS, '-s', 'one', 'login');
    assert.strictEqual(limited.code, 0, limited.stderr);
    assert.strictEqual(values(limited.stdout, 'login').length, 2);
    const description = await ldapsearch([], '-b', '', '-s', 'base');
    assert.deepStrictEqual(values(description.stdout, 'namingcontexts'), ['o=smartdc']);
});

/* Runs a client that makes changes, optionally with an LDIF text. */
function change(program, args, input) {
    const result = spawnSync(program, ['-x', '-H', running.config.ufds.url, ...root(), ...args],
        { env: { ...process.env, LDAPTLS_REQCERT: 'never' }, input, timeout: 30000 });
    return { status: result.status, stderr: String(result.stderr) };
}

test('a key is added and deleted', async () => {
    const account = `uuid=${running.account('imgapitestluke')}, ${USERS}`;
    const { line, fingerprint } = newKey();
    const dn = `fingerprint=${fingerprint}, ${account}`;
    const entry = (openssh) => [
        `dn: ${dn}`, 'changetype: add', 'objectclass: sdckey', 'name: by hand',
        `openssh: ${openssh}`, ''
    ].join('\n');
    assert.strictEqual(change('ldapadd', [], entry('ssh-rsa nonsense')).status, 21);
    const added = change('ldapadd', [], entry(line));
    assert.strictEqual(added.status, 0, added.stderr);
    assert.strictEqual(change('ldapadd', [], entry(line)).status, 68);
    const found = await ldapsearch(root(), '-b', account, '-s', 'one', '(objectclass=sdckey)');
    assert.deepStrictEqual(values(found.stdout, 'openssh').filter((value) => value === line), [line]);
    const deleted = change('ldapdelete', [dn]);
    assert.strictEqual(deleted.status, 0, deleted.stderr);
    assert.strictEqual(change('ldapdelete', [dn]).status, 32);
});

test('nothing else can be changed', () => {
    assert.strictEqual(change('ldapdelete', ['cn=readers, ou=groups, o=smartdc']).status, 53);
    const group = 'dn: cn=x, ou=groups, o=smartdc\nchangetype: add\nobjectclass: groupOfUniqueNames\ncn: x\n';
    assert.strictEqual(change('ldapadd', [], group).status, 53);
    const modified = 'dn: ou=users, o=smartdc\nchangetype: modify\nreplace: ou\nou: y\n';
    assert.strictEqual(change('ldapmodify', [], modified).status, 53);
});
