// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Moray: FAST over TCP in front of SQLite.
//!
//! It follows Moray 2.6, with these differences. `ip`, `mac`, `subnet` and range indexes, bucket triggers, `listen` and
//! `sql_only` do not exist. `sql` only reads, in SQLite's dialect. Array columns keep their elements exactly. A sort must name a
//! column, or it is rejected.

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
