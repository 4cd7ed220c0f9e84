//! The process: builds an [`App`](crate::images::App) from a [`Config`](crate::config::Config), listens, and stops
//! without breaking what is under way.

mod connection;
mod listener;
mod refusal;
mod run;
mod sendfile;

pub use run::{ServeError, serve};
