//! Starts a datacenter.
fn main() {}
