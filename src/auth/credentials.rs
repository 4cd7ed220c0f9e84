// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_signature::MAX_AUTHORIZATION;

use super::AuthError;
use crate::config::Secret;

/// A name and a password of Basic authentication.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Secret,
}

/// Parses `Authorization: Basic …` (RFC 7617) in UTF-8. The name ends at the first colon. There may be only one such header.
pub(super) fn parse(headers: &HeaderMap) -> Result<Credentials, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AuthError::Form) };
    read(value.as_bytes()).ok_or(AuthError::Form)
}

fn read(value: &[u8]) -> Option<Credentials> {
    if value.len() > MAX_AUTHORIZATION {
        return None;
    }
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_ends_the_name() {
        let header = format!("basic {}", STANDARD.encode("lukë:a:b:"));
        let read = read(header.as_bytes()).unwrap();
        assert_eq!((read.user.as_str(), read.password.expose()), ("lukë", "a:b:"));
        assert!(!format!("{read:?}").contains("a:b:"));
    }

    #[test]
    fn anything_else_is_refused() {
        let encoded = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
        let long = encoded(&[b':'; MAX_AUTHORIZATION]);
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic *",
            "Signature keyId=\"luke\"",
            &encoded(b"luke"),
            &encoded(b"\xff:x"),
            &long,
        ] {
            assert!(read(header.as_bytes()).is_none(), "{header}");
        }
    }
}
