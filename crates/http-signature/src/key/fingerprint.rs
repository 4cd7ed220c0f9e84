// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::Public;

/// Returns the MD5 of the public key in SSH wire format (RFC 4253, section 6.6; RFC 5656; RFC 8709), as pairs of hexadecimal
/// digits with colons between.
pub(super) fn md5(key: &Public) -> String {
    let pairs: Vec<String> = Md5::digest(blob(key)).iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Returns the SHA-256 of the public key in SSH wire format, in base64 without padding.
pub(super) fn sha256(key: &Public) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(blob(key)))
}

/// Returns the public key as a line of `~/.ssh/*.pub`.
pub(super) fn line(key: &Public, comment: &str) -> String {
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = format!("{} {} {comment}", kind(key), STANDARD.encode(blob(key)));
    line.trim_end().to_owned()
}

fn kind(key: &Public) -> String {
    match key {
        Public::Rsa(_) => "ssh-rsa".to_owned(),
        Public::Ed25519(_) => "ssh-ed25519".to_owned(),
        Public::Ecdsa(key) => format!("ecdsa-sha2-{}", key.curve()),
    }
}

fn blob(key: &Public) -> Vec<u8> {
    let kind = kind(key);
    match key {
        Public::Rsa(key) => strings(&[kind.as_bytes(), &signed(&key.e), &signed(&key.n)]),
        Public::Ed25519(key) => strings(&[kind.as_bytes(), key]),
        Public::Ecdsa(key) => strings(&[kind.as_bytes(), key.curve().as_str().as_bytes(), &key.point()]),
    }
}

/// Encodes a number for SSH, which writes numbers with a sign: a leading zero byte keeps the first bit clear.
fn signed(number: &[u8]) -> Vec<u8> {
    let is_high = number.first().is_some_and(|first| first & 0x80 != 0);
    if is_high { [&[0], number].concat() } else { number.to_vec() }
}

/// Encodes each part with its length before it. Parts of a key are far shorter than four gigabytes.
fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
