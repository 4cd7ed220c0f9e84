// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Cloud on a laptop: the services of a Triton datacenter besides IMGAPI in one process, for development and tests.
//!
//! - [`moray`]: the key-value store; FAST in front of SQLite
//! - [`manta`]: the object store; HTTP in front of SQLite and files
//! - [`ufds`]: the account directory; LDAP in front of an LDIF file
//! - [`workflow`]: the Workflow API and its runner; HTTP in front of SQLite, and a JavaScript engine
//! - [`vmapi`], [`cnapi`]: machines and servers; HTTP in front of a few invented ones
//! - [`sapi`]: the deployed services and their metadata; HTTP in front of SQLite
//! - [`datacenter`]: all of these services, and the `imgapi` process that uses them
//!
//! Each server implements the real protocol and is checked with the clients that Triton's services use. None of it is for
//! production.

mod control;
mod net;
mod timestamp;

pub mod cnapi;
pub mod datacenter;
pub mod faults;
pub mod manta;
pub mod moray;
pub mod rest;
pub mod sapi;
pub mod ufds;
pub mod vmapi;
pub mod workflow;

pub use datacenter::{Cloud, Datacenter};
