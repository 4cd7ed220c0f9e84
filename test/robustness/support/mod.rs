// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Support for all suites: a datacenter, a client, files with known bytes, and checks of the disk and the process.

mod client;
mod disk;
mod file;
mod process;
pub(crate) mod raw;
mod remote;
mod second;
mod soak;
mod wait;

use coal::Datacenter;
use serde_json::json;

pub(crate) use client::{Answer, Client};
pub(crate) use disk::{files_below, image_file, incoming, is_copy_of, wait_until_swept};
pub(crate) use file::TestFile;
pub(crate) use process::resident_bytes;
pub(crate) use remote::Remote;
pub(crate) use second::SecondServer;
pub(crate) use soak::{randomness, scaled};
pub(crate) use wait::{PATIENCE, wait_for};

/// The `imgapi` under test.
pub(crate) const IMGAPI: &str = env!("CARGO_BIN_EXE_imgapi");

/// Starts a datacenter for one test. It ends when dropped.
pub(crate) async fn start_datacenter() -> Datacenter {
    Datacenter::builder().imgapi(IMGAPI).start().await.unwrap()
}

/// Starts a datacenter in which UFDS is asked for an owner each time.
pub(crate) async fn start_asking_for_owners() -> Datacenter {
    let builder = Datacenter::builder().imgapi(IMGAPI);
    builder.imgapi_config("ufds", json!({"cacheSeconds": 0})).start().await.unwrap()
}
