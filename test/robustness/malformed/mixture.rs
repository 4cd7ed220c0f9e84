// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests with several errors, combined at random from a seed.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Case, Images, routes};
use crate::support::randomness;
use crate::support::raw::Exchange;

const PARAMETERS: [&str; 14] = [
    "account",
    "owner",
    "state",
    "public",
    "sort",
    "limit",
    "marker",
    "action",
    "compression",
    "sha1",
    "storage",
    "index",
    "tag.a",
    "channel",
];

const VALUES: [&str; 14] = [
    "",
    "x",
    "-1",
    "1e9",
    "true",
    "null",
    "undefined",
    "%00",
    "%ff",
    "%",
    "a b",
    "[]",
    "*)(uuid=*)",
    "\u{e9}",
];

const HEADERS: [&str; 18] = [
    "Accept-Version: x",
    "Accept-Version: ~2",
    "Accept-Version: \u{ff}",
    "Content-Type: application/json",
    "Content-Type: text/plain; charset=",
    "Content-Type: multipart/form-data; boundary=",
    "Content-Encoding: gzip",
    "Content-Encoding: x",
    "Content-MD5: x",
    "If-Match: x",
    "If-None-Match: *, *",
    "If-Modified-Since: yesterday",
    "Expect: 100-continue",
    "Connection: close, upgrade",
    "Upgrade: h2c",
    "Range: bytes=9-1",
    "X-Request-Id: \u{1b}[31m",
    "Accept: */*;q=x",
];

const BODIES: [&str; 8] = ["", "{", "[]", "{\"owner\":{}}", "name=a&name=b", "--X--", "\0\u{ff}", "null"];

/// Returns `count` cases. Some may be valid by chance, or have no error at all.
pub(super) fn cases(images: &Images, count: usize) -> Vec<Case> {
    let mut random = randomness(2);
    let routes = routes(images);
    // A download or a deletion may succeed although other parts are nonsense, and nothing may be deleted here.
    let routes: Vec<_> = routes.iter().filter(|(method, _)| !["DELETE", "HEAD"].contains(method)).collect();
    (0..count)
        .map(|number| {
            let (method, target) = pick(&mut random, &routes);
            let request = request(&mut random, method, target);
            let exchange = Exchange::of(request);
            let exchange = if random.random_bool(0.1) { exchange.byte_by_byte() } else { exchange };
            Case { name: format!("mixture {number}"), exchange, must_fail: false }
        })
        .collect()
}

fn request(random: &mut StdRng, method: &str, target: &str) -> Vec<u8> {
    let mut target = target.to_owned();
    for _ in 0..random.random_range(0..4) {
        let joint = if target.contains('?') { '&' } else { '?' };
        let (name, value) = (pick(random, &PARAMETERS), pick(random, &VALUES));
        let brackets = if random.random_bool(0.2) { "[]" } else { "" };
        target.push_str(&format!("{joint}{name}{brackets}={value}"));
    }
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n").into_bytes();
    for _ in 0..random.random_range(0..4) {
        bytes.extend_from_slice(format!("{}\r\n", pick(random, &HEADERS)).as_bytes());
    }
    let body = pick(random, &BODIES);
    let length = body.len() + random.random_range(0..3);
    let framing = match random.random_range(0..3) {
        0 => format!("Content-Length: {length}\r\n\r\n{body}"),
        1 => format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        _ => format!("\r\n{body}"),
    };
    bytes.extend_from_slice(framing.as_bytes());
    bytes
}

fn pick<T: Clone>(random: &mut StdRng, choices: &[T]) -> T {
    choices.choose(random).unwrap().clone()
}
