// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The four kinds of objects.

use super::Object;
use crate::rest::{RestError, RestResult};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Application,
    Service,
    Instance,
    Manifest,
}

impl Kind {
    /// As messages and the store say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Service => "service",
            Self::Instance => "instance",
            Self::Manifest => "manifest",
        }
    }

    /// What a new one must have.
    pub(super) fn required(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["name", "owner_uuid"],
            Self::Service => &["name", "application_uuid"],
            Self::Instance => &["service_uuid"],
            Self::Manifest => &["name", "path", "template"],
        }
    }

    /// What one may have beside `uuid`; the type of an instance is that of its service.
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

    /// What a list can be asked for.
    pub(super) fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["name", "owner_uuid"],
            Self::Service => &["name", "application_uuid", "type"],
            Self::Instance => &["service_uuid", "type"],
            Self::Manifest => &[],
        }
    }

    /// The members that are objects and change key by key.
    pub(super) fn maps(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["params", "metadata", "metadata_schema", "manifests"],
            Self::Service | Self::Instance => &["params", "metadata", "manifests"],
            Self::Manifest => &[],
        }
    }

    /// The object that one is below, and the member that names it.
    pub(super) fn parent(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Service => Some((Self::Application, "application_uuid")),
            Self::Instance => Some((Self::Service, "service_uuid")),
            Self::Application | Self::Manifest => None,
        }
    }

    /// Refuses members of the wrong type.
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
