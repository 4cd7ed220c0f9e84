// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::manifest::Record;

/// A record as it is stored, valid or not.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// The record's name in the database: the UUID, for usable records.
    pub key: String,
    /// The stored object, or why it is not a JSON object.
    pub record: Result<Record, String>,
}
