// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::request::REQUEST_TARGET;
use crate::{Authorization, Head, Malformed, MissingHeader, PublicKey};

/// Default maximum difference between a signed date and the current time.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// What a server requires of a signed request, besides a valid signature.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Maximum difference between the signed date and the current time, in either direction.
    pub clock_skew: Duration,
    /// Whether `(request-target)` must be signed.
    pub require_request_target: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { clock_skew: DEFAULT_CLOCK_SKEW, require_request_target: false }
    }
}

/// Why a request is rejected before any key is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no `Authorization` header, or more than one.
    #[error("there must be exactly one authorization header")]
    NotOne,
    /// The `Authorization` header is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A signed header is missing from the request.
    #[error(transparent)]
    Missing(#[from] MissingHeader),
    /// A header that must be signed is not.
    #[error("{0} is not signed")]
    NotSigned(&'static str),
    /// The date cannot be parsed.
    #[error("the date cannot be read")]
    BadDate,
    /// The date is too far in the past or in the future.
    #[error("the date is too far from the time of this server")]
    Skew,
}

/// A request with a well-formed, timely signature. Whether the signature is valid is checked with the keys.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    authorization: Authorization,
    message: Vec<u8>,
}

impl SignedRequest {
    /// Reads the signature of a request and checks everything that needs no key.
    ///
    /// # Errors
    /// [`Refusal`] with the first problem found.
    pub fn read(head: &Head<'_>, policy: Policy, now: SystemTime) -> Result<SignedRequest, Refusal> {
        let mut values = head.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::NotOne) };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Malformed("it is not UTF-8"))?;
        let authorization: Authorization = text.parse()?;

        let date_header = if head.headers.contains_key("x-date") { "x-date" } else { "date" };
        let default = [date_header.to_owned()];
        let signed: &[String] = match authorization.headers.as_slice() {
            [] => &default,
            names => names,
        };
        let message = head.signing_string(signed)?;
        let must_sign = |name: &'static str| {
            if signed.iter().any(|signed| signed == name) { Ok(()) } else { Err(Refusal::NotSigned(name)) }
        };
        must_sign(date_header)?;
        if policy.require_request_target {
            must_sign(REQUEST_TARGET)?;
        }
        let date = head.value(date_header).and_then(|value| parse_date(&value)).ok_or(Refusal::BadDate)?;
        if distance(date, now) > policy.clock_skew {
            return Err(Refusal::Skew);
        }
        Ok(SignedRequest { authorization, message })
    }

    /// Returns the name of the key that the request claims to be signed with.
    pub fn key_id(&self) -> &str {
        &self.authorization.key_id
    }

    /// Returns whether one of these keys made the signature. Takes up to a few milliseconds for each key.
    pub fn is_signed_by_one_of<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> bool {
        let Authorization { algorithm, signature, .. } = &self.authorization;
        keys.into_iter().any(|key| key.verify(*algorithm, &self.message, signature))
    }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|earlier| earlier.duration())
}

/// Parses a date in HTTP's format, or in a format that scripts produce with `date -R` or `date -Is`.
fn parse_date(value: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?;
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date);
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    date.ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_spellings_of_clients() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_645);
        for text in [
            "Tue, 02 Jan 2024 03:04:05 GMT",
            "Tue, 02 Jan 2024 05:04:05 +0200",
            "2024-01-02T03:04:05Z",
            "2024-01-02T04:04:05+01:00",
        ] {
            assert_eq!(parse_date(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "now", "1704164645", "Tue, 02 Jan 2024 03:04:05 GMT, x"] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
    }
}
