/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * coal's UFDS with the client that Triton's services use.
 */

const assert = require('node:assert');
const { after, before, test } = require('node:test');

const bunyan = require('bunyan');
const UFDS = require('ufds');

const coal = require('./lib/coal');
const { call, within } = require('./lib/call');
const { newKey } = require('./lib/keys');

const USERS = 'ou=users, o=smartdc';
const SUBUSER = 'b6f7e3a1-0c55-4a5e-9d2f-0d8d3c3f0e11';

let running;
let client;

function connect(bindPassword) {
    const { url, bindDN } = running.config.ufds;
    return new UFDS({
        url,
        bindDN,
        bindPassword,
        clientTimeout: 10000,
        connectTimeout: 10000,
        log: bunyan.createLogger({ name: 'interop', level: 'fatal' })
    });
}

before(async () => {
    running = await coal.start();
    client = connect(running.config.ufds.bindPassword);
    await within(new Promise((resolve, reject) => {
        client.once('connect', resolve);
        client.once('error', reject);
    }), 'connect');
});

after(async () => {
    if (client) {
        await call(client, 'close');
    }
    if (running) {
        await running.stop();
    }
});

test('an account is found by uuid and by login', async () => {
    const vader = running.account('imgapitestvader');
    for (const name of [vader, 'imgapitestvader']) {
        const user = await call(client, 'getUser', name);
        assert.strictEqual(user.uuid, vader);
        assert.strictEqual(user.login, 'imgapitestvader');
        assert.strictEqual(user.objectclass, 'sdcperson');
        assert.strictEqual(user.userpassword, undefined);
        assert.strictEqual(user.isAdmin(), false);
    }
    const admin = await call(client, 'getUser', 'admin');
    assert.strictEqual(admin.uuid, running.datacenter.admin_uuid);
    assert.strictEqual(admin.isAdmin(), true);
});

test('what is no account is not found', async () => {
    const vader = running.account('imgapitestvader');
    const names = ['nobody', '00000000-0000-4000-8000-000000000000',
        vader.toUpperCase(), SUBUSER];
    for (const name of names) {
        await assert.rejects(call(client, 'getUser', name), (err) => {
            assert.strictEqual(err.statusCode, 404, err.message);
            return true;
        }, name);
    }
});

test('a sub-user is found below its account, with its short login', async () => {
    const vader = running.account('imgapitestvader');
    for (const name of [SUBUSER, 'tarkin']) {
        const user = await call(client, 'getUser', name, vader);
        assert.strictEqual(user.uuid, SUBUSER);
        assert.strictEqual(user.login, 'tarkin');
        assert.strictEqual(user.account, vader);
    }
});

test('the password of an account is checked', async () => {
    const user = await call(client, 'authenticate',
        'imgapitestluke', 'imgadmisawesome123');
    assert.strictEqual(user.login, 'imgapitestluke');
    await assert.rejects(
        call(client, 'authenticate', 'imgapitestluke', 'wrong'),
        (err) => err.statusCode === 401 || err.name === 'InvalidCredentialsError');
});

test('searches have scopes, filters and attributes', async () => {
    const search = (base, options) => call(client, 'search', base, options);
    const all = await search(USERS, { scope: 'one', filter: '(objectclass=sdcperson)' });
    assert.deepStrictEqual(all.map((user) => user.login),
        running.datacenter.accounts.map((account) => account.login));
    const below = await search('o=smartdc',
        { scope: 'sub', filter: '(&(objectclass=sdcperson)(!(login=*testvader))(cn=*))' });
    assert.ok(below.some((user) => user.uuid === SUBUSER));
    assert.ok(!below.some((user) => user.login === 'imgapitestvader'));
    const [one] = await search(USERS,
        { scope: 'one', filter: '(login=admin)', attributes: ['uuid'] });
    assert.strictEqual(one.uuid, running.datacenter.admin_uuid);
    assert.strictEqual(one.login, undefined);
    assert.strictEqual(one.dn,
        `uuid=${running.datacenter.admin_uuid}, ou=users, o=smartdc`);
    assert.deepStrictEqual(
        await search(USERS, { scope: 'one', filter: '(login=nobody)' }), []);
});

test('a missing base is no such object', async () => {
    await assert.rejects(
        call(client, 'search', 'ou=nowhere, o=smartdc',
            { scope: 'base', filter: '(objectclass=*)' }),
        (err) => {
            assert.strictEqual(err.statusCode, 404, err.message);
            return true;
        });
});

test('keys of accounts and of sub-users come and go', async () => {
    const vader = running.account('imgapitestvader');
    for (const [user, account] of [[vader, []], [SUBUSER, [vader]]]) {
        const { line, fingerprint } = newKey();
        const before = await call(client, 'listKeys', user, ...account);
        const added = await call(client, 'addKey', user, { name: 'saber', openssh: line }, ...account);
        assert.strictEqual(added.fingerprint, fingerprint);
        assert.strictEqual(added.openssh, line);
        assert.match(added.pkcs, /^-----BEGIN PUBLIC KEY-----/);
        // The client first searches for the name and the fingerprint.
        await assert.rejects(call(client, 'addKey', user, { name: 'saber', openssh: line }, ...account),
            /already exists/);
        const found = await call(client, 'getKey', user, 'saber', ...account);
        assert.strictEqual(found.fingerprint, fingerprint);
        const keys = await call(client, 'listKeys', user, ...account);
        assert.strictEqual(keys.length, before.length + 1);
        await call(client, 'deleteKey', user, found, ...account);
        await assert.rejects(call(client, 'getKey', user, 'saber', ...account),
            (err) => err.statusCode === 404);
    }
});

test('a wrong password does not bind', async () => {
    const other = connect('wrong');
    const err = await within(new Promise((resolve, reject) => {
        // The client gives up permanently, and reports the reason.
        other.once('destroy', resolve);
        other.once('connect', () => reject(new Error('bound')));
    }), 'destroy');
    assert.match(`${err.name} ${err.message}`, /credentials/i);
});
