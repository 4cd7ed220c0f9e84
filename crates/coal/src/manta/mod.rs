// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manta, the object store: HTTP in front of SQLite and files.
//!
//! It follows Manta 2, over plain HTTP. Requests are authenticated as there: by an HTTP signature over the date, with a key from
//! the account directory. Differences: of an account's areas only `public` and `stor` exist. There are no multipart uploads,
//! pre-signed URLs, tokens, CORS or role tags. A sub-user with any role may do what its account may. An object is stored once,
//! whatever `durability-level` says. The number of entries of a directory is not limited.

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
