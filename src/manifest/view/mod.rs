// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The part of a valid record that reads need, in little memory: the values that are compared, and the text that clients get.

#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::api_form::ApiForm;
use super::common::common_methods;
use super::file::{Icon, ImageFile};
use super::image::Image;
use super::kinds::{ApiVersion, Rules, State};
use super::list::Position;
use super::times::Moment;
use super::uuid::Uuid;

/// An image as reads use it. It is decoded and rendered once, for all later readers and all forms.
///
/// The record itself is not part of it; a change reads the record from the database.
#[derive(Debug)]
pub struct View {
    uuid: Uuid,
    owner: Uuid,
    name: Box<str>,
    version: Box<str>,
    state: State,
    flags: Flags,
    image_type: Option<Cow<'static, str>>,
    os: Option<Cow<'static, str>>,
    published: Option<Moment>,
    acl: Box<[Uuid]>,
    tags: Box<[Box<str>]>,
    billing_tags: Box<[Box<str>]>,
    channels: Option<Box<[Box<str>]>>,
    origin: Option<Uuid>,
    files: Box<[ImageFile]>,
    icon: Option<Box<Icon>>,
    /// The API form of version 2 without admin fields, indented by two spaces a level.
    text: Bytes,
    etag: [u8; 20],
    /// The entity tag of version 1, where it differs from `etag`.
    etag_v1: Option<Box<[u8; 20]>>,
}

/// The flags of an image in one byte, so that a scan need not touch the image itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// `public`.
    pub const PUBLIC: Flags = Flags(1);
    /// `activated`.
    pub const ACTIVATED: Flags = Flags(2);
    /// `disabled`.
    pub const DISABLED: Flags = Flags(4);
    /// A job makes the image; see [`Image::job`].
    pub const OF_JOB: Flags = Flags(8);

    /// Returns these flags, and also `flag` if `on`.
    #[must_use]
    pub fn with(self, flag: Flags, on: bool) -> Flags {
        if on { Flags(self.0 | flag.0) } else { self }
    }

    /// Returns whether all of these flags are set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns whether the flags in `mask` have the same values as in `wanted`.
    pub fn meet(self, mask: Flags, wanted: Flags) -> bool {
        self.0 & mask.0 == wanted.0
    }
}

common_methods!(View);

impl View {
    /// Builds the view of an image.
    ///
    /// # Errors
    /// The image cannot be rendered, which does not happen to a valid image.
    pub fn new(image: &Image) -> Result<View, serde_json::Error> {
        let form = ApiForm { version: ApiVersion::V2, mode: image.rules.mode, admin_fields: false };
        let text = super::json::pretty(&image.api(&form))?.into_bytes();
        let tag = |text: &[u8]| <[u8; 20]>::from(Sha1::digest(text::compacted(text)));
        let (etag, etag_v1) = match text::channels_start(&text, image.channels.as_deref()) {
            None => (tag(&text), None),
            Some(start) => (tag(&text), Some(Box::new(tag(&text::closed(&text[..start]))))),
        };
        let stored = |name: &str| image.raw.get(name).and_then(serde_json::Value::as_str);
        Ok(View {
            uuid: image.uuid,
            owner: image.owner,
            name: image.name.as_str().into(),
            version: image.version.as_str().into(),
            state: image.state,
            flags: Flags::default()
                .with(Flags::PUBLIC, image.public)
                .with(Flags::ACTIVATED, image.activated)
                .with(Flags::DISABLED, image.disabled)
                .with(Flags::OF_JOB, image.job().is_some()),
            image_type: name_of(image.image_type.map(|kind| kind.as_str()), stored("type")),
            os: name_of(image.os.map(|os| os.as_str()), stored("os")),
            published: image.published,
            acl: sorted(&image.acl),
            tags: image.tags_search_list().into_iter().map(String::into_boxed_str).collect(),
            billing_tags: boxed(&image.billing_tags),
            channels: image.channels.as_deref().map(boxed),
            origin: stored("origin").and_then(|origin| origin.parse().ok()),
            files: image.files.as_slice().into(),
            icon: image.icon.clone().map(Box::new),
            text: text.into_boxed_slice().into(),
            etag,
            etag_v1,
        })
    }

    /// Returns the image in this form, byte for byte as [`super::json::pretty`] renders it.
    pub fn text(&self, form: &ApiForm) -> Bytes {
        match self.form_text(form) {
            Cow::Borrowed(_) => self.text.clone(),
            Cow::Owned(text) => text.into(),
        }
    }

