//! The `imgapi` command line.
fn main() {}
