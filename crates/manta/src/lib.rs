// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

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
