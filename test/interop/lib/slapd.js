/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * OpenLDAP's slapd with the accounts of a Triton datacenter.
 */

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { waitFor } = require('./coal');
const { freePort } = require('./imgapi');

const SLAPD = '/usr/sbin/slapd';
const DATA = path.join(__dirname, '..', 'data');
const STOP_DEADLINE_MS = 30 * 1000;

const ADMIN = '930896af-bf8c-48d4-885c-6573a94b1853';
const MUPPET = 'a820621a-5007-4a2a-9636-edde809106de';
const SUBUSER = 'b6f7e3a1-0c55-4a5e-9d2f-0d8d3c3f0e11';
const PASSWORD = 'slapd-root-secret';

/*
 * A directory that is started and stopped, on one port.
 */
class Slapd {
    constructor(directory, port) {
        this.directory = directory;
        this.port = port;
        this.child = null;
    }

    /* Returns the section of imgapi's config for this directory. */
    ufds(more = {}) {
        return {
            url: `ldaps://127.0.0.1:${this.port}`,
            bindDN: 'cn=root',
            bindPassword: PASSWORD,
            ...more
        };
    }

    file(name) {
        return path.join(this.directory, name);
    }

    /* Writes config and certificate, and loads the accounts. */
    prepare() {
        for (const name of ['root', 'users']) {
            fs.mkdirSync(this.file(name), { recursive: true });
        }
        // The path differs, so that a security profile for the system's own directory does not apply.
        fs.copyFileSync(SLAPD, this.file('slapd'));
        execFileSync('openssl',
            ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=*',
                '-keyout', this.file('key.pem'), '-out', this.file('cert.pem')],
            { stdio: 'pipe' });
        this.configure();
        execFileSync(this.file('slapd'),
            ['-T', 'add', '-f', this.file('slapd.conf'), '-b', 'o=smartdc',
                '-l', path.join(DATA, 'ufds.ldif')],
            { stdio: 'pipe' });
    }

    configure(idleSeconds = 0) {
        const template = fs.readFileSync(path.join(DATA, 'slapd.conf'), 'utf8');
        fs.writeFileSync(this.file('slapd.conf'), template
            .replaceAll('@DIRECTORY@', this.directory)
            .replaceAll('@DATA@', DATA)
            .replaceAll('@PASSWORD@', PASSWORD)
            .replaceAll('@IDLE@', String(idleSeconds)));
    }

    /* Starts the server, and waits until it listens. It closes connections that are idle for `idleSeconds`, unless that is 0. */
    async start(idleSeconds = 0) {
        this.configure(idleSeconds);
        let ended = false;
        this.child = spawn(this.file('slapd'),
            ['-d', '0', '-f', this.file('slapd.conf'), '-h', `ldaps://127.0.0.1:${this.port}`],
            { stdio: 'ignore' });
        this.exited = new Promise((resolve) => this.child.once('exit', (code) => {
            ended = true;
            resolve(code);
        }));
        await waitFor('slapd', () => {
            if (ended) {
                throw new Error('slapd ended');
            }
            return listens(this.port);
        });
    }

    async stop() {
        if (!this.child) {
            return;
        }
        this.child.kill('SIGTERM');
        const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
        await this.exited;
        clearTimeout(timer);
        this.child = null;
    }
}

function listens(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.once('connect', () => socket.destroy());
        socket.once('error', () => {});
        socket.once('close', (failed) => resolve(!failed));
    });
}

/* Returns a directory server in `directory`, prepared but not yet started. */
async function prepareSlapd(directory) {
    const slapd = new Slapd(directory, await freePort());
    slapd.prepare();
    return slapd;
}

module.exports = { ADMIN, MUPPET, PASSWORD, SUBUSER, prepareSlapd };
