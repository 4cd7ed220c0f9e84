// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads the values that operations use from a record that passed every check.

use serde_json::{Map, Value};

use super::fields::loose_text;
use super::lists::one_or_many;
use crate::manifest::file::{Icon, ImageFile};
use crate::manifest::image::{Image, Record};
use crate::manifest::kinds::Rules;
use crate::manifest::times::Moment;
use crate::manifest::{FieldError, coerce};

/// Reads the typed values.
///
/// # Errors
/// A member that cannot be read although its check passed. The one known case is a placeholder without an owner: 4.13.1
/// does not require an owner there, but always writes one.
pub(super) fn image(
    raw: Record,
    rules: Rules,
    rebuilt_tags: Option<Map<String, Value>>,
) -> Result<Image, Vec<FieldError>> {
    let unreadable = |name: &str| vec![FieldError::invalid(name)];
    let flag = |name: &str| raw.get(name).and_then(coerce::boolean).unwrap_or(false);
    let published_at = text(&raw, "published_at").filter(|text| !text.is_empty());
    Ok(Image {
        uuid: parsed(&raw, "uuid").ok_or_else(|| unreadable("uuid"))?,
        owner: parsed(&raw, "owner").ok_or_else(|| vec![FieldError::missing("owner")])?,
        name: raw.get("name").and_then(loose_text).ok_or_else(|| unreadable("name"))?,
        version: raw.get("version").and_then(loose_text).ok_or_else(|| unreadable("version"))?,
        state: parsed(&raw, "state").ok_or_else(|| unreadable("state"))?,
        activated: flag("activated"),
        disabled: flag("disabled"),
        public: flag("public"),
        image_type: parsed(&raw, "type"),
        os: parsed(&raw, "os"),
        published: published_at.as_deref().and_then(Moment::of_published_at),
        published_at,
        expires_at: text(&raw, "expires_at"),
        files: items(&raw, "files").filter_map(ImageFile::read).collect(),
        icon: raw.get("icon").and_then(Icon::read),
        acl: items(&raw, "acl").filter_map(|account| account.as_str()?.parse().ok()).collect(),
        billing_tags: texts(&raw, "billing_tags"),
        channels: raw.contains_key("channels").then(|| texts(&raw, "channels")),
        rebuilt_tags,
        rules,
        raw,
    })
}

fn text(raw: &Record, name: &str) -> Option<String> {
    raw.get(name)?.as_str().map(str::to_owned)
}

fn parsed<T: std::str::FromStr>(raw: &Record, name: &str) -> Option<T> {
    raw.get(name)?.as_str()?.parse().ok()
}

fn items<'a>(raw: &'a Record, name: &str) -> impl Iterator<Item = &'a Value> {
    raw.get(name).and_then(one_or_many).unwrap_or_default().iter()
}

fn texts(raw: &Record, name: &str) -> Vec<String> {
    items(raw, name).filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
