//! Moray's methods: their arguments and options, and which piece of the store answers them.

mod args;
mod batch;
mod method;
mod options;

pub(crate) use method::{Method, call};
pub(crate) use options::{FindOptions, Sort};
