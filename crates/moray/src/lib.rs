//! Client for Moray, the key-value store of Triton DataCenter, and its FAST protocol.

mod error;
pub mod fast;
mod filter;
mod server_error;

pub use error::{Error, TransportError};
pub use filter::{Attribute, Filter, InvalidAttribute};
pub use server_error::{EtagConflict, ServerError, ServerErrorKind};
