//! Signatures that others made, our own, and what is left of them when a byte changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod fingerprints;
mod mutations;
mod openssl;
mod policy;
mod private_keys;
mod public_keys;
mod support;
mod vectors;
