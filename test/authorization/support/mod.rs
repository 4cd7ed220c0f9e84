// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A server with users, and requests to it.

mod request;
mod server;

pub(crate) use request::{Answer, Key, Request};
pub(crate) use server::{EMPEROR, LUKE, Server, VADER};
