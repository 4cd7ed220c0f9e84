// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sends every cell of `table.txt` as a request.

use futures_util::{StreamExt, stream};

use crate::support::{Answer, EMPEROR, Key, LUKE, Request, Server, VADER};
use crate::table::{Row, rows};

/// Minimum number of cells to check.
const LEAST_CELLS: usize = 450;
/// A page of the documentation.
const PAGE: &str = "index.html";
/// Number of concurrent requests.
const CONCURRENCY: usize = 4;

/// The callers in the order of the table: name, key, account.
pub(crate) const CALLERS: [(&str, Option<Key>, Option<&str>); 6] = [
    ("anonymous", None, None),
    ("unknown", Some(Key::UNKNOWN), None),
    ("stranger", Some(Key::KNOWN), Some(LUKE)),
    ("shared", Some(Key::KNOWN), Some(EMPEROR)),
    ("owner", Some(Key::KNOWN), Some(VADER)),
    ("operator", Some(Key::KNOWN), None),
];

/// Builds the request of a cell. Each has an image of its own, so that no cell affects another one.
async fn request<'a>(server: &'a Server, row: &Row, caller: usize) -> Request<'a> {
    let (_, key, account) = CALLERS[caller];
    let uuid = match row.image {
        "-" => String::new(),
        "new" | "gone" => uuid::Uuid::new_v4().to_string(),
        kind => server.has_image(kind).await,
    };
    let mut target = row.target.replace("{uuid}", &uuid).replace("{dataset}", "a").replace("{*page}", PAGE);
    if let Some(account) = account {
        target = format!("{target}{}account={account}", if target.contains('?') { '&' } else { '?' });
    }
    let body = row.body.replace("{uuid}", &uuid).replace("{owner}", account.unwrap_or(VADER));
    let body = body.replace("{public}", if server.is_public() { "true" } else { "false" });
    let request = server.request(row.method.clone(), &target).body(body);
    match key {
        Some(key) => request.signed_with(key),
        None => request,
    }
}

/// Returns whether the answer is the one in the table.
fn is_as_expected(answer: &Answer, row: &Row, fate: u8) -> bool {
    let code = answer.code();
    let is = |status, name| answer.status == status && code.as_deref().is_none_or(|code| code == name);
    let denied = is(401, "UnauthorizedError")
        || is(403, "OperatorOnly")
        || is(404, "ResourceNotFound")
        || code.as_deref() == Some("NotImageOwner");
    match fate {
        b'+' => answer.status == row.answer && (row.answer == 404 || !denied),
        b'A' => is(401, "UnauthorizedError"),
        b'-' => is(404, "ResourceNotFound"),
        b'X' => is(403, "OperatorOnly"),
        b'O' => answer.status == 422 && code.as_deref() == Some("NotImageOwner"),
        b'*' => answer.status < 500 && !denied,
        other => panic!("{} is nothing that can happen", other as char),
    }
}

async fn check(server: &Server, row: &Row, caller: usize, fate: u8) -> Option<String> {
    let answer = request(server, row, caller).await.send().await;
    let name = CALLERS[caller].0;
    (!is_as_expected(&answer, row, fate))
        .then(|| format!("{} by {name}, expected {}: {answer:?}", answer.what, fate as char))
}

async fn check_mode(mode: &'static str, index: usize) {
    let server = Server::start(mode).await;
    let rows = rows();
    let cells = rows.iter().flat_map(|row| row.fates[index].bytes().enumerate().map(move |cell| (row, cell)));
    let cells: Vec<_> = cells.collect();
    assert!(cells.len() * 3 >= LEAST_CELLS, "{} cells in each mode", cells.len());
    let checks = cells.into_iter().map(|(row, (caller, fate))| check(&server, row, caller, fate));
    let wrong: Vec<String> =
        stream::iter(checks).buffer_unordered(CONCURRENCY).filter_map(async |it| it).collect().await;
    assert!(wrong.is_empty(), "{} cells in mode {mode} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    server.stop().await;
}

#[tokio::test]
async fn the_table_holds_in_a_datacenter() {
    check_mode("dc", 0).await;
}

#[tokio::test]
async fn the_table_holds_on_a_public_server() {
    check_mode("public", 1).await;
}

#[tokio::test]
async fn the_table_holds_on_a_private_server() {
    check_mode("private", 2).await;
}
