// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The filter language of `findObjects`: parse, translate to SQL, and match a second time in memory.
//!
//! The dialect is `moray-filter` 1.0's: RFC 4515 with its own escapes. Translation never puts a value into
//! SQL text, and names only if they are indexes of the bucket or internal columns.

mod ast;
mod like;
mod matches;
mod parse;
mod query;

pub(crate) use like::register as register_like;
pub(crate) use matches::Subject;
pub(crate) use query::{Query, unusable_fields};

/// Columns that every bucket has and filters may use.
pub(crate) const INTERNAL_FIELDS: [&str; 5] = ["_id", "_key", "_mtime", "_etag", "_txn_snap"];
