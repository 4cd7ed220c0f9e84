// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The API form: what a client sees of an image, in a fixed order of members.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::coerce;
use super::file::ImageFile;
use super::image::Image;
use super::json::{JsObject, JsValue};
use super::kinds::{ApiVersion, ImageType, Mode, State};

/// The options that decide which members a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiForm {
    /// The version of the API that was asked for: 2.x shows `channels`.
    pub version: ApiVersion,
    /// The server's mode: `public` hides `billing_tags` and `traits`.
    pub mode: Mode,
    /// The parameter `inclAdminFields`: shows where files are stored.
    pub admin_fields: bool,
}

/// An image in API form. It borrows the record and is rendered with [`super::json`].
#[derive(Debug, Clone, Copy)]
pub struct ApiImage<'a> {
    image: &'a Image,
    form: ApiForm,
}

impl Image {
    /// The form shown to clients; serialise it with [`super::json`].
    pub fn api(&self, form: &ApiForm) -> ApiImage<'_> {
        ApiImage::new(self, *form)
    }
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
        // A placeholder may lack these members.
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
        self.non_empty(map, &["urn", "requirements"])?;
        self.present(map, "users")
    }

    /// Members that say how to make an instance.
    fn instance<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        // 4.13.1 shows this member only if the stored value is truthy, which the string "false" is.
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
            self.non_empty(map, &["error"])?;
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

