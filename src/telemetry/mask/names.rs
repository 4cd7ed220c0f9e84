// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names whose values are secrets.

use super::token::tokens;

/// Headers that hold a secret although their names do not suggest it.
const SECRET_HEADERS: [&str; 1] = ["x-registry-config"];

/// Words that mark a secret anywhere in a name.
const SECRET_WORDS: [&str; 6] = ["sig", "pass", "jwt", "session", "authorization", "apikey"];
/// Endings of words that mark a secret, in the singular and plural. `root_pw` is SmartOS's name of a password.
const SECRET_ENDS: [&str; 7] = ["token", "secret", "signature", "credential", "cookie", "pw", "pwd"];
/// Parts of words that mark a secret.
const SECRET_PARTS: [&str; 4] = ["password", "passwd", "passphrase", "passcode"];

/// Returns whether a header (name in lower case) holds a credential.
pub(in crate::telemetry) fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.contains(&name) || is_secret_name(name)
}

/// Returns whether a header (name in lower case) holds the name of a host, perhaps with a password before it.
pub(in crate::telemetry) fn names_a_host(name: &str) -> bool {
    name.ends_with("host")
}

/// Returns whether a parameter, header or member with this name, percent-encoded or not, holds a credential: a password, token,
/// key or cookie, or the signature of a pre-signed URL (`signature` of Manta, `X-Amz-Signature`, `sig` of Azure).
pub(crate) fn is_secret_name(name: &str) -> bool {
    let mut words = Words::default();
    let mut before = 0_u8;
    for byte in tokens(name).map(|token| token.byte) {
        if !byte.is_ascii_alphanumeric() || before.is_ascii_lowercase() && byte.is_ascii_uppercase() {
            words.end();
        }
        if byte.is_ascii_alphanumeric() {
            words.word.push(byte.to_ascii_lowercase().into());
        }
        before = byte;
    }
    words.end();
    words.has_secret || words.last_is_secret
}

/// The words of a name, split before capital letters and at characters that are not letters or digits.
#[derive(Default)]
struct Words {
    word: String,
    has_secret: bool,
    /// Whether the last word marks a secret in that position only: `accessKey` is a secret, `accessKeyId` is not.
    last_is_secret: bool,
}

impl Words {
    fn end(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = self.word.as_str();
        let singular = word.strip_suffix('s').unwrap_or(word);
        self.has_secret |= SECRET_WORDS.contains(&word)
            || SECRET_ENDS.iter().any(|end| singular.ends_with(end))
            || SECRET_PARTS.iter().any(|part| word.contains(part));
        self.last_is_secret = word.ends_with("key") || word == "auth";
        self.word.clear();
    }
}
