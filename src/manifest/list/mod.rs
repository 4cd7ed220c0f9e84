// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ListImages: which records a query selects, and in which order.
//!
//! A [`ListQuery`] is parsed once from the query string. [`scopes()`] turns it into conjunctions that a database can
//! search for. The answer is their union, ordered by [`SortDirection::order`].

mod matcher;
mod params;
mod position;
mod query;
mod scopes;
mod sort;
#[cfg(test)]
mod tests;

pub use matcher::Matcher;
pub use position::{Position, Span};
pub use query::{Caller, ListQuery, Marker, StateFilter, TextMatch};
pub use scopes::{Condition, Flag, ListField, Scope, TextField, scopes};
pub use sort::SortDirection;
