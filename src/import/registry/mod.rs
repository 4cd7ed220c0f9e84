// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A client of container registries: Docker Registry v2, and OCI's distribution specification.
//!
//! Nothing here knows of IMGAPI's images. A [`Repository`] and a [`Revision`] say what is meant, [`Credentials`] who asks; from
//! them [`Fetcher::registry`](super::Fetcher::registry) makes a [`Registry`], the client of one repository:
//!
//! - [`Registry::manifest`] returns the [`Manifest`] of an image, resolved to a [`Platform`] where there are several;
//!   [`Registry::config`] returns its [`ImageConfig`], and [`ImageConfig::layers`] pairs both. A manifest of schema 1 has
//!   its configurations in it ([`Schema1`]), and can be converted after the layers were downloaded.
//! - [`Registry::layer`] returns a [`Layer`]: a stream of the bytes to store, which ends with an error unless the digests
//!   are right. It goes on after a broken connection.
//! - [`Registry::ping`], [`Registry::has_blob`], [`Registry::upload_blob`] and [`Registry::put_manifest`] send an image.
//!
//! Every [`RegistryError`] is for the client.

mod blob;
mod bounded;
mod challenge;
mod clients;
mod connection;
mod credentials;
mod digest;
mod error;
mod forms;
mod image_config;
mod jws;
mod layer;
mod manifest;
mod pull;
mod push;
mod reference;
mod schema1;

pub use connection::{Access, Registry};
pub use credentials::{Credentials, IdentityToken};
pub use digest::{Digest, InvalidDigest};
pub use error::RegistryError;
pub use forms::MAX_LAYERS;
pub use image_config::{ImageConfig, ImageLayer, Step};
pub use layer::Layer;
pub use manifest::{Content, Descriptor, ImageManifest, InvalidPlatform, Manifest, Platform};
pub use reference::{InvalidReference, Repository, Revision};
pub use schema1::{DownloadedLayer, Schema1, Schema1Step};

pub(super) use clients::Clients;

#[cfg(test)]
mod tests;
