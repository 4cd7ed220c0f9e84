// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Request lines and headers that HTTP, or this server, does not allow; and bytes that are not HTTP.

use rand::{Rng, RngExt};

use super::{Case, Images, routes};
use crate::support::randomness;
use crate::support::raw::Exchange;

/// Wrong lines instead of `METHOD TARGET HTTP/1.1`.
const LINES: [&str; 11] = [
    "{method} {target}",
    "{method} {target} HTTP/9.9",
    "{method} {target} HTTP/2.0",
    "{method} {target} http/1.1",
    "{method} {target} HTTP/1.1 x",
    "{method}{target} HTTP/1.1",
    "{method} /a b{target} HTTP/1.1",
    "{method} {target}\0 HTTP/1.1",
    "G(T {target} HTTP/1.1",
    " {method} {target} HTTP/1.1",
    "BREW {target} HTTP/1.1",
];

/// Headers that make any request malformed.
const HEADERS: [&str; 17] = [
    "no colon",
    ": no name",
    "a b: space in the name",
    "name : space before the colon",
    "nul: a\0b",
    "control: a\u{1}b",
    "n\u{e4}me: not ASCII",
    " continued: from nothing",
    "Content-Length: abc",
    "Content-Length: -1",
    "Content-Length: 1 2",
    "Content-Length: 99999999999999999999999",
    "Content-Length: 5\r\nContent-Length: 6",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, gzip",
    "Accept-Version: nonsense",
    "Accept-Version: ~99",
];

/// The first bytes of other protocols.
const OTHER_PROTOCOLS: [&[u8]; 12] = [
    b"GET /ping\r\n",
    b"GET /ping\r\n\r\n",
    b"GET\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello of TLS",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"EHLO example.com\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\0",
    b"\xff\xfe\xfd",
    b"{\"ping\":true}",
    b"HTTP/1.1 200 OK\r\n\r\n",
];

pub(super) fn cases(images: &Images) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, target) in routes(images) {
        for line in LINES {
            let line = line.replace("{method}", method).replace("{target}", &target);
            cases.push(case(method, &line, format!("{line}\r\nHost: x\r\n\r\n")));
        }
        for header in HEADERS {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
            cases.push(case(method, header, request));
        }
        cases.extend(large(method, &target));
        cases.push(case(method, "cut in the head", format!("{method} {target} HTTP/1.1\r\nHost: x\r\nA")));
        cases.push(case(method, "cut in the line", format!("{method} {target} HT")));
    }
    cases.extend(wrong_methods(images));
    cases.extend(OTHER_PROTOCOLS.map(|bytes| Case::new("another protocol", Exchange::of(bytes))));
    cases.push(Case::new("many NULs", Exchange::of(vec![0; 100_000])));
    let mut random = randomness(1);
    for _ in 0..30 {
        let mut bytes = vec![0; random.random_range(1..3000)];
        random.fill_bytes(&mut bytes);
        cases.push(Case::new("random bytes", Exchange::of(bytes)));
    }
    cases
}

fn case(method: &str, what: &str, request: impl Into<Vec<u8>>) -> Case {
    let mut case = Case::new(what, Exchange::of(request));
    case.exchange.head = method == "HEAD";
    case
}

fn large(method: &str, target: &str) -> Vec<Case> {
    let start = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n");
    let many = "a: b\r\n".repeat(200);
    let x = "x".repeat(80_000);
    vec![
        case(method, "a large header", format!("{start}large: {x}\r\n\r\n")),
        case(method, "a large name", format!("{start}{x}: large\r\n\r\n")),
        case(method, "many headers", format!("{start}{many}\r\n")),
        case(method, "a large target", format!("{method} {target}?{x} HTTP/1.1\r\nHost: x\r\n\r\n")),
        case(method, "a head without an end", format!("{start}{}", "large: header\r\n".repeat(10_000))),
    ]
}

/// Requests with a method that no route, or only another route, has.
fn wrong_methods(images: &Images) -> Vec<Case> {
    let open = &images.open;
    let targets =
        ["/ping", "/images", &format!("/images/{open}"), &format!("/images/{open}/file"), "/x", "/"];
    let mut cases = Vec::new();
    for method in ["PATCH", "TRACE", "OPTIONS", "PROPFIND", "get", "X"] {
        for target in targets {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            cases.push(Case::new(method, Exchange::of(request).kept_open()));
        }
    }
    for line in ["CONNECT imgapi:80", "GET *", "DELETE /images", "PUT /images", "POST /ping"] {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
        cases.push(Case::new(line, Exchange::of(request)));
    }
    cases
}
