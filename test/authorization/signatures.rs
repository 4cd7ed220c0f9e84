// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests with wrong signatures are rejected.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::support::{Answer, Key, Request, Server};

/// Number of altered requests to send.
const ALTERED: u64 = 1000;
const CONCURRENCY: usize = 8;

/// Returns `text` with one character between `start` and `end` replaced by another letter or digit.
fn alter(text: &str, start: usize, end: usize, random: &mut StdRng) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = text.as_bytes().to_vec();
    let place = random.random_range(start..end);
    let from = bytes[place];
    while bytes[place] == from {
        bytes[place] = letters[random.random_range(0..letters.len())];
    }
    String::from_utf8(bytes).unwrap()
}

/// Alters the value of a parameter of the authorization.
fn alter_parameter(request: &mut Request<'_>, name: &str, random: &mut StdRng) {
    let text = request.headers["authorization"].to_str().unwrap().to_owned();
    let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    let end = start + text[start..].find('"').unwrap();
    let altered = alter(&text, start, end, random);
    request.headers.insert("authorization", HeaderValue::try_from(altered).unwrap());
}

/// Returns a valid request with one byte of the signature, or of a signed part, altered.
fn altered(server: &Server, seed: u64) -> Request<'_> {
    let mut random = StdRng::seed_from_u64(seed);
    let method = if random.random() { Method::POST } else { Method::GET };
    let mut request = server.request(method, "/images?name=abcdefghij&state=all").signed_with(Key::KNOWN);
    match seed % 4 {
        0 | 1 => alter_parameter(&mut request, "signature", &mut random),
        2 => alter_parameter(&mut request, "keyId", &mut random),
        _ => {
            let (start, end) = (request.target.find("abc").unwrap(), request.target.find('&').unwrap());
            request.target = alter(&request.target, start, end, &mut random);
        }
    }
    request
}

#[tokio::test]
async fn a_thousand_altered_signatures_are_a_thousand_times_401() {
    let server = Server::start("public").await;
    server.get("/images?name=abcdefghij&state=all").signed_with(Key::KNOWN).send().await.json();
    let answers = stream::iter((0..ALTERED).map(|seed| altered(&server, seed).send()));
    let answers: Vec<Answer> = answers.buffer_unordered(CONCURRENCY).collect().await;
    assert_eq!(answers.len() as u64, ALTERED);
    answers.iter().for_each(Answer::unauthorized);
    server.stop().await;
}

#[tokio::test]
async fn keys_of_every_kind_are_known() {
    let names = ["rsa", "rsa1024", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"];
    let lines: Vec<String> = names.into_iter().map(|name| Key(name).public()).collect();
    let keys = json!({"user": lines, "dsa": [Key("dsa").public()]});
    let server = Server::start_with("private", &[("authType", json!("signature")), ("authKeys", keys)]).await;
    for name in names {
        let ping = server.get("/ping").signed_with(Key(name)).send().await.json();
        assert_eq!(ping["user"], "user");
        server.get("/ping").signed_by("dsa", Key(name), &["date"]).send().await.unauthorized();
    }
    server.stop().await;
}

#[tokio::test]
async fn wrong_authorizations_are_401_on_every_kind_of_route() {
    let server = Server::start("public").await;
    let good = server.get("/ping").signed_with(Key::KNOWN);
    let value = good.headers["authorization"].to_str().unwrap().to_owned();
    let wrong = [
        "Basic dXNlcjpwYXNzd29yZA==".into(),
        "Bearer x".into(),
        "Signature".into(),
        value.replace("Signature ", "signature "),
        value.replace("ecdsa-sha256", "rsa-sha256"),
        value.replace("ecdsa-sha256", "hmac-sha256"),
        value.replace("ecdsa-sha256", "none"),
        value.replace("\"user\"", "\"constructor\""),
        value.replace("\"user\"", "\"__proto__\""),
        value.replace("\"user\"", "\"../user\""),
        value.replace("\"user\"", "\"\""),
        value.replace("date ", ""),
        value.replace("date ", "x-absent date "),
        value.replace(",", ", "),
        "Signature ".to_owned() + &"a".repeat(20_000),
    ];
    let uuid = server.has_image("active").await;
    for value in wrong {
        for (method, target) in [
            (Method::GET, "/ping".to_owned()),
            (Method::GET, "/images".into()),
            (Method::GET, format!("/images/{uuid}")),
            (Method::GET, format!("/images/{uuid}/file")),
            (Method::DELETE, format!("/images/{uuid}")),
        ] {
            let mut request = server.request(method, &target);
            request.headers = good.headers.clone();
            request.headers.insert("authorization", HeaderValue::try_from(&value).unwrap());
            request.send().await.unauthorized();
        }
    }
    // Two valid authorizations are not one.
    good.clone().header("authorization", &value).send().await.unauthorized();
    good.send().await.json();
    server.stop().await;
}

#[tokio::test]
async fn a_date_has_to_be_of_now() {
    let server = Server::start("private").await;
    let at = |date: SystemTime| {
        let request = server.get("/images").header("date", &httpdate::fmt_http_date(date));
        request.signed_with(Key::KNOWN)
    };
    let now = SystemTime::now();
    at(now - Duration::from_secs(200)).send().await.json();
    at(now + Duration::from_secs(200)).send().await.json();
    at(now - Duration::from_secs(360)).send().await.unauthorized();
    at(now + Duration::from_secs(360)).send().await.unauthorized();
    let invalid = server.get("/images").header("date", "today").signed_with(Key::KNOWN);
    invalid.send().await.unauthorized();
    let date = httpdate::fmt_http_date(now);
    let other = server.get("/images").header("x-date", &date).header("date", "today");
    other.clone().signed_by("user", Key::KNOWN, &["x-date"]).send().await.json();
    other.signed_by("user", Key::KNOWN, &["date"]).send().await.unauthorized();
    server.stop().await;
}

#[tokio::test]
async fn a_strict_server_wants_the_target_signed() {
    let config = [
        ("authType", json!("signature")),
        ("authKeys", json!({"user": [Key::KNOWN.public()]})),
        ("authRequireRequestTarget", json!(true)),
    ];
    let server = Server::start_with("private", &config).await;
    server.get("/images").signed_by("user", Key::KNOWN, &["date"]).send().await.unauthorized();
    let signed = server.get("/images").signed_by("user", Key::KNOWN, &["date", "(request-target)"]);
    signed.clone().send().await.json();
    let mut replayed = signed;
    replayed.target = "/images?state=all".into();
    replayed.send().await.unauthorized();
    server.stop().await;
}

#[tokio::test]
async fn what_is_signed_is_the_target_as_it_was_sent() {
    let server = Server::start("private").await;
    for target in ["//images", "/images?name=%61&version=%2F", "/images?", "/images?a=//b", "///ping"] {
        server.get(target).signed_with(Key::KNOWN).send().await.json();
    }
    server.stop().await;
}
