//! The process: builds an [`App`](crate::images::App) from a [`Config`](crate::config::Config), listens, takes another
//! configuration, and stops, without breaking what is under way.

mod base_dir;
mod connection;
mod descriptors;
mod events;
mod generation;
mod listener;
mod metrics;
mod refusal;
mod refused;
mod roster;
mod run;
mod running;
mod sendfile;
mod watch;

pub use base_dir::NoBaseDir;
pub use run::{ServeError, serve};
