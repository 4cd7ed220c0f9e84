// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI's objects, as far as they are used. Members that are not named are ignored.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::manifest::Uuid;

/// Metadata: values of any kind by name. There are secrets among them: `Debug` shows the names only.
#[derive(Clone, Default, PartialEq)]
pub struct Metadata(pub Map<String, Value>);

impl Metadata {
    /// The value of a key that is a text with something in it.
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
    /// Its name, which others may have, too.
    pub name: String,
    /// The account that it belongs to.
    pub owner_uuid: Uuid,
    /// What all its services share.
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
    /// What all its instances share; it takes precedence over the application's.
    #[serde(default)]
    pub metadata: Metadata,
}

/// An instance of a service.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Its UUID, which is that of its zone, if it has one.
    pub uuid: Uuid,
    /// Its service.
    pub service_uuid: Uuid,
    /// What is its own; it takes precedence over the service's.
    #[serde(default)]
    pub metadata: Metadata,
}

/// How a file is made from metadata.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Its name, unique within an instance.
    pub name: String,
    /// The file, an absolute path.
    pub path: String,
    /// The template, in the dialect of Mustache that config-agents know.
    pub template: String,
    /// A command for the shell, after the file has changed.
    #[serde(default)]
    pub post_cmd: Option<String>,
}

/// A template may have been made with secrets in it.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the files of an instance are made from.
#[derive(Debug, Clone, Deserialize)]
pub struct InstanceConfig {
    /// What tells it from others, to be sent back as it came; SAPI's has no quotes around it.
    #[serde(skip)]
    pub etag: Option<String>,
    /// The manifests that SAPI has for the instance.
    pub manifests: Vec<Manifest>,
    /// The metadata of application, service and instance in one.
    pub metadata: Metadata,
}

/// Whether there is something new.
#[derive(Debug, Clone)]
pub enum ConfigAnswer {
    /// It is as it was.
    NotModified,
    /// This is it.
    Config(InstanceConfig),
}

/// Whether the datacenter is still being set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is: objects are in files, and nothing is provisioned.
    Proto,
    /// It is not.
    Full,
}

/// How SAPI is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Whether the datacenter is still being set up.
    pub mode: Mode,
    /// Whether its store answers.
    #[serde(default)]
    pub stor_available: bool,
}
