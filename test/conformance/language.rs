// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The language of the rows, as `README.md` describes it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// The kind of server that a row applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// A server in a datacenter.
    Dc,
    /// A public standalone server.
    Public,
    /// A public standalone server with channels.
    Channels,
}

impl Mode {
    pub(crate) const ALL: [Mode; 3] = [Mode::Dc, Mode::Public, Mode::Channels];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Dc => "dc",
            Mode::Public => "public",
            Mode::Channels => "channels",
        })
    }
}

/// One rule, with its case.
#[derive(Debug)]
pub(crate) struct Row {
    /// Names of the file, the rule and the case.
    pub(crate) name: String,
    /// The kinds of server that the rule applies to.
    pub(crate) modes: Vec<Mode>,
    /// The setup to run before the row.
    pub(crate) given: Option<String>,
    /// Whether the row uses the records of an installation that was taken over.
    pub(crate) stored: bool,
    /// The difference from 4.13.1, if any: the beginning of a line of `docs/compatibility.md`.
    pub(crate) difference: Option<String>,
    /// The requests and the expected answers, in order.
    pub(crate) steps: Vec<Step>,
}

/// Steps to run before the steps of a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The setup to run before this one.
    pub(crate) after: Option<String>,
    /// The steps, as in a row.
    pub(crate) steps: Vec<Step>,
}

/// One request, and the expectations for its answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Step {
    /// Method and target.
    pub(crate) request: String,
    /// Headers to send.
    #[serde(default)]
    pub(crate) send: BTreeMap<String, String>,
    /// A JSON body.
    pub(crate) json: Option<Value>,
    /// A JSON body: a small manifest, with these members replaced or added.
    pub(crate) with: Option<Value>,
    /// Members to remove from the small manifest.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// A body with this text.
    pub(crate) text: Option<String>,
    /// The `Content-Type` of a body. Default: JSON; none for an empty text.
    #[serde(rename = "type")]
    pub(crate) content_type: Option<String>,
    /// Expected status. Default: 200.
    pub(crate) status: Option<u16>,
    /// Expected `code` of an error.
    pub(crate) code: Option<String>,
    /// Expected entries of `errors`, in order: field and code with a space between them.
    pub(crate) fields: Option<Vec<String>>,
    /// Members that the body must have, with these values.
    #[serde(default)]
    pub(crate) has: BTreeMap<String, Value>,
    /// Members that the body must not have.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// All members of the body, in order.
    pub(crate) members: Option<Vec<String>>,
    /// The whole body, if it is not JSON.
    pub(crate) body: Option<String>,
    /// UUIDs of all images in a list, in order.
    pub(crate) images: Option<Vec<String>>,
    /// UUIDs of images that a list must contain.
    #[serde(default)]
    pub(crate) includes: Vec<String>,
    /// UUIDs of images that a list must not contain.
    #[serde(default)]
    pub(crate) omits: Vec<String>,
    /// Expected headers: with this value, with any value (`any`), or absent (the empty text).
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Variables to set from parts of the answer: a member (`uuid`, `files.0.sha1`) or a header (`header etag`).
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, String>,
}
