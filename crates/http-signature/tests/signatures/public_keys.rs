// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Public keys.

use http_signature::{KeyError, PublicKey};

use crate::support::key_file;

#[test]
fn lines_may_have_comments_and_spaces_around() {
    for name in ["rsa", "rsa1024", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"] {
        let line = key_file(&format!("{name}.pub"));
        let bare = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        for line in [&line, &bare, &format!("  {bare} two words\r\n")] {
            assert!(PublicKey::from_openssh(line).is_ok(), "{line:?}");
        }
    }
}

#[test]
fn a_dsa_key_is_not_supported() {
    let refused = PublicKey::from_openssh(&key_file("dsa.pub"));
    assert!(matches!(refused, Err(KeyError::Unsupported(_))), "{refused:?}");
}

#[test]
fn a_short_rsa_key_is_refused() {
    let line = key_file("rsa512.pub");
    assert!(matches!(PublicKey::from_openssh(&line), Err(KeyError::RsaBits(512))));
}

#[test]
fn what_is_no_key_is_refused() {
    let line = key_file("ecdsa256.pub");
    let (kind, rest) = line.split_once(' ').unwrap();
    let private = key_file("rsa");
    // With a changed last byte, the point is not on the curve.
    let off_the_curve = line.replace("gZro=", "gZrk=");
    let other_kind = format!("ssh-rsa {rest}");
    for text in ["", "#", "ssh-rsa", "ssh-rsa AAAA", kind, rest, &private, &off_the_curve, &other_kind] {
        assert!(PublicKey::from_openssh(text).is_err(), "{text}");
    }
}
