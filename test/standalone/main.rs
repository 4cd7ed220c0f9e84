// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The differences of a standalone server: the modes public and private, and channels.
//!
//! All tests share one public server with three channels, on the Moray of a datacenter. Each test creates the images that it
//! looks at. Tests that need another server start their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking; without the built-in harness clippy does not see that these are tests"
)]

#[path = "../dc/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "it is made for the tests of a datacenter, which need more of it"
)]
mod support;

mod base_dir;
mod channels;
mod imgapid;
mod local;
mod modes;
mod sources;
mod takeover;

use std::process::ExitCode;

use coal::datacenter::DatacenterBuilder;
use serde_json::{Value, json};
use support::TestApp;

async fn start() -> TestApp {
    configured(json!({
        "mode": "public",
        "channels": [
            {"name": "dev", "description": "all images", "default": true},
            {"name": "staging", "description": "those that may be released"},
            {"name": "release", "description": "released images", "extra": [1]},
        ],
    }))
    .await
}

/// Starts a server with these keys of the configuration.
async fn configured(settings: Value) -> TestApp {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let configure = |builder: DatacenterBuilder, (key, value)| builder.imgapi_config(key, value);
    TestApp::start_with(|builder| settings.into_iter().fold(builder, configure)).await
}

fn main() -> ExitCode {
    support::run(
        [
            base_dir::TESTS,
            channels::TESTS,
            imgapid::TESTS,
            local::TESTS,
            modes::TESTS,
            sources::TESTS,
            takeover::TESTS,
        ]
        .concat(),
        start,
    )
}
