#![doc = include_str!("../README.md")]

mod api;
mod client;
mod config;
mod error;
mod path;
mod server_error;

pub use api::{
    Body, ByteRange, ContentRange, Entry, EntryKind, GetOptions, Listing, Metadata, NewObject, Object,
    Precondition, Stored, Upload, UserMetadata,
};
pub use client::Client;
pub use config::{Config, ConfigError};
pub use error::Error;
pub use path::{InvalidPath, Path};
pub use server_error::{ErrorCode, ServerError};
