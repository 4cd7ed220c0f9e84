// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Validation of a record as a whole: which members are required, and in which order problems are reported.
//!
//! Clients see this order in `errors` and in the message: first problems of the stored form itself, then required
//! members, then the others. The checks are as lenient as those of 4.13.1, even where that is odd, because a stored
//! record that fails is invisible.

mod fields;
mod files;
mod lists;
mod requirements;
#[cfg(test)]
mod tests;
mod typed;
mod zvol;

use serde_json::{Map, Value};

use super::image::{Image, Record};
use super::kinds::{ImageType, Mode, Rules, State};
use super::{FieldError, coerce, tags};

impl Image {
    /// Validates a record against the rules of the server that holds it.
    ///
    /// # Errors
    /// Every problem found, in the order 4.13.1 reports them. A stored record that fails is treated as
    /// if it did not exist.
    pub fn load(raw: Record, rules: Rules) -> Result<Self, Vec<FieldError>> {
        load(raw, rules)
    }
}

/// Validates a record; see [`Image::load`].
pub(super) fn load(raw: Record, rules: Rules) -> Result<Image, Vec<FieldError>> {
    let mut problems = Vec::new();
    let rebuilt_tags = check_stored_form(&raw, &mut problems);
    let subject = Subject::new(&raw, rules, rebuilt_tags.as_ref());
    let required = subject.required();
    for name in required {
        subject.check_required(name, &mut problems);
    }
    for (name, check) in CHECKS {
        if !required.contains(name)
            && let Some(value) = subject.member(name)
        {
            check(&subject, value, &mut problems);
        }
    }
    if problems.is_empty() { typed::image(raw, rules, rebuilt_tags) } else { Err(problems) }
}

/// Checks the value of one member.
type Check = fn(&Subject<'_>, &Value, &mut Vec<FieldError>);

/// Every validated member in the order in which members outside the required set are checked.
const CHECKS: &[(&str, Check)] = &[
    ("v", fields::v),
    ("uuid", fields::uuid),
    ("owner", fields::owner),
    ("name", fields::name),
    ("version", fields::version),
    ("description", fields::description),
    ("homepage", fields::homepage),
    ("eula", fields::eula),
    ("disabled", fields::disabled),
    ("activated", fields::activated),
    ("published_at", fields::published_at),
    ("state", fields::state),
    ("public", fields::public),
    ("type", fields::image_type),
    ("os", fields::os),
    ("origin", fields::origin),
    ("error", lists::error),
    ("files", files::files),
    ("acl", lists::acl),
    ("requirements", requirements::requirements),
    ("users", lists::users),
    ("billing_tags", lists::billing_tags),
    ("traits", lists::traits),
    ("tags", lists::tags),
    ("generate_passwords", fields::generate_passwords),
    ("inherited_directories", lists::inherited_directories),
    ("nic_driver", zvol::nic_driver),
    ("disk_driver", zvol::disk_driver),
    ("cpu_type", zvol::cpu_type),
    ("image_size", zvol::image_size),
    ("channels", lists::channels),
];

/// Members that are required of a placeholder that is being made.
const CREATING: &[&str] = &["v", "uuid", "name", "version", "type", "os"];

/// Members that are required of any other record. `channels` is last, for the servers that require it.
const FULL: &[&str] = &[
    "v",
    "uuid",
    "owner",
    "name",
    "version",
    "disabled",
    "activated",
    "published_at",
    "public",
    "state",
    "type",
    "os",
    "files",
    "nic_driver",
    "disk_driver",
    "cpu_type",
    "image_size",
    "channels",
];

/// A record under validation and the facts that several checks depend on.
struct Subject<'a> {
    raw: &'a Record,
    rules: Rules,
    tags: Option<Value>,
    state: Option<State>,
    image_type: Option<ImageType>,
    activated: bool,
}

impl<'a> Subject<'a> {
    fn new(raw: &'a Record, rules: Rules, rebuilt_tags: Option<&Map<String, Value>>) -> Self {
        let text = |name: &str| raw.get(name).and_then(Value::as_str);
        Self {
            raw,
            rules,
            tags: rebuilt_tags.cloned().map(Value::Object),
            state: text("state").and_then(|state| state.parse().ok()),
            image_type: text("type").and_then(|kind| kind.parse().ok()),
            activated: raw.get("activated").and_then(coerce::boolean).unwrap_or(false),
        }
    }

    /// Returns a member by the manifest's name: `tags` is the object, not the search list.
    fn member(&self, name: &str) -> Option<&Value> {
        match name {
            "tags" => self.raw.get("tagsObj").filter(|tags| !tags.is_null()).or(self.tags.as_ref()),
            _ => self.raw.get(name),
        }
    }

    fn required(&self) -> &'static [&'static str] {
        let with_channels = self.rules.mode != Mode::Dc && self.rules.channels_configured;
        match (self.rules.mode, self.state) {
            (Mode::Dc, Some(State::Creating)) => CREATING,
            _ if with_channels => FULL,
            _ => &FULL[..FULL.len() - 1],
        }
    }

    fn check_required(&self, name: &'static str, problems: &mut Vec<FieldError>) {
        if let Some(value) = self.member(name) {
            if let Some((_, check)) = CHECKS.iter().find(|(checked, _)| *checked == name) {
                check(self, value, problems);
            }
        } else if let Some(problem) = self.absence(name) {
            problems.push(problem);
        }
    }

    /// Returns the problem with an absent member of the required set; `None` if it may be absent.
    fn absence(&self, name: &'static str) -> Option<FieldError> {
        match name {
            "published_at" | "files" if !self.activated => None,
            "published_at" | "files" => {
                Some(FieldError::missing(name).because(format!("an activated image needs \"{name}\"")))
            }
            "nic_driver" | "disk_driver" | "cpu_type" | "image_size" => zvol::absence(self, name),
            _ => Some(FieldError::missing(name)),
        }
    }
}

/// Checks the members that only the stored form has. Returns the tags object of a record that has just the list.
fn check_stored_form(raw: &Record, problems: &mut Vec<FieldError>) -> Option<Map<String, Value>> {
    let tags = match (raw.get("tagsObj"), raw.get("tags")) {
        (None | Some(Value::Null), Some(list)) if !list.is_null() => {
            let object = tags::object_of_list(list);
            if object.is_none() {
                problems.push(FieldError::invalid("tags").because("an element is not \"key=value\""));
            }
            object
        }
        _ => None,
    };
    if raw.get("icon").is_some_and(coerce::truthy) {
        files::icon(raw, problems);
    }
    tags
}
