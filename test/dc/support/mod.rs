// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Test support: the application under test, the callers, and their answers.

mod actor;
mod answer;
mod app;
mod examples;
mod foreign;
mod harness;
mod log;
pub(crate) mod lxd;
mod manifest;
mod origins;
mod raw;
pub(crate) mod registry;
mod wait;

pub(crate) use actor::{Actor, Call};
pub(crate) use answer::Answer;
pub(crate) use app::{TestApp, entries};
pub(crate) use examples::replay;
pub(crate) use foreign::{Authority, Foreign, Script};
pub(crate) use harness::{Test, run, tests};
pub(crate) use manifest::*;
pub(crate) use origins::images_keep_their_origins;
pub(crate) use raw::Connection;
pub(crate) use wait::{DEADLINE, wait_until, within};
