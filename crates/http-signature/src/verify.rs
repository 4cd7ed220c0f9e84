// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::request::REQUEST_TARGET;
use crate::{Authorization, Head, Malformed, MissingHeader, PublicKey};

/// How far a signed date may be from the present, unless a [`Policy`] says otherwise.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// What a server asks of a signature beside being right.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How far the date may be from the present, in either direction.
    pub clock_skew: Duration,
    /// Whether `(request-target)` has to be signed.
    pub require_request_target: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { clock_skew: DEFAULT_CLOCK_SKEW, require_request_target: false }
    }
}

/// Why a request cannot be taken for signed, whatever the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no `Authorization`, or more than one.
    #[error("there must be exactly one authorization header")]
    NotOne,
    /// The `Authorization` cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A signed header is not there.
    #[error(transparent)]
    Missing(#[from] MissingHeader),
    /// What has to be signed is not.
    #[error("{0} is not signed")]
    NotSigned(&'static str),
    /// The date cannot be read.
    #[error("the date cannot be read")]
    BadDate,
    /// The date is too far in the past or in the future.
    #[error("the date is too far from the time of this server")]
    Skew,
}

/// A request that says who signed it, in the right form and at the right time. Whether that is true, the keys decide.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    authorization: Authorization,
    message: Vec<u8>,
}

impl SignedRequest {
    /// Reads the signature of a request and checks what can be checked without keys.
    ///
    /// # Errors
    /// The first thing that is wrong.
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

    /// Whose key it is said to be.
    pub fn key_id(&self) -> &str {
        &self.authorization.key_id
    }

    /// Whether one of these keys made the signature. Takes up to a few milliseconds for each.
    pub fn is_signed_by_one_of<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> bool {
        let Authorization { algorithm, signature, .. } = &self.authorization;
        keys.into_iter().any(|key| key.verify(*algorithm, &self.message, signature))
    }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|earlier| earlier.duration())
}

/// A date as HTTP has it, or as scripts make one: `date -R`, `date -Is`.
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
