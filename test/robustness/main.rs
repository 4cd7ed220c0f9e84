// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Behavior under failures, with real processes and real sockets: malformed requests, clients that leave, full disks, unavailable
//! backends, many concurrent requests, and SIGKILL at any time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod aborts;
mod archive;
mod concurrency;
mod crash;
mod damage;
mod malformed;
mod model;
mod outage;
mod planted;
mod support;
mod two_servers;
