// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests that npm `http-signature` signed: see `tests/data/make-vectors.js`.

use serde_json::Value;

use crate::support::{Request, public_key};

/// Returns every vector, with the name of its key.
pub(crate) fn vectors() -> Vec<(String, Request)> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../data/vectors.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let read = |vector: &Value| {
        let mut request = Request::get(&[]);
        request.method = text(&vector["method"]);
        request.target = text(&vector["target"]);
        for (name, value) in vector["headers"].as_object().unwrap() {
            request.set(name, value.as_str().unwrap());
        }
        (text(&vector["key"]), request)
    };
    let all: Vec<_> = all.iter().map(read).collect();
    assert!(all.len() >= 30);
    all
}

#[test]
fn signatures_of_the_usual_client_library_are_right() {
    for (key, request) in vectors() {
        let signed = request.read().unwrap_or_else(|error| panic!("{error}: {request:?}"));
        assert_eq!(signed.key_id(), "luke");
        assert!(signed.is_signed_by_one_of([&public_key(&key)]), "{request:?}");
    }
}

#[test]
fn no_other_key_has_made_them() {
    let names = ["rsa", "rsa1024", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"];
    for (key, request) in vectors() {
        let others: Vec<_> = names.into_iter().filter(|name| *name != key).map(public_key).collect();
        let signed = request.read().unwrap();
        assert!(!signed.is_signed_by_one_of(&others), "{request:?}");
        // The right key is found among others, at any position.
        assert!(signed.is_signed_by_one_of(others.iter().chain([&public_key(&key)])));
        assert!(signed.is_signed_by_one_of([&public_key(&key)].into_iter().chain(&others)));
    }
}

#[test]
fn the_key_decides_the_family() {
    let names = ["rsa-sha1", "rsa-sha256", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"];
    for (key, request) in vectors() {
        let right = request.headers["authorization"].to_str().unwrap();
        let (before, rest) = right.split_once("algorithm=\"").unwrap();
        let (algorithm, after) = rest.split_once('"').unwrap();
        for name in names.into_iter().chain(["ed25519-sha512"]).filter(|name| *name != algorithm) {
            let mut changed = request.clone();
            changed.set("authorization", &format!("{before}algorithm=\"{name}\"{after}"));
            assert!(!changed.is_signed_by(&public_key(&key)), "{changed:?}");
        }
    }
}
