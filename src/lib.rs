// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! IMGAPI: Triton DataCenter's image registry.
//!
//! The rooms, from top to bottom: calls go down this list, never up. `docs/architecture.md` explains them.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "crate::console writes there, and does not panic"
)]

pub mod adm;
pub mod config_agent;
pub mod inspect;
pub mod manta_setup;

pub mod server;

pub mod api;

pub mod auth;

pub mod images;

pub mod import;
pub mod jobs;

pub mod db;

pub mod storage;

pub mod accounts;

pub mod sapi;

pub mod answers;

pub mod workers;

pub mod config;

pub mod console;

pub mod telemetry;

pub mod contents;

pub mod files;

pub mod platform;

pub mod manifest;
