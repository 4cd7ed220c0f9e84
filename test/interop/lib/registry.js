/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * Debian's docker-registry, without authentication, or behind names and passwords, or behind tokens.
 */

const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const { freePort } = require('./imgapi');
const { waitFor } = require('./coal');

const STOP_DEADLINE_MS = 60 * 1000;
const USER = 'joe';
const PASSWORD = 'secret';
const AUTHORIZATION = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;

/* The password, as bcrypt stores it. */
const HASH = '$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a';

/* The value of the header `x-registry-auth`. */
const REGISTRY_AUTH = Buffer.from(JSON.stringify({ username: USER, password: PASSWORD })).toString('base64');

/*
 * Issues tokens to the user of the tests, for what the request names.
 *
 *   issued    the scopes of all tokens so far
 */
class TokenServer {
    constructor(directory) {
        this.issued = [];
        this.certificate = path.join(directory, 'token.pem');
        this.keyFile = path.join(directory, 'token.key');
        execFileSync('openssl',
            ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=tokens',
                '-keyout', this.keyFile, '-out', this.certificate],
            { stdio: 'pipe' });
        this.server = http.createServer((req, res) => this.answer(req, res));
    }

    async start() {
        this.port = await freePort();
        await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    }

    answer(req, res) {
        const url = new URL(req.url, 'http://127.0.0.1');
        if (req.headers.authorization !== AUTHORIZATION) {
            res.writeHead(401).end();
            return;
        }
        const scopes = url.searchParams.getAll('scope').flatMap((scope) => scope.split(' ')).filter(Boolean);
        this.issued.push(...scopes);
        res.end(JSON.stringify({ token: this.token(url.searchParams.get('service'), scopes) }));
    }

    token(service, scopes) {
        const der = new crypto.X509Certificate(fs.readFileSync(this.certificate)).raw.toString('base64');
        const now = Math.floor(Date.now() / 1000);
        const access = scopes.map((scope) => {
            const [type, name, actions] = scope.split(':');
            return { type, name, actions: actions.split(',') };
        });
        const claims = {
            iss: 'tests', aud: service, sub: USER, iat: now, nbf: now - 10, exp: now + 300,
            jti: crypto.randomUUID(), access
        };
        const signed = [{ typ: 'JWT', alg: 'RS256', x5c: [der] }, claims]
            .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
        const signature = crypto.sign('sha256', Buffer.from(signed), fs.readFileSync(this.keyFile));
        return `${signed}.${signature.toString('base64url')}`;
    }

    stop() {
        this.server.closeAllConnections();
        return new Promise((resolve) => this.server.close(resolve));
    }
}

/*
 * A running registry.
 *
 *   address    host and port
 *   tokens     its token server, if it has one
 */
class Registry {
    constructor(directory, auth) {
        this.directory = directory;
        this.auth = auth;
        fs.mkdirSync(directory);
    }

    /* Returns the part of the configuration about authentication. */
    authConfig() {
        if (this.auth === 'basic') {
            const file = path.join(this.directory, 'htpasswd');
            fs.writeFileSync(file, `${USER}:${HASH}\n`);
            return { auth: { htpasswd: { realm: 'tests', path: file } } };
        }
        if (this.auth === 'token') {
            const realm = `http://127.0.0.1:${this.tokens.port}/token`;
            const { certificate } = this.tokens;
            return { auth: { token: { realm, service: 'tests', issuer: 'tests', rootcertbundle: certificate } } };
        }
        return {};
    }

    async start() {
        if (this.auth === 'token') {
            this.tokens = new TokenServer(this.directory);
            await this.tokens.start();
        }
        this.address = `127.0.0.1:${await freePort()}`;
        const config = {
            version: 0.1,
            log: { level: 'error' },
            storage: { filesystem: { rootdirectory: path.join(this.directory, 'data') } },
            http: { addr: this.address },
            ...this.authConfig()
        };
        // JSON is YAML.
        const file = path.join(this.directory, 'config.yml');
        const log = fs.openSync(path.join(this.directory, 'log'), 'w');
        fs.writeFileSync(file, JSON.stringify(config));
        this.child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', log, log] });
        fs.closeSync(log);
        let ended = false;
        this.exited = new Promise((resolve) => this.child.once('exit', () => {
            ended = true;
            resolve();
        }));
        await waitFor('docker-registry', () => {
            if (ended) {
                throw new Error(`docker-registry ended: ${fs.readFileSync(path.join(this.directory, 'log'))}`);
            }
            return fetch(`http://${this.address}/v2/`).catch(() => null);
        });
    }

    async stop() {
        if (this.child) {
            this.child.kill('SIGTERM');
            const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
            await this.exited;
            clearTimeout(timer);
        }
        if (this.tokens) {
            await this.tokens.stop();
        }
    }
}

/* Starts a registry with its files in `directory`. `auth` is `none`, `basic` or `token`. */
async function startRegistry(directory, auth) {
    const registry = new Registry(directory, auth);
    try {
        await registry.start();
    } catch (err) {
        await registry.stop();
        throw err;
    }
    return registry;
}

module.exports = { PASSWORD, REGISTRY_AUTH, USER, startRegistry };
