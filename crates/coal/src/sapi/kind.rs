// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The four kinds of objects in SAPI.

use super::Object;
use crate::rest::{RestError, RestResult};

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Application,
    Service,
    Instance,
    Manifest,
}

impl Kind {
    /// Returns the name of the kind, as used in messages and in the store.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Service => "service",
            Self::Instance => "instance",
            Self::Manifest => "manifest",
        }
    }

    /// Returns the members that a new object must have.
    pub(super) fn required(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["name", "owner_uuid"],
            Self::Service => &["name", "application_uuid"],
            Self::Instance => &["service_uuid"],
            Self::Manifest => &["name", "path", "template"],
        }
    }

    /// Returns the members that an object may have besides `uuid`. An instance has the type of its service.
    pub(super) fn members(self) -> &'static [&'static str] {
        match self {
            Self::Application => {
                &["name", "owner_uuid", "params", "metadata", "metadata_schema", "manifests", "master"]
            }
            Self::Service => {
                &["name", "application_uuid", "params", "metadata", "manifests", "master", "type"]
            }
            Self::Instance => &["service_uuid", "params", "metadata", "manifests", "master"],
            Self::Manifest => &["name", "path", "template", "post_cmd", "version", "master"],
        }
    }

    /// Returns the members by which a list can be filtered.
    pub(super) fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["name", "owner_uuid"],
            Self::Service => &["name", "application_uuid", "type"],
            Self::Instance => &["service_uuid", "type"],
            Self::Manifest => &[],
        }
    }

    /// Returns the members that are objects and are changed key by key.
    pub(super) fn maps(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["params", "metadata", "metadata_schema", "manifests"],
            Self::Service | Self::Instance => &["params", "metadata", "manifests"],
            Self::Manifest => &[],
        }
    }

    /// Returns the kind of an object's parent, and the member that names the parent.
    pub(super) fn parent(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Service => Some((Self::Application, "application_uuid")),
            Self::Instance => Some((Self::Service, "service_uuid")),
            Self::Application | Self::Manifest => None,
        }
    }

    /// Rejects members of a wrong type.
    pub(super) fn check_types(self, object: &Object) -> RestResult<()> {
        for (name, value) in object {
            let fits = match name.as_str() {
                "master" => value.is_boolean(),
                map if self.maps().contains(&map) => value.is_object(),
                _ => value.is_string(),
            };
            if !fits {
                return Err(RestError::invalid_argument(format!("invalid {name}")));
            }
        }
        Ok(())
    }
}
