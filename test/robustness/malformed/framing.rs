// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bodies with broken framing, and requests that arrive in very small pieces.

use super::{Case, Images};
use crate::support::raw::Exchange;

/// Broken bodies of `Transfer-Encoding: chunked`.
const CHUNKS: [&str; 16] = [
    "",
    "5",
    "5\r\nab",
    "5\r\nabcde",
    "5\r\nabcde\r\n",
    "5\r\nabcdefgh\r\n0\r\n\r\n",
    "zz\r\nab\r\n0\r\n\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "\r\n\r\n",
    "0x5\r\nabcde\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\nabc",
    "7fffffffffffffff\r\nabc",
    "5\nabcde\n0\n\n",
    "5\r\nabcde\r\n0\r\nno colon\r\n\r\n",
    "5\r\nabcde\r\n0\r\n",
    "\0\r\nabcde\r\n0\r\n\r\n",
];

pub(super) fn cases(images: &Images) -> Vec<Case> {
    let open = &images.open;
    let mut cases = Vec::new();
    let targets = [
        "POST /images".to_owned(),
        format!("POST /images/{open}?action=activate"),
        format!("PUT /images/{open}/file?compression=none&sha1=0"),
    ];
    for target in &targets {
        let start = format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
        for body in CHUNKS {
            let request = format!("{start}Transfer-Encoding: chunked\r\n\r\n{body}");
            cases.push(Case::new("broken chunks", Exchange::of(request)));
        }
        for (length, body) in [(10, ""), (10, "abc"), (1_u64 << 40, "abc"), (0, ""), (1, "{")] {
            let request = format!("{start}Content-Length: {length}\r\n\r\n{body}");
            cases.push(Case::new(format!("{length} bytes announced"), Exchange::of(request)));
        }
        let old =
            format!("{start}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n\r\n").replace("/1.1", "/1.0");
        cases.push(Case::new("chunks in HTTP/1.0", Exchange::of(old)));
        let chunks: String = "[1, 2".chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
        let request = format!("{start}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        cases.push(Case::new("chunks of one byte", Exchange::of(request.clone())));
        cases.push(Case::new(
            "pieces and chunks of one byte",
            Exchange::of(request).byte_by_byte().kept_open(),
        ));
    }
    for bytes in
        ["GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\0", "POST /images HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        cases.push(Case::new("pieces of one byte", Exchange::of(bytes).byte_by_byte()));
    }
    cases
}
