// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Moray: FAST over TCP in front of SQLite.
//!
//! Follows Moray 2.6. Differences: `ip`, `mac`, `subnet` and range indexes, bucket triggers, `listen` and
//! `sql_only` do not exist; `sql` only reads, in SQLite's dialect; array columns keep their elements exactly; a sort names a column or is refused.

mod bucket;
mod connection;
mod error;
mod faults;
mod filter;
mod index;
pub(crate) mod js;
mod rpc;
mod server;
mod store;

pub use faults::{Fault, FaultRule, Faults};
pub use server::MorayServer;
pub use store::Location;
