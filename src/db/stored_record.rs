// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::manifest::Record;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// Its name in the database: the UUID, for those that can be used.
    pub key: String,
    /// What is stored; or why it is no JSON object.
    pub record: Result<Record, String>,
}
