/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * `imgapi config-agent` renders the same text as Hogan.js: for every template of `sapi_manifests`, and for generated templates
 * with generated metadata.
 *
 * The Hogan.js of 4.13.1's agent prints objects as JSON and crashes on null. The one here is patched to do the same.
 */

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const hogan = require('hogan.js');

const { program } = require('./lib/coal');

const ROOT = path.resolve(__dirname, '..', '..');
const MANIFESTS = path.join(ROOT, 'sapi_manifests');

/* Files are written one by one with fsync. A file system in memory spares the disk. */
const TEMPORARY = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

const INSTANCES = 60;
const PASSES = 5;
const GENERATED_TEMPLATES = 12;

const DELIMITERS = [['{{', '}}'], ['<%', '%>'], ['|', '|'], ['[[', ']]']];

for (const method of ['v', 't']) {
    const print = hogan.Template.prototype[method];
    hogan.Template.prototype[method] = (value) => {
        if (value === null) {
            throw new TypeError('null');
        }
        const isObject = typeof value === 'object' && !Array.isArray(value);
        return print(isObject ? JSON.stringify(value) : value);
    };
}

/*
 * Returns numbers from 0 to `below`, which are the same for the same seed (mulberry32).
 */
function generator(seed) {
    let state = seed;
    return (below) => {
        state = (state + 0x6d2b79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) % below;
    };
}

