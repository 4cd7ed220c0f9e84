// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Moray's methods: their arguments and options, and the store functions that implement them.

mod args;
mod batch;
mod method;
mod options;

pub(crate) use method::{Method, call};
pub(crate) use options::{FindOptions, Sort};
