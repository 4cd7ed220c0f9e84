// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The filter language of `findObjects`: it is parsed, translated to SQL, and matched a second time in memory.
//!
//! The dialect is that of `moray-filter` 1.0: RFC 4515 with different escapes. The translation never puts a value into SQL text,
//! and a name only if it is an index of the bucket or an internal column.

mod ast;
mod like;
mod matches;
mod parse;
mod query;

pub(crate) use like::register as register_like;
pub(crate) use matches::Subject;
pub(crate) use query::{Query, unusable_fields};

/// Internal columns, which every bucket has and filters may use.
pub(crate) const INTERNAL_FIELDS: [&str; 5] = ["_id", "_key", "_mtime", "_etag", "_txn_snap"];
