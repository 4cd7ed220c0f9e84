//! The client against a server that does what a test tells it, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod directories;
mod downloads;
mod failures;
mod listings;
mod requests;
mod resumption;
mod signatures;
mod support;
mod tls;
mod uploads;
