// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Private keys in every format, and their signatures.

use http_signature::{Authorization, Family, KeyError, PrivateKey, PublicKey, SignError, Signer};

use crate::support::{DATE, Request, key_file, public_key};
use crate::vectors::vectors;

#[test]
fn what_is_signed_is_verified() {
    let keys = [
        ("rsa", "rsa", "rsa-sha256"),
        ("rsa-openssh", "rsa", "rsa-sha256"),
        ("rsa-pkcs8", "rsa", "rsa-sha256"),
        ("rsa1024", "rsa1024", "rsa-sha256"),
        ("ecdsa256", "ecdsa256", "ecdsa-sha256"),
        ("ecdsa256-sec1", "ecdsa256", "ecdsa-sha256"),
        ("ecdsa384", "ecdsa384", "ecdsa-sha512"),
        ("ecdsa521", "ecdsa521", "ecdsa-sha512"),
        ("ed25519", "ed25519", "ed25519-sha512"),
    ];
    for (private, public, algorithm) in keys {
        let key = PrivateKey::from_pem(&key_file(private)).unwrap();
        assert_eq!(key.algorithm().to_string(), algorithm);
        let mut request = Request::get(&[("date", DATE), ("host", "x")]);
        let signer = Signer::new("/luke/keys/ab:cd", key).unwrap();
        let authorization = signer.sign(&request.head(), &["(request-target)", "date", "host"]).unwrap();
        request.headers.insert("authorization", authorization);
        assert_eq!(request.read().unwrap().key_id(), "/luke/keys/ab:cd");
        assert!(request.is_signed_by(&public_key(public)), "{private}");
    }
}

/// RSA and Ed25519 signatures are deterministic.
#[test]
fn signatures_are_those_of_the_usual_client_library() {
    let mut compared = 0;
    for (key, theirs) in vectors() {
        let authorization: Authorization = theirs.headers["authorization"].to_str().unwrap().parse().unwrap();
        let private = PrivateKey::from_pem(&key_file(&key)).unwrap();
        if authorization.algorithm.family == Family::Ecdsa || private.algorithm() != authorization.algorithm {
            continue;
        }
        let names: Vec<&str> = authorization.headers.iter().map(String::as_str).collect();
        let ours = Signer::new("luke", private).unwrap().sign(&theirs.head(), &names).unwrap();
        assert_eq!(ours.to_str().unwrap().parse(), Ok(authorization));
        compared += 1;
    }
    assert!(compared >= 9, "{compared}");
}

#[test]
fn a_key_behind_a_passphrase_is_refused_without_asking() {
    for name in ["encrypted-openssh", "encrypted-pem"] {
        let refused = PrivateKey::from_pem(&key_file(name));
        assert!(matches!(refused, Err(KeyError::Encrypted)), "{name}: {refused:?}");
    }
}

#[test]
fn blank_lines_around_a_key_do_not_matter() {
    for name in ["rsa-openssh", "ecdsa256", "ecdsa256-sec1", "rsa-pkcs8"] {
        let key = PrivateKey::from_pem(&format!("\n{}\n\n", key_file(name).trim_end()));
        assert!(key.is_ok(), "{name}: {key:?}");
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let public = key_file("rsa.pub");
    let half = &key_file("rsa-openssh")[..400];
    for text in ["", "x", "-----BEGIN OPENSSH PRIVATE KEY-----\n", &public, half] {
        assert!(PrivateKey::from_pem(text).is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let key = || PrivateKey::from_pem(&key_file("ed25519")).unwrap();
    for name in ["a\"b", "a\nb"] {
        assert!(matches!(Signer::new(name, key()), Err(SignError::KeyId)), "{name}");
    }
    let signer = Signer::new("luke", key()).unwrap();
    let refused = signer.sign(&Request::get(&[]).head(), &["date"]);
    assert!(matches!(refused, Err(SignError::Missing(_))));
}

#[test]
fn a_key_does_not_show_itself() {
    let shown = format!("{:?}", PrivateKey::from_pem(&key_file("rsa")).unwrap());
    assert!(shown.len() < 200, "{shown}");
}

#[test]
fn a_key_is_written_as_it_is_read() {
    for name in ["rsa", "rsa1024", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"] {
        let key = PrivateKey::from_pem(&key_file(name)).unwrap();
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.sha256_fingerprint(), key.sha256_fingerprint());
        let theirs = key_file(&format!("{name}.pub"));
        let comment = theirs.trim().splitn(3, ' ').nth(2).unwrap_or_default();
        assert_eq!(key.public_openssh(comment), theirs.trim());
    }
}

#[test]
fn a_new_key_signs() {
    let key = PrivateKey::generate().unwrap();
    assert_ne!(key.md5_fingerprint(), PrivateKey::generate().unwrap().md5_fingerprint());
    assert!(key.to_pem().unwrap().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    let line = key.public_openssh("two\nlines");
    assert!(line.starts_with("ecdsa-sha2-nistp256 AAAA") && line.ends_with(" two lines"), "{line}");
    let public = PublicKey::from_openssh(&line).unwrap();
    assert!(public.to_pem().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(public.verify(key.algorithm(), b"x", &key.sign(b"x").unwrap()));
    assert!(!public.verify(key.algorithm(), b"y", &key.sign(b"x").unwrap()));
}
