// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names and passwords.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use crate::support::{Request, Server};

fn hash_password(input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn hash_of(password: &str) -> String {
    let output = hash_password(password);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

async fn start(mode: &'static str) -> Server {
    let userdb = json!([
        {"name": "user", "password": hash_of("s3cret:with:colons\n")},
        {"name": "constructor", "password": hash_of("pässword")},
    ]);
    Server::start_with(mode, &[("authType", json!("basic")), ("userdb", userdb)]).await
}

fn with_password<'a>(request: Request<'a>, user: &str, password: &str) -> Request<'a> {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    request.header("authorization", &format!("Basic {credentials}"))
}

#[test]
fn a_password_has_an_end() {
    let output = hash_password(&"x".repeat(10_000));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most 4096 bytes"), "{output:?}");
}

#[tokio::test]
async fn users_have_passwords() {
    let server = start("private").await;
    let ping = async |user: &str, password: &str| {
        let answer = with_password(server.get("/ping"), user, password).send().await;
        if answer.status == 200 {
            return Some(answer.json()["user"].as_str().unwrap().to_owned());
        }
        answer.unauthorized();
        assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"imgapi\", charset=\"UTF-8\"");
        None
    };
    // The second time, the server remembers the password.
    for _ in 0..2 {
        assert_eq!(ping("user", "s3cret:with:colons").await.as_deref(), Some("user"));
        assert_eq!(ping("constructor", "pässword").await.as_deref(), Some("constructor"));
        for (user, password) in
            [("user", ""), ("user", "s3cret"), ("user", "pässword"), ("toString", "pässword"), ("", "")]
        {
            assert_eq!(ping(user, password).await, None, "{user}:{password}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn changes_want_a_password_and_reads_do_not() {
    let server = start("public").await;
    let manifest = json!({"name": "a", "version": "1", "type": "zone-dataset", "os": "smartos", "public": true,
        "owner": crate::support::VADER});
    let create = || server.request(Method::POST, "/images").body(manifest.to_string());
    let answer = create().send().await;
    answer.unauthorized();
    assert!(answer.headers.contains_key("www-authenticate"));
    let uuid = with_password(create(), "user", "s3cret:with:colons").send().await.json()["uuid"].clone();
    let draft = format!("/images/{}", uuid.as_str().unwrap());
    server.get("/images").send().await.json();
    assert_eq!(server.get(&draft).send().await.status, 404);
    with_password(server.get(&draft), "user", "s3cret:with:colons").send().await.json();
    with_password(server.get(&draft), "user", "wrong").send().await.unauthorized();
    server.get("/images").header("authorization", "Signature keyId=\"user\"").send().await.unauthorized();
    server.stop().await;
}

/// Hashing all passwords would take far longer than hashing the few that are let through at a time.
#[tokio::test]
async fn a_crowd_with_wrong_passwords_does_not_keep_a_user_waiting() {
    let server = start("private").await;
    let crowd = (0..300).map(async |number| {
        let answer = with_password(server.get("/ping"), "user", &format!("wrong{number}")).send().await;
        if answer.status == 503 {
            assert_eq!(answer.headers["retry-after"], "1");
        }
        answer.status
    });
    let user = async { with_password(server.get("/ping"), "user", "s3cret:with:colons").send().await.status };
    let (crowd, _) = tokio::join!(futures_util::future::join_all(crowd), user);
    assert!(crowd.iter().all(|status| [401, 503].contains(status)), "{crowd:?}");
    assert!(crowd.contains(&401) && crowd.contains(&503), "{crowd:?}");
    // A password that was right once is remembered, regardless of other callers.
    with_password(server.get("/ping"), "user", "s3cret:with:colons").send().await.json();
    let again = (0..100).map(async |number| {
        with_password(server.get("/ping"), "user", &format!("wronger{number}")).send().await.status
    });
    let user = async {
        for _ in 0..20 {
            with_password(server.get("/ping"), "user", "s3cret:with:colons").send().await.json();
        }
    };
    tokio::join!(futures_util::future::join_all(again), user);
    server.stop().await;
}

#[test]
fn a_password_is_hashed_with_a_salt_of_its_own() {
    let (one, two) = (hash_of("s3cret\n"), hash_of("s3cret"));
    assert!(one.starts_with("$argon2id$"), "{one}");
    assert_ne!(one, two);
    let empty = hash_password("\n");
    assert_eq!((empty.status.code(), empty.stdout), (Some(1), Vec::new()));
}
