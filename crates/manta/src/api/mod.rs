// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The operations on Manta, one file for each kind.

mod delete;
mod digest;
mod directory;
mod get;
mod list;
mod metadata;
mod object_body;
mod put;
mod upload;

pub use get::{ByteRange, GetOptions, Object};
pub use list::{Entry, EntryKind, Listing};
pub use metadata::{ContentRange, Metadata, UserMetadata};
pub use object_body::Body;
pub use put::{NewObject, Precondition, Stored};
pub use upload::Upload;
