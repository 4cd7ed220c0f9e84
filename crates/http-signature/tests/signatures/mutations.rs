// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request with one changed byte is no longer correctly signed.

use proptest::prelude::*;

use crate::support::{Request, public_key};
use crate::vectors::vectors;

/// Returns a vector that signs its target, and the name of its key.
fn vector(index: usize) -> (String, Request) {
    let all: Vec<_> = vectors()
        .into_iter()
        .filter(|(_, request)| {
            request.headers["authorization"].to_str().unwrap().contains("(request-target)")
        })
        .collect();
    all[index % all.len()].clone()
}

/// Returns `text` with another printable character at `place`; `None` if the character would be the same.
fn altered(text: &str, place: usize, to: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let place = place % bytes.len();
    let to = b'!' + to % (b'~' - b'!');
    let from = std::mem::replace(&mut bytes[place], to);
    (from != to).then(|| String::from_utf8(bytes).unwrap())
}

/// Returns the request with one changed character in the value of a parameter of its authorization.
fn with_altered_parameter(request: &Request, name: &str, place: usize, to: u8) -> Option<Request> {
    let text = request.headers["authorization"].to_str().unwrap().to_owned();
    let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    let end = start + text[start..].find('"').unwrap();
    let value = altered(&text[start..end], place, to)?;
    let mut changed = request.clone();
    changed.set("authorization", &format!("{}{value}{}", &text[..start], &text[end..]));
    Some(changed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_altered_signature_is_wrong(index in 0..1000_usize, place in 0..10_000_usize, to: u8) {
        let (key, request) = vector(index);
        if let Some(changed) = with_altered_parameter(&request, "signature", place, to) {
            prop_assert!(!changed.is_signed_by(&public_key(&key)), "{changed:?}");
        }
    }

    #[test]
    fn an_altered_target_or_method_is_not_what_was_signed(index in 0..1000_usize, place in 0..1000_usize, to: u8) {
        let (key, request) = vector(index);
        let whole = format!("{}{}", request.method, request.target);
        if let Some(changed) = altered(&whole, place, to) {
            let (method, target) = changed.split_at(request.method.len());
            // The method is signed in lower case.
            if !method.eq_ignore_ascii_case(&request.method) || target != request.target {
                let changed = Request { method: method.into(), target: target.into(), ..request };
                prop_assert!(!changed.is_signed_by(&public_key(&key)), "{changed:?}");
            }
        }
    }

    #[test]
    fn an_altered_header_is_not_what_was_signed(index in 0..1000_usize, place in 0..1000_usize, to: u8) {
        let (key, request) = vector(index);
        for name in ["date", "host", "x-request-id"] {
            let value = altered(request.headers[name].to_str().unwrap(), place, to);
            if let Some(value) = value {
                let mut changed = request.clone();
                changed.set(name, &value);
                prop_assert!(!changed.is_signed_by(&public_key(&key)), "{changed:?}");
            }
        }
    }

    #[test]
    fn an_altered_list_of_headers_is_not_what_was_signed(index in 0..1000_usize, place in 0..1000_usize, to: u8) {
        let (key, request) = vector(index);
        let Some(changed) = with_altered_parameter(&request, "headers", place, to) else { return Ok(()) };
        let lower = |request: &Request| request.headers["authorization"].to_str().unwrap().to_ascii_lowercase();
        // Header names are case-insensitive.
        if lower(&changed) != lower(&request) {
            prop_assert!(!changed.is_signed_by(&public_key(&key)), "{changed:?}");
        }
    }

    #[test]
    fn an_altered_key_id_is_somebody_else(index in 0..1000_usize, place in 0..1000_usize, to: u8) {
        let (_, request) = vector(index);
        if let Some(changed) = with_altered_parameter(&request, "keyId", place, to) {
            prop_assert!(changed.read().is_ok_and(|signed| signed.key_id() != "luke") || changed.read().is_err());
        }
    }

    #[test]
    fn nothing_in_the_header_makes_it_panic(text in "(Signature )?[ -~]{0,200}") {
        let request = Request::get(&[("authorization", text.trim()), ("date", crate::support::DATE)]);
        prop_assert!(!request.is_signed_by(&public_key("ed25519")));
    }
}
