// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads JSON of foreign servers member by member, so that what is not asked for is skipped and not kept in memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `each` with the members of an object, in their order. At most `most` members are accepted.
pub(super) fn each_member<'a>(
    text: &'a str,
    most: usize,
    each: impl FnMut(String, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Members { each, most })?;
    deserializer.end()
}

/// Returns the member of an object; `None` if there is none. Of several the last counts.
pub(super) fn member<'a>(text: &'a str, name: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    let mut found = None;
    each_member(text, usize::MAX, |key, value| {
        if key == name {
            found = Some(value);
        }
    })?;
    Ok(found)
}

/// Returns the text of a string or number; `None` for any other value.
pub(super) fn text(value: &RawValue) -> Option<String> {
    let raw = value.get();
    if raw.starts_with('"') {
        return String::deserialize(&mut serde_json::Deserializer::from_str(raw)).ok();
    }
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| raw.to_owned())
}

struct Members<F> {
    each: F,
    most: usize,
}

impl<'a, F: FnMut(String, &'a RawValue)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some((name, value)) = map.next_entry()? {
            count += 1;
            if count > self.most {
                return Err(A::Error::custom(format!("an object has more than {} members", self.most)));
            }
            (self.each)(name, value);
        }
        Ok(())
    }
}
