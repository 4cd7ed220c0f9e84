// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The Workflow API and its runner: HTTP in front of SQLite, and an engine for the JavaScript of the tasks.
//!
//! It follows the API of wf 1.2 as Triton configures it, and its runner without child processes. Differences: there is no
//! `/snapshot`, and `/stats` only counts. Tasks can use the modules `async`, `restify`, `sdc-clients`, `url`, `util`, `uuid`,
//! `vasync` and `verror`, with the functions that Triton's tasks use. There is no TLS. The language is newer than that of Node.js
//! 6. A task that does not end, or takes too much memory, fails.

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
pub use server::{Workflow, WorkflowOptions, WorkflowServer};
