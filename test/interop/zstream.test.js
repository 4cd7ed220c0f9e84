/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

'use strict';

/*
 * imgapi inspect beside OpenZFS' own program, on real streams.
 */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { program } = require('./lib/coal');

const ROOT = path.resolve(__dirname, '..', '..');
const STREAMS = path.join(ROOT, 'crates', 'zfs-stream', 'tests', 'data');
const ZSTREAM = path.join(ROOT, '.tools', 'zfs', 'zstream');
const DEADLINE_MS = 60 * 1000;

const names = fs.readdirSync(STREAMS).filter((name) => name.endsWith('.zsend.bz2'));

/** Returns all values of a line such as "\ttoguid = 83307b4241f2026a" as decimals. */
function guids(dump, field) {
    const lines = [...dump.matchAll(new RegExp(`^\\t${field} = ([0-9a-f]+)$`, 'gm'))];
    return lines.map(([, value]) => BigInt(`0x${value}`).toString());
}

test('there are streams to compare', () => {
    assert.ok(names.length >= 5, names.join());
});

for (const name of names) {
    test(`inspect and zstream agree on ${name}`, () => {
        const packed = path.join(STREAMS, name);
        const stream = execFileSync('bzip2', ['-dc', packed], { maxBuffer: 64 << 20 });
        // zstream compares no sums of the other byte order.
        const options = name.startsWith('big-endian') ? ['-C'] : [];
        const dump = execFileSync(ZSTREAM, ['dump', ...options],
            { input: stream, encoding: 'latin1', timeout: DEADLINE_MS });
        const report = JSON.parse(execFileSync(program('imgapi'), ['inspect', '-j', packed],
            { encoding: 'utf8', timeout: DEADLINE_MS }));
        assert.strictEqual(report.stream.sums_right, true);

        const counts = [...dump.matchAll(/^\tTotal DRR_(\w+) records = (\d+) /gm)];
        assert.ok(counts.length >= 9, dump);
        for (const [, kind, count] of counts) {
            assert.strictEqual(report.stream.records[kind] || 0, Number(count), kind);
        }
        const total = (what) => Number(dump.match(new RegExp(`^\\tTotal ${what} = (\\d+)`, 'm'))[1]);
        assert.strictEqual(total('stream length'), report.stream.size);
        assert.strictEqual(total('records'), Object.values(report.stream.records).reduce((sum, count) => sum + count, 0));

        // The first BEGIN of a compound stream says nothing.
        const first = report.stream.compound ? 1 : 0;
        const { parts } = report.stream;
        assert.deepStrictEqual(parts.map((part) => part.guid), guids(dump, 'toguid').slice(first));
        assert.deepStrictEqual(parts.map((part) => part.from_guid || '0'), guids(dump, 'fromguid').slice(first));
    });
}
