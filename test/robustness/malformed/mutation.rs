// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Valid requests with some changed bytes, at random from a seed.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Case, Images};
use crate::support::randomness;
use crate::support::raw::Exchange;

/// Bytes that are significant to a parser.
const TOKENS: [&[u8]; 20] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"%",
    b"?",
    b"&",
    b"=",
    b"[",
    b"{",
    b"\"",
    b"/",
    b"..",
    b"\xff",
    b"\xc3",
    b"99999999999999999999",
];

pub(super) fn cases(images: &Images, count: usize) -> Vec<Case> {
    let mut random = randomness(3);
    let valid = valid(images);
    let mut case = |number: usize| {
        let mut bytes = valid[number % valid.len()].clone();
        for _ in 0..random.random_range(1..3) {
            mutate(&mut random, &mut bytes);
        }
        Case { name: format!("mutation {number}"), exchange: Exchange::of(bytes), must_fail: false }
    };
    (0..count).map(&mut case).collect()
}

/// Returns valid requests.
fn valid(images: &Images) -> Vec<Vec<u8>> {
    let Images { open, active } = images;
    let owner = "930896af-bf8c-48d4-885c-6573a94b1853";
    let manifest = format!(
        r#"{{"name":"n","version":"1","os":"smartos","type":"zone-dataset","owner":"{owner}","tags":{{"a":1}}}}"#
    );
    let json = "Content-Type: application/json";
    let length = manifest.len();
    let requests = [
        "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        format!("GET /images?account={owner}&limit=2&sort=published_at.desc HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!(
            "GET /images/{active} HTTP/1.1\r\nHost: x\r\nAccept-Version: ~2\r\nIf-None-Match: \"x\"\r\n\r\n"
        ),
        format!("GET /images/{open}/file HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST /images HTTP/1.1\r\nHost: x\r\n{json}\r\nContent-Length: {length}\r\n\r\n{manifest}"),
        format!(
            "POST /images HTTP/1.1\r\nHost: x\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{manifest}\r\n0\r\n\r\n"
        ),
        format!(
            "POST /images/{open}?action=update HTTP/1.1\r\nHost: x\r\n{json}\r\nContent-Length: 2\r\n\r\n{{}}"
        ),
        format!(
            "PUT /images/{open}/file?compression=none&sha1=aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d HTTP/1.1\r\n\
             Host: x\r\nContent-Length: 5\r\n\r\nhello"
        ),
        format!(
            "PUT /images/{open}/file?compression=none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ),
    ];
    requests.map(String::into_bytes).into()
}

fn mutate(random: &mut StdRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = bytes.len().min(at + random.random_range(1..20));
    match random.random_range(0..7) {
        0 => bytes[at] = random.random(),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => {
            let copy = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        5 => {
            let token = TOKENS.choose(random).copied().unwrap_or_default();
            drop(bytes.splice(at..end, token.iter().copied()));
        }
        _ => {
            let token = TOKENS.choose(random).copied().unwrap_or_default();
            drop(bytes.splice(at..at, token.iter().copied()));
        }
    }
}