/// A number that is serialised as an integer if it is one.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{BASE, DC, FATHER, load, moray_image, small_record};
    use super::super::json::{compact, pretty};
    use super::super::kinds::Rules;
    use super::*;

    const FORM: ApiForm = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: false };

    fn text(image: &Image, form: ApiForm) -> String {
        compact(&image.api(&form)).unwrap()
    }

    fn small(changes: Value) -> Image {
        let rules = Rules { mode: Mode::Dc, channels_configured: true };
        Image::load(small_record(changes), rules).unwrap()
    }

    fn shows(changes: Value, name: &str) -> Option<Value> {
        let text = text(&small(changes), FORM);
        serde_json::from_str::<Value>(&text).unwrap().get(name).cloned()
    }

    #[test]
    fn a_record_of_4_13_1_looks_as_4_13_1_shows_it() {
        let expected = r#"{
  "v": 2,
  "uuid": "fee1dead-0000-4000-8000-000000000001",
  "owner": "91ba0e64-2547-11e2-a972-df579e5fddb3",
  "name": "probe2",
  "version": "2.0.0",
  "state": "disabled",
  "disabled": false,
  "public": false,
  "published_at": "2013-01-01T00:00:00.000Z",
  "type": "zone-dataset",
  "os": "linux",
  "files": [
    {
      "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
      "size": 5,
      "compression": "none"
    }
  ],
  "description": "zz",
  "homepage": "http://y.com",
  "eula": "http://z.com",
  "users": [
    {
      "name": "root"
    }
  ],
  "inherited_directories": [
    "/a"
  ],
  "tags": {}
}"#;
        let image = moray_image("fee1dead-0000-4000-8000-000000000001");
        assert_eq!(pretty(&image.api(&FORM)).unwrap(), expected);
    }

    #[test]
    fn a_legacy_acl_is_shown_as_a_list() {
        let expected = concat!(
            r#"{"v":2,"uuid":"7a1b1967-6ecf-1e4c-8f09-f49094cc36ad","owner":"86055c40-2547-11e2-8a6b-4bb37edc84ba","#,
            r#""name":"i-am-your-father","version":"0.0.1","state":"active","disabled":false,"public":false,"#,
            r#""published_at":"2012-11-02T22:46:45.992Z","type":"zone-dataset","os":"smartos","#,
            r#""files":[{"sha1":"25592745c0b06822e0a4c9e9945e67322bdfe619","size":42,"compression":"gzip"}],"#,
            r#""acl":["91ba0e64-2547-11e2-a972-df579e5fddb3"]}"#
        );
        assert_eq!(text(&moray_image(FATHER), FORM), expected);
    }

    #[test]
    fn every_member_has_its_place() {
        let image = small(json!({
            "channels": ["dev"], "error": {"message": "x"}, "traits": {"a": true}, "billing_tags": ["b"],
            "tagsObj": {"k": 1.0, "7": "x"}, "tags": ["k=1"], "image_size": "16384", "cpu_type": "host", "disk_driver": "virtio",
            "nic_driver": "virtio", "origin": BASE, "generate_passwords": "true", "users": [], "requirements": {},
            "urn": "sdc:sdc:a:1", "icon": {"sha1": "aa", "size": 4, "contentType": "image/png"},
            "eula": "http://a", "homepage": "http://b", "description": "d", "acl": [BASE],
            "files": [{"sha1": "aa", "size": 1, "compression": "xz", "stor": "manta", "dataset_guid": "9", "digest": "sha256:x"}],
            "os": "linux", "type": "zvol", "published_at": "2012-11-02T22:46:45Z", "public": "true", "disabled": "false",
            "state": "failed", "v": "2", "expires_at": "x", "activated": true,
        }));
        let expected = format!(
            concat!(
                r#"{{"v":2,"uuid":"{base}","owner":"ba28f844-8cb4-f141-882d-46d6251e6a9f","name":"base","version":"1.0","#,
                r#""state":"failed","disabled":false,"public":true,"published_at":"2012-11-02T22:46:45Z","#,
                r#""type":"zvol","os":"linux","files":[{{"sha1":"aa","size":1,"compression":"xz","dataset_guid":"9","stor":"manta"}}],"#,
                r#""acl":["{base}"],"description":"d","homepage":"http://b","eula":"http://a","icon":true,"#,
                r#""urn":"sdc:sdc:a:1","requirements":{{}},"users":[],"generate_passwords":true,"origin":"{base}","#,
                r#""nic_driver":"virtio","disk_driver":"virtio","cpu_type":"host","image_size":16384,"#,
                r#""tags":{{"7":"x","k":1}},"billing_tags":["b"],"traits":{{"a":true}},"error":{{"message":"x"}},"channels":["dev"]}}"#
            ),
            base = BASE
        );
        assert_eq!(text(&image, ApiForm { admin_fields: true, ..FORM }), expected);
    }

    #[test]
    fn empty_and_hidden_members_are_left_out() {
        for (changes, name) in [
            (json!({"acl": []}), "acl"),
            (json!({"description": ""}), "description"),
            (json!({"urn": ""}), "urn"),
            (json!({"billing_tags": []}), "billing_tags"),
            (json!({"traits": {}}), "traits"),
            (json!({"error": {"message": "x"}}), "error"),
            (json!({"generate_passwords": false}), "generate_passwords"),
            (json!({"expires_at": "x"}), "expires_at"),
            (json!({"activated": false}), "activated"),
            (json!({"tags": null}), "tags"),
        ] {
            assert_eq!(shows(changes, name), None, "{name}");
        }
        assert_eq!(shows(json!({"generate_passwords": "false"}), "generate_passwords"), Some(json!(false)));
        assert_eq!(shows(json!({"tags": []}), "tags"), Some(json!({})));
        assert_eq!(shows(json!({}), "files"), Some(json!([])));
    }

    #[test]
    fn version_mode_and_state_hide_members() {
        let image = small(json!({"channels": ["dev"], "billing_tags": ["b"], "traits": {"a": "b"}}));
        assert!(
            text(&image, FORM).ends_with(r#""billing_tags":["b"],"traits":{"a":"b"},"channels":["dev"]}"#)
        );
        assert!(
            text(&image, ApiForm { version: ApiVersion::V1, ..FORM }).ends_with(r#""traits":{"a":"b"}}"#)
        );
        assert!(
            text(&image, ApiForm { mode: Mode::Public, ..FORM })
                .ends_with(r#""files":[],"channels":["dev"]}"#)
        );
    }

    #[test]
    fn a_placeholder_shows_no_type() {
        let record = small_record(json!({"state": "creating", "type": "null", "os": "null"}));
        let text = text(&Image::load(record, DC).unwrap(), FORM);
        assert!(
            text.ends_with(r#""state":"creating","disabled":false,"public":false,"files":[]}"#),
            "{text}"
        );
    }

    #[test]
    fn plain_serialisation_has_whole_numbers_too() {
        let image = load(Value::Object(small_record(json!({"v": 2.0}))));
        assert!(serde_json::to_string(&image.api(&FORM)).unwrap().starts_with(r#"{"v":2,"#));
    }
}
