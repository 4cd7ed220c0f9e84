//! The client against servers that do what a test tells them, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod failures;
mod liveness;
mod requests;
mod resolution;
mod streams;
mod support;