const NAMES = ['a', 'b', 'c', 'list', 'flag', 'deep', 'x-y', '1', 'length'];
const KEYS = fs.readdirSync(MANIFESTS)
    .flatMap((name) => template(name).match(/\{\{[{#^]?[\w.]+/g) || [])
    .map((tag) => tag.replace(/^[{#^]+/, ''));
const TEXTS = ['', 'x', 'false', 'true', 'a & b', '<\'">', 'a"b\\c', '\u00e9\u4e2d\ud83d\ude00',
    'two\nlines\r\n', '`=/', '{{a}}', '\u2028\t\u0007', '0', 'https://h/?a=1&b=2'];
const NUMBERS = [0, 1, -1, 1.5, 1e21, 1e-7, 123456789012345680000, 0.1, 2020, 5e-324];

function template(name) {
    return fs.readFileSync(path.join(MANIFESTS, name, 'template'), 'utf8');
}

function value(random, depth) {
    switch (random(depth > 0 ? 9 : 6)) {
    case 0: return random(2) === 0;
    case 1: return NUMBERS[random(NUMBERS.length)];
    case 2: return random(6) === 0 ? null : '';
    case 6:
    case 7: return Array.from({ length: random(4) }, () => value(random, depth - 1));
    case 8: return members(random, NAMES, depth - 1);
    default: return TEXTS[random(TEXTS.length)];
    }
}

function members(random, names, depth) {
    const object = {};
    for (const name of names) {
        if (random(3) > 0) {
            object[name] = value(random, depth);
        }
    }
    return object;
}

function metadata(random) {
    return { ...members(random, KEYS.filter((key) => !key.includes('.')), 1), ...members(random, NAMES, 3) };
}

/*
 * Returns a generated template: texts, line ends and tags, with changing delimiters.
 */
function generated(random) {
    const pieces = ['text', ' ', '  ', '\t', '\n', '\n', '\r\n', '\n\n', '"', '\\', '{', '}', '<', '%', '\u00e9', '\u00a0\n'];
    const names = [...NAMES, '.', 'deep.a', 'deep.list', 'list.length', 'a.b.c', 'list.0', 'missing', 'missing.a', '# a', 'if a', '', '@a', 'auto.X'];
    let [open, close] = DELIMITERS[0];
    const name = () => names[random(names.length)];
    const body = (depth) => {
        let text = '';
        for (let left = random(8); left >= 0; left -= 1) {
            switch (random(depth > 0 ? 12 : 8)) {
            case 0: text += `${open}${name()}${close}`; break;
            case 1: text += `${open}& ${name()} ${close}`; break;
            case 2: text += close === '}}' ? `{{{ ${name()} }}}` : `${open}{${name()}}${close}`; break;
            case 3: text += `${open}! a ${random(2) ? '\n' : ''}comment ${close}`; break;
            case 4: text += `${open}> partial ${close}`; break;
            case 5:
                if (random(3) === 0) {
                    const [nextOpen, nextClose] = DELIMITERS[random(DELIMITERS.length)];
                    if (nextOpen === close) {
                        // Implementations differ in the meaning of `|=| |=|`.
                        break;
                    }
                    text += `${open}=${nextOpen} ${nextClose}=${close}`;
                    [open, close] = [nextOpen, nextClose];
                }
                break;
            case 8:
            case 9:
            case 10: {
                const section = name();
                text += `${open}${random(3) ? '#' : '^'} ${section} ${close}`;
                text += (random(3) ? '\n' : '') + body(depth - 1);
                text += `${open}/${section}${close}${random(3) ? '\n' : ''}`;
                break;
            }
            default: text += pieces[random(pieces.length)];
            }
        }
        return text;
    };
    // Retries, because a delimiter in a text could begin a tag that never ends.
    for (;;) {
        [open, close] = DELIMITERS[0];
        const text = `${body(4)}${open}={{ }}=${close}`;
        try {
            const tokens = hogan.scan(text);
            const odd = tokens.some((token) => token.tag === '$' || token.tag === '<');
            hogan.parse(tokens, text);
            if (!odd && isClosed(text)) {
                return text;
            }
        } catch (err) {
            // The sections are not properly nested.
        }
    }
}

/*
 * Returns whether every tag ends, including the last one. For an unclosed tag, Hogan.js prints garbage, and ours reports an
 * error.
 */
function isClosed(text) {
    const mark = '\u0001end\u0001';
    return DELIMITERS.every(([, close]) => {
        const tokens = hogan.scan(text + close + mark);
        const last = tokens[tokens.length - 1];
        return last.tag === '_t' && String(last.text).endsWith(close + mark);
    }) && !/\{\{\{[^}]*\}\}(?!\})/.test(text);
}

function expected(text, context) {
    const compiled = hogan.compile(text);
    // The compiled template is cached with the text that was rendered before an error.
    compiled.buf = '';
    try {
        return compiled.render(context);
    } catch (err) {
        assert.ok(err instanceof TypeError, err);
        return null;
    }
}

function uuid(number) {
    return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

async function listen(configs) {
    const server = http.createServer((req, res) => {
        const config = configs.get(req.url.replace('/configs/', ''));
        res.writeHead(200, { 'content-type': 'application/json', etag: 'x' });
        res.end(JSON.stringify(config));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
}

function run(file) {
    return new Promise((resolve) => {
        const options = { maxBuffer: 64 * 1024 * 1024 };
        execFile(program('imgapi'), ['config-agent', '-s', '-f', file], options, (err, stdout, stderr) => {
            resolve({ stdout, stderr });
        });
    });
}

test('every template renders to the same bytes as with Hogan.js', async () => {
    const shipped = fs.readdirSync(MANIFESTS).map(template);
    const dir = fs.mkdtempSync(path.join(TEMPORARY, 'hogan-'));
    const counts = { rendered: 0, refused: 0 };
    try {
        for (let pass = 0; pass < PASSES; pass += 1) {
            const random = generator(20261128 + pass);
            const templates = [...shipped,
                ...Array.from({ length: GENERATED_TEMPLATES }, () => generated(random))];
            const configs = new Map();
            for (let number = 0; number < INSTANCES; number += 1) {
                const instance = uuid(pass * INSTANCES + number);
                const manifests = templates.map((text, index) => ({
                    uuid: uuid(index),
                    name: `m${index}`,
                    path: path.join(dir, instance, `m${index}`),
                    template: text
                }));
                configs.set(instance, { manifests, metadata: metadata(random) });
            }
            const server = await listen(configs);
            const file = path.join(dir, 'agent.json');
            fs.writeFileSync(file, JSON.stringify({
                logLevel: 'error',
                sapi: { url: `http://127.0.0.1:${server.address().port}` },
                instances: [...configs.keys()],
                stateDir: path.join(dir, 'state'),
                autoMetadata: { ZONENAME: 'zone', X: [1, 2] }
            }));
            const { stdout, stderr } = await run(file);
            server.close();
            for (const [instance, { manifests, metadata: given }] of configs) {
                const context = { ...given, auto: { INSTANCE_UUID: instance, ZONENAME: 'zone', X: [1, 2] } };
                for (const manifest of manifests) {
                    const want = expected(manifest.template, context);
                    const exists = fs.existsSync(manifest.path);
                    const got = exists ? fs.readFileSync(manifest.path, 'utf8') : null;
                    counts[want === null ? 'refused' : 'rendered'] += 1;
                    assert.strictEqual(got, want, JSON.stringify({
                        template: manifest.template, context, log: `${stdout}${stderr}`.slice(0, 2000)
                    }));
                }
            }
        }
    } finally {
        fs.rmSync(dir, { recursive: true });
    }
    assert.ok(counts.rendered > 2000 && counts.refused > 10, JSON.stringify(counts));
});
