//! What an operator does once, with real processes against a datacenter's SAPI, UFDS, VMAPI and Manta.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

#[path = "../dc/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "it is made for the tests of a datacenter, which need more of it"
)]
mod support;

mod manta;
