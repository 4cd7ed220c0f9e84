// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manifest of an image that comes from an image server of LXD.

use serde_json::{Value, json};
use time::{Date, Month};

use crate::images::{ApiError, ApiResult, Code};
use crate::import::LxdImage;
use crate::manifest::create::CreateContext;
use crate::manifest::import::import;
use crate::manifest::{Image, ImageType, Mode, Os, Record};

/// Makes the unactivated image, without files. `registry` is the name of the server in the configuration.
pub(super) fn draft(image: &LxdImage, registry: &str, context: &CreateContext) -> ApiResult<Image> {
    let name = image.published_name.as_ref().unwrap_or(&image.product);
    let manifest = json!({
        "v": 2,
        "uuid": context.uuid,
        "name": only(name, "-_./ "),
        "version": only(&image.version, "-_./+"),
        "description": image.product,
        "type": ImageType::Lxd.as_str(),
        "os": Os::Linux.as_str(),
        // A server for everybody has public images only.
        "public": context.rules.mode == Mode::Public,
        "published_at": published_at(&image.version)?,
        "requirements": {"brand": "lx"},
        "tags": tags(image, name, registry),
    });
    let manifest = match manifest {
        Value::Object(manifest) => manifest,
        _ => Record::new(),
    };
    Ok(import(manifest, context)?)
}

fn tags(image: &LxdImage, name: &str, registry: &str) -> Record {
    let root = image.files.root();
    let tags = [
        ("arch", Some(&image.arch)),
        ("aliases", Some(&image.aliases)),
        ("fingerprint", Some(&image.fingerprint)),
        ("ftype", Some(&root.ftype)),
        ("name", Some(&name.to_owned())),
        ("os", image.os.as_ref()),
        ("path", Some(&root.path)),
        ("release", image.release.as_ref()),
        ("release_title", image.release_title.as_ref()),
        ("repo", Some(&registry.to_owned())),
        ("sha256", Some(&root.sha256)),
    ];
    tags.into_iter().filter_map(|(name, value)| Some((format!("lxd:{name}"), json!(value?)))).collect()
}

/// Replaces every character that a manifest cannot have.
fn only(text: &str, more: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || more.contains(c) { c } else { '_' }).collect()
}

/// Returns midnight of the date at the beginning of a version.
fn published_at(version: &str) -> ApiResult<String> {
    let number = |from: usize, to: usize| {
        version.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    let date = || {
        let month = Month::try_from(u8::try_from(number(4, 6)?).ok()?).ok()?;
        Date::from_calendar_date(number(0, 4)?, month, u8::try_from(number(6, 8)?).ok()?).ok()
    };
    let date = date().ok_or_else(|| {
        ApiError::new(Code::InvalidContent, format!("the version {version:?} does not begin with a date"))
    })?;
    Ok(format!("{:04}-{:02}-{:02}T00:00:00.000Z", date.year(), u8::from(date.month()), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{LxdFile, LxdFiles};
    use crate::manifest::{Rules, Uuid};

    fn image() -> LxdImage {
        let file = LxdFile {
            ftype: "lxd_combined.tar.gz".into(),
            path: "images/a.tar.gz".into(),
            sha256: "b".repeat(64),
            size: Some(5),
        };
        LxdImage {
            product: "alpine:3.16:amd64:default".into(),
            version: "20221008_13:00".into(),
            published_name: None,
            arch: "amd64".into(),
            aliases: "alpine/3.16,alpine/3.16/default".into(),
            os: Some("Alpine".into()),
            release: Some("3.16".into()),
            release_title: None,
            fingerprint: "a".repeat(64),
            files: LxdFiles::Combined(file),
        }
    }

    fn draft_of(image: &LxdImage, mode: Mode) -> ApiResult<Image> {
        let context = CreateContext {
            uuid: Uuid::of_digest(&image.fingerprint).unwrap(),
            owner: Some(Uuid::NIL),
            channel: None,
            rules: Rules { mode, channels_configured: false },
        };
        draft(image, "images", &context)
    }

    #[test]
    fn a_manifest_says_where_the_image_comes_from() {
        let draft = draft_of(&image(), Mode::Dc).unwrap();
        assert_eq!(draft.uuid().to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
        assert_eq!((draft.name(), draft.version()), ("alpine_3.16_amd64_default", "20221008_13_00"));
        assert_eq!(draft.published_at(), Some("2022-10-08T00:00:00.000Z"));
        assert_eq!((draft.public(), draft.image_type()), (false, Some(ImageType::Lxd)));
        assert_eq!(draft.record()["requirements"], json!({"brand": "lx"}));
        assert_eq!(draft.record()["description"], "alpine:3.16:amd64:default");
        let expected = json!({
            "lxd:arch": "amd64", "lxd:aliases": "alpine/3.16,alpine/3.16/default", "lxd:fingerprint": "a".repeat(64),
            "lxd:ftype": "lxd_combined.tar.gz", "lxd:name": "alpine:3.16:amd64:default", "lxd:os": "Alpine",
            "lxd:path": "images/a.tar.gz", "lxd:release": "3.16", "lxd:repo": "images", "lxd:sha256": "b".repeat(64),
        });
        assert_eq!(Value::from(draft.tags().unwrap().clone()), expected);
    }

    #[test]
    fn a_published_name_is_the_name() {
        let published = LxdImage { published_name: Some("ubuntu jammy;22.04+é".into()), ..image() };
        let draft = draft_of(&published, Mode::Dc).unwrap();
        assert_eq!(draft.name(), "ubuntu jammy_22.04__");
        assert_eq!(draft.tags().unwrap()["lxd:name"], "ubuntu jammy;22.04+é");
    }

    #[test]
    fn on_a_public_server_the_image_is_public() {
        assert!(draft_of(&image(), Mode::Public).unwrap().public());
        assert!(!draft_of(&image(), Mode::Private).unwrap().public());
    }

    #[test]
    fn a_version_without_a_date_is_refused() {
        for bad in ["", "2022", "20221308", "20220230_1", "x0221008", "+0221008", "é2022100"] {
            let error = draft_of(&LxdImage { version: bad.into(), ..image() }, Mode::Dc).unwrap_err();
            assert_eq!(error.code(), Code::InvalidContent, "{bad}");
        }
    }
}
