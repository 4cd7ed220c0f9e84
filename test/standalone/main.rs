//! What is different on a standalone server: modes public and private, and channels.
//!
//! All tests share one public server with three channels, on the Moray of a datacenter; each makes the images it looks
//! at. Tests that need another server start their own.
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

mod channels;
mod modes;

use std::process::ExitCode;

use serde_json::json;
use support::TestApp;

async fn start() -> TestApp {
    TestApp::start_with(json!({
        "mode": "public",
        "channels": [
            {"name": "dev", "description": "all images", "default": true},
            {"name": "staging", "description": "those that may be released"},
            {"name": "release", "description": "released images", "extra": [1]},
        ],
    }))
    .await
}

fn main() -> ExitCode {
    support::run([channels::TESTS, modes::TESTS].concat(), start)
}