    /// Appends the image in this form as an element of a list.
    pub fn append_element(&self, form: &ApiForm, list: &mut Vec<u8>) {
        text::append_indented(&self.form_text(form), list);
    }

    /// Returns the length of the text that the view holds, in bytes.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    fn form_text(&self, form: &ApiForm) -> Cow<'_, [u8]> {
        let whole = Cow::Borrowed(&self.text[..]);
        let start = match form.version {
            ApiVersion::V1 => text::channels_start(&self.text, self.channels()),
            ApiVersion::V2 => None,
        };
        let versioned = start.map_or(whole, |start| Cow::Owned(text::closed(&self.text[..start])));
        if form.admin_fields && !self.files.is_empty() {
            return Cow::Owned(text::with_stor(&versioned, &self.files));
        }
        versioned
    }

    /// Returns the entity tag of the image in this form: the SHA-1 of its compact text in lower-case hex, as in 4.13.1.
    pub fn etag(&self, form: &ApiForm) -> String {
        if form.admin_fields && !self.files.is_empty() {
            return hex::encode(Sha1::digest(text::compacted(&self.form_text(form))));
        }
        hex::encode(self.etag_bytes(form.version))
    }

    /// Returns the entity tag without admin fields, as the bytes of the digest.
    pub fn etag_bytes(&self, version: ApiVersion) -> &[u8; 20] {
        match (version, &self.etag_v1) {
            (ApiVersion::V1, Some(etag)) => etag,
            _ => &self.etag,
        }
    }

    /// Returns the image's position in the order of results.
    pub fn position(&self) -> Position {
        Position { published: self.published, uuid: self.uuid }
    }

    /// Returns whether the account is in the ACL.
    pub fn is_shared_with(&self, account: Uuid) -> bool {
        self.acl.binary_search(&account).is_ok()
    }

    /// All flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Returns whether the flags say active: activated and not disabled. ListImages selects by this.
    pub fn is_active(&self) -> bool {
        self.flags.meet(Flags(Flags::ACTIVATED.0 | Flags::DISABLED.0), Flags::ACTIVATED)
    }

    /// Returns whether a job makes the image.
    pub fn is_of_job(&self) -> bool {
        self.flags.has(Flags::OF_JOB)
    }

    /// Returns whether the image was activated.
    pub fn activated(&self) -> bool {
        self.flags.has(Flags::ACTIVATED)
    }

    /// Returns whether the image is disabled; meaningful once activated.
    pub fn disabled(&self) -> bool {
        self.flags.has(Flags::DISABLED)
    }

    /// Returns whether every account may see the image once activated.
    pub fn public(&self) -> bool {
        self.flags.has(Flags::PUBLIC)
    }

    /// The type as it is stored: the string `null` for a placeholder.
    pub fn image_type(&self) -> Option<&str> {
        self.image_type.as_deref()
    }

    /// The operating system as it is stored: the string `null` for a placeholder.
    pub fn os(&self) -> Option<&str> {
        self.os.as_deref()
    }

    /// When the image was published.
    pub fn published(&self) -> Option<Moment> {
        self.published
    }

    /// The `key=value` elements that searches compare with.
    pub fn tags_search_list(&self) -> &[Box<str>] {
        &self.tags
    }

    /// Tags that billing uses.
    pub fn billing_tags(&self) -> &[Box<str>] {
        &self.billing_tags
    }

    /// The channels the image is in; `None` if the server has no channels.
    pub fn channels(&self) -> Option<&[Box<str>]> {
        self.channels.as_deref()
    }

    /// The image that this one is an increment of.
    pub fn origin(&self) -> Option<Uuid> {
        self.origin
    }

    /// The icon.
    pub fn icon(&self) -> Option<&Icon> {
        self.icon.as_deref()
    }
}

/// Loads a record for reads only.
///
/// # Errors
/// The invalid fields, which are why the record does not exist for clients.
pub fn load(record: super::Record, rules: Rules) -> Result<View, String> {
    let image = Image::load(record, rules).map_err(|problems| {
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        format!("not valid: {}", fields.join(", "))
    })?;
    View::new(&image).map_err(|error| error.to_string())
}

fn sorted(accounts: &[Uuid]) -> Box<[Uuid]> {
    let mut sorted = accounts.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.into()
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

/// Returns the name of a known member of the enumeration, otherwise the stored string.
fn name_of(known: Option<&'static str>, stored: Option<&str>) -> Option<Cow<'static, str>> {
    known.map(Cow::Borrowed).or_else(|| stored.map(|text| Cow::Owned(text.to_owned())))
}
