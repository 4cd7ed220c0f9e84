// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manifest: what an image's record is, when it is valid, and how it looks to a client.
//!
//! This room is the vocabulary of the service. It does no I/O and knows nothing of HTTP, Moray or files: a record comes in as a
//! JSON object and leaves as an [`Image`], whose [API form](ApiForm) is rendered byte for byte as Node.js IMGAPI 4.13.1 renders
//! it. [`create`](mod@create) makes new records, and [`list`] says which records a ListImages call selects.

pub mod api_form;
pub mod clone;
mod coerce;
mod common;
pub mod create;
pub mod field_error;
pub mod file;
#[cfg(test)]
mod fixtures;
pub mod image;
pub mod import;
pub mod json;
pub mod kinds;
pub mod list;
mod names;
pub mod placeholder;
pub mod restore;
pub mod tags;
pub mod times;
pub mod update;
pub mod upgrade;
pub mod uuid;
mod validate;
pub mod view;

pub use api_form::{ApiForm, ApiImage};
pub use field_error::{FieldCode, FieldError};
pub use file::{Icon, ImageFile, OwnName};
pub use image::{Image, Record};
pub use kinds::{ApiVersion, Compression, ImageType, Mode, Os, Rules, State, Stor};
pub use uuid::Uuid;
pub use view::{Flags, View};
