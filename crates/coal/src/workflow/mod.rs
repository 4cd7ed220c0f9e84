// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The Workflow API and its runner: HTTP in front of SQLite, and an engine for the JavaScript of the tasks.
//!
//! Follows the API of wf 1.2 as Triton configures it, and its runner without child processes. Differences: there is no
//! `/snapshot`, and `/stats` counts only; of the modules that a task can name there are `async`, `restify`, `sdc-clients`,
//! `url`, `util`, `uuid`, `vasync` and `verror`, with what tasks use of them; no TLS; the language is newer than that of
//! Node.js 6; a task that does not come to rest, or takes too much memory, fails.

mod engine;
mod job;
mod listing;
mod routes;
mod runner;
mod script;
mod server;
mod store;
mod tasks;

pub use script::{ScriptError, check_function};
pub use server::{WorkflowOptions, WorkflowServer};
