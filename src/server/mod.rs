// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The running process: builds an [`App`](crate::images::App) from a [`Config`](crate::config::Config), listens,
//! reloads the configuration, and stops, without breaking requests in progress.

mod base_dir;
mod connection;
mod descriptors;
mod events;
mod generation;
mod http_refusal;
mod limits;
mod listener;
mod metrics;
mod reload_error;
mod sendfile;
mod serve;
mod service;
mod watch;
mod workers;

pub use base_dir::NoBaseDir;
pub use serve::{ServeError, serve};
