// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

#![doc = include_str!("../README.md")]

mod api;
mod client;
mod config;
mod database_errors;
mod error;
pub mod fast;
mod filter;
mod server_error;

pub use api::{
    BatchEtag, BatchRequest, Bucket, BucketConfig, BucketOptions, CallOptions, DeleteManyOptions,
    DeleteOptions, FindOptions, Index, IndexType, Object, ObjectStream, Order, Precondition, PutOptions,
    Sort,
};
pub use client::{Client, State};
pub use config::{Config, Endpoint};
pub use database_errors::is_about_lost_database;
pub use error::{Error, TransportError};
pub use filter::{Attribute, Filter, InvalidAttribute};
pub use server_error::{EtagConflict, ServerError, ServerErrorKind};
