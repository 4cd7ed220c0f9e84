//! The HTTP server: listeners, connections, and what is answered before a request reaches the routes.

mod connection;
mod listener;
mod refusal;
mod sendfile;

pub use connection::{ConnectionConfig, ConnectionHandle, Peer};
pub use listener::{ConnectionEvents, Drained, ServeConfig, serve};
pub use refusal::Refusal;
pub use sendfile::file_body;
