// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a server requires besides a valid signature.

use std::time::Duration;

use http::HeaderValue;
use http_signature::{Policy, PrivateKey, Refusal, SignedRequest, Signer};

use crate::support::{DATE, Request, key_file, now, public_key};

fn signed(headers: &[(&str, &str)], names: &[&str]) -> Request {
    let mut request = Request::get(headers);
    let signer = Signer::new("luke", PrivateKey::from_pem(&key_file("ed25519")).unwrap()).unwrap();
    let authorization = signer.sign(&request.head(), names).unwrap();
    request.headers.insert("authorization", authorization);
    request
}

#[test]
fn the_date_has_to_be_close_to_the_present() {
    let request = signed(&[("date", DATE)], &["date"]);
    let date = now() - Duration::from_secs(3);
    let policy = Policy { clock_skew: Duration::from_secs(60), ..Policy::default() };
    let read = |now| SignedRequest::read(&request.head(), policy, now).map(|_| ());
    for seconds in [0, 59, 60] {
        assert_eq!(read(date + Duration::from_secs(seconds)), Ok(()));
        assert_eq!(read(date - Duration::from_secs(seconds)), Ok(()));
    }
    assert_eq!(read(date + Duration::from_millis(60_001)), Err(Refusal::Skew));
    assert_eq!(read(date - Duration::from_millis(60_001)), Err(Refusal::Skew));
    assert_eq!(Policy::default().clock_skew, Duration::from_secs(300));
}

#[test]
fn the_date_has_to_be_signed_and_readable() {
    let read = |headers: &[(&str, &str)], names: &[&str]| signed(headers, names).read().map(|_| ());
    assert_eq!(read(&[("date", DATE), ("host", "x")], &["host"]), Err(Refusal::NotSigned("date")));
    assert_eq!(read(&[("date", "yesterday")], &["date"]), Err(Refusal::BadDate));
    assert_eq!(read(&[("host", "x")], &["host"]), Err(Refusal::NotSigned("date")));
    // `x-date` replaces the date where a browser or a library sets `date` itself.
    assert_eq!(read(&[("x-date", DATE)], &["x-date"]), Ok(()));
    assert_eq!(read(&[("date", "old"), ("x-date", DATE)], &["x-date"]), Ok(()));
    assert_eq!(read(&[("date", DATE), ("x-date", DATE)], &["date"]), Err(Refusal::NotSigned("x-date")));
    let mut twice = signed(&[("date", DATE)], &["date"]);
    twice.headers.append("date", HeaderValue::from_static(DATE));
    assert_eq!(twice.read().map(|_| ()), Err(Refusal::BadDate));
}

#[test]
fn without_a_list_of_headers_the_date_is_signed() {
    for name in ["date", "x-date"] {
        let mut request = signed(&[(name, DATE)], &[name]);
        let full = request.headers["authorization"].to_str().unwrap().to_owned();
        let short = full.replace(&format!(",headers=\"{name}\""), "");
        assert_ne!(full, short);
        request.set("authorization", &short);
        assert!(request.is_signed_by(&public_key("ed25519")));
    }
}

#[test]
fn a_strict_server_wants_the_target_signed() {
    let strict = Policy { require_request_target: true, ..Policy::default() };
    let read = |names: &[&str]| {
        let request = signed(&[("date", DATE)], names);
        SignedRequest::read(&request.head(), strict, now()).map(|_| ())
    };
    assert_eq!(read(&["date", "(request-target)"]), Ok(()));
    assert_eq!(read(&["date"]), Err(Refusal::NotSigned("(request-target)")));
    assert_eq!(read(&["date", "request-line"]), Err(Refusal::NotSigned("(request-target)")));
}

#[test]
fn there_has_to_be_one_authorization() {
    assert_eq!(Request::get(&[("date", DATE)]).read().map(|_| ()), Err(Refusal::NotOne));
    let mut twice = signed(&[("date", DATE)], &["date"]);
    let again = twice.headers["authorization"].clone();
    twice.headers.append("authorization", again);
    assert_eq!(twice.read().map(|_| ()), Err(Refusal::NotOne));
}

#[test]
fn a_signed_header_has_to_be_there() {
    let mut request = signed(&[("date", DATE), ("host", "x")], &["date", "host"]);
    assert!(request.is_signed_by(&public_key("ed25519")));
    request.headers.remove("host");
    assert!(matches!(request.read(), Err(Refusal::Missing(_))));
}
