// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The UUID of an image, an account or a VM.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A UUID in its one accepted spelling: 36 characters, lower-case hex, hyphens at 8-4-4-4-12.
///
/// Version and variant bits are not checked: the UUIDs of Docker and LXD images are cut from a digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(uuid::Uuid);

/// A string that is not a UUID in lower-case canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in lower-case canonical form")]
pub struct InvalidUuid;

impl Uuid {
    /// The length of the canonical form in characters.
    const TEXT_LEN: usize = 36;

    /// The all-zero UUID: the owner of images that nobody owns.
    pub const NIL: Uuid = Uuid(uuid::Uuid::nil());

    /// The largest UUID.
    pub const MAX: Uuid = Uuid(uuid::Uuid::max());

    /// Returns a random UUID.
    pub fn new_v4() -> Self {
        // `rand` uses a generator of this thread. The one in `uuid` makes a system call for each UUID, and every
        // request has one.
        Self(uuid::Builder::from_random_bytes(rand::random()).into_uuid())
    }
}

impl Uuid {
    /// Cuts a UUID from the beginning of a digest in hex. `None` if the text is too short, or not lower-case hex.
    pub fn of_digest(digest: &str) -> Option<Uuid> {
        let part = |from: usize, to: usize| digest.get(from..to);
        let [a, b, c, d, e] = [part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?];
        format!("{a}-{b}-{c}-{d}-{e}").parse().ok()
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        // The parser below also accepts braces, URNs, upper case and missing hyphens.
        let canonical = text.len() == Self::TEXT_LEN
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        if !canonical {
            return Err(InvalidUuid);
        }
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidUuid)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_lower_case_form_is_a_uuid() {
        let text = "7a1b1967-6ecf-1e4c-8f09-f49094cc36ad";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(serde_json::to_string(&uuid).unwrap(), format!("\"{text}\""));
        for bad in [
            "7A1B1967-6ECF-1E4C-8F09-F49094CC36AD",
            "7a1b19676ecf1e4c8f09f49094cc36ad",
            "{7a1b1967-6ecf-1e4c-8f09-f49094cc36ad}",
            "urn:uuid:7a1b1967-6ecf-1e4c-8f09-f49094cc36ad",
            "7a1b1967-6ecf-1e4c-8f09-f49094cc36a",
            "7a1b1967-6ecf-1e4c-8f09-f49094cc36ag",
            "7a1b1967-6ecf-1e4c-8f0-9f49094cc36ad",
            "",
        ] {
            assert_eq!(bad.parse::<Uuid>(), Err(InvalidUuid), "{bad}");
        }
    }

    #[test]
    fn order_is_the_order_of_the_texts() {
        let low: Uuid = "0fffffff-0000-0000-0000-000000000000".parse().unwrap();
        let high: Uuid = "a0000000-0000-0000-0000-000000000000".parse().unwrap();
        assert!(low < high);
        assert_ne!(Uuid::new_v4(), Uuid::new_v4());
    }
}
