// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI's objects, as far as they are used. Other members are ignored.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::manifest::Uuid;

/// Metadata: values of any type by name. Some are secrets, so `Debug` shows the names only.
#[derive(Clone, Default, PartialEq)]
pub struct Metadata(pub Map<String, Value>);

impl Metadata {
    /// Returns the value of a key if it is a string that is not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str().filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Metadata(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// An application: `sdc` is the datacenter itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Application {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name, which is not unique.
    pub name: String,
    /// The account that owns it.
    pub owner_uuid: Uuid,
    /// The metadata that all its services share.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A service of an application.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its application.
    pub application_uuid: Uuid,
    /// The metadata that all its instances share. It takes precedence over the application's.
    #[serde(default)]
    pub metadata: Metadata,
}

/// An instance of a service.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Its UUID, which equals the UUID of its zone, if it has one.
    pub uuid: Uuid,
    /// Its service.
    pub service_uuid: Uuid,
    /// Its own metadata, which takes precedence over the service's.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A description of how a file is made from metadata.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its name, unique within an instance.
    pub name: String,
    /// The absolute path of the file.
    pub path: String,
    /// The template, in the dialect of Mustache that config-agents use.
    pub template: String,
    /// A shell command to run after the file has changed.
    #[serde(default)]
    pub post_cmd: Option<String>,
}

/// `Debug` does not show the template, which may contain secrets.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

/// The metadata and manifests from which the files of an instance are made.
#[derive(Debug, Clone, Deserialize)]
pub struct InstanceConfig {
    /// The etag of this version, sent back unchanged; SAPI's etags have no quotation marks.
    #[serde(skip)]
    pub etag: Option<String>,
    /// The manifests that SAPI has for the instance.
    pub manifests: Vec<Manifest>,
    /// The merged metadata of application, service and instance.
    pub metadata: Metadata,
}

/// The answer to [`config`](super::Sapi::config).
#[derive(Debug, Clone)]
pub enum ConfigAnswer {
    /// Nothing has changed.
    NotModified,
    /// The current version.
    Config(InstanceConfig),
}

/// Whether the datacenter is still being set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The datacenter is being set up: objects are stored in files, and nothing is provisioned.
    Proto,
    /// The datacenter is set up.
    Full,
}

/// SAPI's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Whether the datacenter is still being set up.
    pub mode: Mode,
    /// Whether its store answers.
    #[serde(default)]
    pub stor_available: bool,
}
