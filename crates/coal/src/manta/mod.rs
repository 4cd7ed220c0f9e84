// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manta: the object store, HTTP in front of SQLite and files.
//!
//! Follows Manta 2, over plain HTTP. Every request is authenticated as there: an HTTP signature over the
//! date, with a key of the account directory. Differences: of an account's areas only `public` and `stor` exist; no
//! multipart uploads, pre-signed URLs, tokens, CORS or role tags; a sub-user with any role may do what its account may;
//! a copy is one copy, whatever `durability-level` says; a directory has no limit.

mod answer;
mod auth;
mod call;
mod conditions;
mod error;
mod faults;
mod listing;
mod operations;
mod path;
mod range;
mod server;
mod store;

pub use faults::{MantaFault, MantaFaultRule, MantaFaults};
pub use server::{MantaOptions, MantaServer};
