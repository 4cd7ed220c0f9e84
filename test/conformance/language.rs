// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The language of the rows, as `README.md` describes it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// In a datacenter.
    Dc,
    /// Standalone, for everybody.
    Public,
    /// Standalone, for everybody, with channels.
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

/// One rule.
#[derive(Debug)]
pub(crate) struct Row {
    /// File, rule and case.
    pub(crate) name: String,
    /// The kinds of server it holds for.
    pub(crate) modes: Vec<Mode>,
    /// The setup that comes before it.
    pub(crate) given: Option<String>,
    /// Whether it looks at the records of an installation that was taken over.
    pub(crate) stored: bool,
    /// Where it differs from 4.13.1: the beginning of a line of `docs/compatibility.md`.
    pub(crate) difference: Option<String>,
    /// Requests and what is expected of their answers, in order.
    pub(crate) steps: Vec<Step>,
}

/// Steps that come before those of a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The setup that comes before this one.
    pub(crate) after: Option<String>,
    /// As in a row.
    pub(crate) steps: Vec<Step>,
}

/// One request, and what its answer must be.
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
    /// A JSON body: a small manifest with these members over its own.
    pub(crate) with: Option<Value>,
    /// Members that the small manifest lacks.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// A body of this text.
    pub(crate) text: Option<String>,
    /// The `Content-Type` of a body; JSON by default, none for the empty text.
    #[serde(rename = "type")]
    pub(crate) content_type: Option<String>,
    /// The status; 200 by default.
    pub(crate) status: Option<u16>,
    /// The `code` of an error.
    pub(crate) code: Option<String>,
    /// The entries of `errors`, in order: field and code with a space between them.
    pub(crate) fields: Option<Vec<String>>,
    /// Members that the body has, with these values.
    #[serde(default)]
    pub(crate) has: BTreeMap<String, Value>,
    /// Members that it has not.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// All its members, in order.
    pub(crate) members: Option<Vec<String>>,
    /// The body, which is no JSON.
    pub(crate) body: Option<String>,
    /// UUIDs of the images of a list, all of them in order.
    pub(crate) images: Option<Vec<String>>,
    /// UUIDs of images that are among those of a list.
    #[serde(default)]
    pub(crate) includes: Vec<String>,
    /// UUIDs of images that are not.
    #[serde(default)]
    pub(crate) omits: Vec<String>,
    /// Headers that are there with this value, with `any`, or not there (the empty text).
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Names for parts of the answer: a member (`uuid`, `files.0.sha1`) or a header (`header etag`).
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, String>,
}
