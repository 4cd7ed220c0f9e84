//! The API form: what a client sees of an image, in a fixed order of members.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::coerce;
use super::file::ImageFile;
use super::image::Image;
use super::json::{JsObject, JsValue};
use super::kinds::{ApiVersion, ImageType, Mode, State};

/// What decides which members a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiForm {
    /// The version asked for: 2.x shows `channels`.
    pub version: ApiVersion,
    /// The server's mode: `public` hides `billing_tags` and `traits`.
    pub mode: Mode,
    /// `inclAdminFields`: shows where files are.
    pub admin_fields: bool,
}

/// An image in API form. It borrows the record and is rendered with [`super::json`].
#[derive(Debug, Clone, Copy)]
pub struct ApiImage<'a> {
    image: &'a Image,
    form: ApiForm,
}

impl<'a> ApiImage<'a> {
    pub(super) fn new(image: &'a Image, form: ApiForm) -> Self {
        Self { image, form }
    }

    fn raw(&self, name: &str) -> Option<&'a Value> {
        self.image.raw.get(name)
    }

    /// Members that every image has.
    fn identity<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let image = self.image;
        if let Some(v) = self.raw("v").and_then(coerce::number) {
            map.serialize_entry("v", &JsNumber(v))?;
        }
        map.serialize_entry("uuid", &image.uuid)?;
        map.serialize_entry("owner", &image.owner)?;
        self.present(map, "name")?;
        self.present(map, "version")?;
        map.serialize_entry("state", &image.state)?;
        // A placeholder may lack them.
        for (name, flag) in [("disabled", image.disabled), ("public", image.public)] {
            if self.raw(name).is_some() {
                map.serialize_entry(name, &flag)?;
            }
        }
        if let Some(published_at) = &image.published_at {
            map.serialize_entry("published_at", published_at)?;
        }
        if let Some(image_type) = image.image_type {
            map.serialize_entry("type", &image_type)?;
        }
        if let Some(os) = image.os {
            map.serialize_entry("os", &os)?;
        }
        map.serialize_entry("files", &Files(*self))
    }

    /// Members that describe the image and say who may use it.
    fn description<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if !self.image.acl.is_empty() {
            map.serialize_entry("acl", &self.image.acl)?;
        }
        self.non_empty(map, &["description", "homepage", "eula"])?;
        if self.image.icon.is_some() {
            map.serialize_entry("icon", &true)?;
        }
        self.non_empty(map, &["urn"])?;
        self.present(map, "requirements")?;
        self.present(map, "users")
    }

    /// Members that say how to make an instance.
    fn instance<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        // 4.13.1 shows it only if the stored value is truthy, which the text "false" is.
        if let Some(flag) =
            self.raw("generate_passwords").filter(|v| coerce::truthy(v)).and_then(coerce::boolean)
        {
            map.serialize_entry("generate_passwords", &flag)?;
        }
        self.present(map, "inherited_directories")?;
        self.non_empty(map, &["origin", "nic_driver", "disk_driver", "cpu_type"])?;
        if self.image.image_type == Some(ImageType::Zvol)
            && let Some(size) = self.raw("image_size").and_then(coerce::number).filter(|size| *size != 0.0)
        {
            map.serialize_entry("image_size", &JsNumber(size))?;
        }
        if let Some(tags) = self.image.tags() {
            map.serialize_entry("tags", &JsObject(tags))?;
        }
        Ok(())
    }

    /// Members for operators, and the channels.
    fn operation<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if self.form.mode != Mode::Public {
            if !self.image.billing_tags.is_empty() {
                map.serialize_entry("billing_tags", &self.image.billing_tags)?;
            }
            if let Some(traits) = self.raw("traits").filter(|traits| !is_empty(traits)) {
                map.serialize_entry("traits", &JsValue(traits))?;
            }
        }
        if self.image.state == State::Failed {
            self.present(map, "error")?;
        }
        match &self.image.channels {
            Some(channels) if self.form.version == ApiVersion::V2 => {
                map.serialize_entry("channels", channels)
            }
            _ => Ok(()),
        }
    }

    fn present<M: SerializeMap>(&self, map: &mut M, name: &str) -> Result<(), M::Error> {
        match self.raw(name) {
            Some(value) => map.serialize_entry(name, &JsValue(value)),
            None => Ok(()),
        }
    }

    fn non_empty<M: SerializeMap>(&self, map: &mut M, names: &[&str]) -> Result<(), M::Error> {
        let shown = |name: &&&str| self.raw(name).is_some_and(coerce::truthy);
        names.iter().filter(shown).try_for_each(|name| self.present(map, name))
    }
}

impl Serialize for ApiImage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.identity(&mut map)?;
        self.description(&mut map)?;
        self.instance(&mut map)?;
        self.operation(&mut map)?;
        map.end()
    }
}

fn is_empty(traits: &Value) -> bool {
    traits.as_object().map(Map::is_empty).or(traits.as_array().map(Vec::is_empty)).unwrap_or(true)
}

/// A number that is serialised as an integer where it is one.
struct JsNumber(f64);

impl Serialize for JsNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match coerce::whole(self.0) {
            Some(whole) => serializer.serialize_i64(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

/// The `files` member.
struct Files<'a>(ApiImage<'a>);

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ApiImage { image, form } = self.0;
        serializer
            .collect_seq(image.files.iter().map(|file| ApiFile { file, admin_fields: form.admin_fields }))
    }
}

/// One entry of `files`.
struct ApiFile<'a> {
    file: &'a ImageFile,
    admin_fields: bool,
}

impl Serialize for ApiFile<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { file, admin_fields } = self;
        let mut entry = serializer.serialize_struct("File", 5)?;
        entry.serialize_field("sha1", &file.sha1)?;
        entry.serialize_field("size", &file.size)?;
        entry.serialize_field("compression", &file.compression)?;
        if let Some(guid) = &file.dataset_guid {
            entry.serialize_field("dataset_guid", guid)?;
        }
        if *admin_fields {
            entry.serialize_field("stor", &file.stor)?;
        }
        entry.end()
    }
}
