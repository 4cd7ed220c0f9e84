// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Signatures and keys made by OpenSSL: see `tests/data/make-signatures.sh`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_signature::{Algorithm, Family, Hash, PrivateKey};

use crate::support::{key_file, public_key};

/// Returns every signature of the word "message": key, algorithm, signature.
fn signatures() -> Vec<(&'static str, Algorithm, Vec<u8>)> {
    let lines = include_str!("../data/signatures.txt").lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        // No client uses this name, so the crate does not parse it.
        let algorithm = match words[1] {
            "rsa-sha384" => Algorithm { family: Family::Rsa, hash: Hash::Sha384 },
            name => name.parse().unwrap(),
        };
        (words[0], algorithm, STANDARD.decode(words[2]).unwrap())
    });
    let all: Vec<_> = lines.collect();
    assert_eq!(all.len(), 6 * 4 + 3 * 3 + 1);
    all
}

#[test]
fn signatures_of_every_size_and_hash_are_right() {
    for (name, algorithm, signature) in signatures() {
        let key = public_key(name);
        assert!(key.verify(algorithm, b"message", &signature), "{name} {algorithm:?}");
        assert!(!key.verify(algorithm, b"massage", &signature), "{name} {algorithm:?}");
        for place in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            assert!(!key.verify(algorithm, b"message", &changed), "{name} {algorithm:?} {place}");
        }
        let longer = [&signature[..], &[0]].concat();
        for other in [&signature[1..], &longer, &[0; 1125], &[0xff; 1125], &[]] {
            assert!(!key.verify(algorithm, b"message", other), "{name} {algorithm:?}");
        }
        let other_hash = if algorithm.hash == Hash::Sha256 { Hash::Sha512 } else { Hash::Sha256 };
        let other = Algorithm { hash: other_hash, ..algorithm };
        // Ed25519 hashes by itself, so the hash of the algorithm does not matter.
        assert_eq!(key.verify(other, b"message", &signature), algorithm.family == Family::Ed25519, "{name}");
    }
}

/// RSA and Ed25519 signatures are deterministic.
#[test]
fn keys_of_every_size_sign_as_openssl_does() {
    let mut compared = 0;
    for (name, algorithm, theirs) in signatures() {
        let key = PrivateKey::from_pem(&key_file(name)).unwrap();
        if key.algorithm() != algorithm {
            continue;
        }
        let ours = key.sign(b"message").unwrap();
        if algorithm.family == Family::Ecdsa {
            assert!(public_key(name).verify(algorithm, b"message", &ours), "{name}");
        } else {
            assert!(ours == theirs, "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 10);
}

#[test]
fn every_form_of_a_key_is_the_same_key() {
    for (name, forms) in [
        ("rsa", &["rsa-openssh", "rsa-pkcs8"][..]),
        ("ecdsa256", &["ecdsa256-sec1", "ecdsa256-pkcs8", "ecdsa256-parameters"]),
        ("ecdsa384", &["ecdsa384-sec1", "ecdsa384-pkcs8"]),
        ("ecdsa521", &["ecdsa521-sec1", "ecdsa521-pkcs8"]),
        ("ed25519", &["ed25519-pkcs8"]),
    ] {
        for form in forms {
            let key = PrivateKey::from_pem(&key_file(form)).unwrap();
            assert_eq!(
                key.public_openssh("luke"),
                PrivateKey::from_pem(&key_file(name)).unwrap().public_openssh("luke")
            );
        }
    }
}

#[test]
fn keys_are_written_in_the_bytes_of_openssl() {
    for (read, written) in [
        ("rsa-openssh", "rsa"),
        ("rsa-pkcs8", "rsa"),
        ("rsa1536", "rsa1536"),
        ("ecdsa256", "ecdsa256-sec1"),
        ("ecdsa384", "ecdsa384-sec1"),
        ("ecdsa521-pkcs8", "ecdsa521-sec1"),
        ("ed25519", "ed25519-pkcs8"),
    ] {
        assert_eq!(
            PrivateKey::from_pem(&key_file(read)).unwrap().to_pem().unwrap(),
            key_file(written),
            "{read}"
        );
    }
}

#[test]
fn numbers_that_do_not_belong_together_make_no_signature() {
    let key = key_file("rsa1536");
    let other = key_file("rsa");
    let mut der =
        STANDARD.decode(key.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    // This byte is inside the private exponent, with which a key of this size signs.
    der[300] ^= 1;
    let text = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n",
        STANDARD.encode(&der)
    );
    assert!(PrivateKey::from_pem(&text).unwrap().sign(b"message").is_err());
    assert!(PrivateKey::from_pem(&other).unwrap().sign(b"message").is_ok());
}
