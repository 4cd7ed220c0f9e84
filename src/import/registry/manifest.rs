// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manifests of images, in the forms that registries store.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::bounded::Bounded;
use super::digest::Digest;
use super::error::RegistryError;
use super::forms::{
    DOCKER_LIST, DOCKER_MANIFEST, MAX_LAYERS, OCI_INDEX, OCI_MANIFEST, SCHEMA1, SIGNED_SCHEMA1,
};
use super::schema1::Schema1;
use crate::telemetry::excerpt;

/// The most images of an index.
const MAX_IMAGES: usize = 1000;

/// The manifest of one image.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The exact text: the digest is made from it.
    pub text: String,
    /// Its media type.
    pub media_type: String,
    /// Its digest. For schema 1, that of the signed part.
    pub digest: Digest,
    /// What it says.
    pub content: Content,
}

impl Manifest {
    /// Reads the text of the manifest of one image, which did not come from a registry.
    ///
    /// # Errors
    /// It cannot be used, or is an index.
    pub fn from_text(text: String) -> Result<Manifest, RegistryError> {
        let (parsed, media_type) = parse(&text, None)?;
        let (content, digest) = match parsed {
            Parsed::Image(image) => (Content::Image(image), Digest::of(text.as_bytes())),
            Parsed::Schema1(schema1) => {
                let digest = schema1.digest;
                (Content::Schema1(schema1), digest)
            }
            Parsed::Index(_) => return Err(invalid("it is an index, not an image")),
        };
        Ok(Manifest { text, media_type, digest, content })
    }
}

/// What a manifest says.
#[derive(Debug, Clone)]
pub enum Content {
    /// Docker's schema 2, or OCI's form of it.
    Image(ImageManifest),
    /// Docker's first form, with all configurations in the manifest.
    Schema1(Schema1),
}

/// An image: a configuration, and layers from the base upwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers; at most [`MAX_LAYERS`].
    pub layers: Vec<Descriptor>,
}

/// Names a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Descriptor {
    /// The media type; may be empty.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The length in bytes that the image's author claims. Registries do not check it, so it is for progress only.
    #[serde(default)]
    pub size: u64,
}

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// For example `linux`.
    pub os: String,
    /// For example `amd64`.
    pub architecture: String,
    /// For example `v8`. Without it every variant will do.
    pub variant: Option<String>,
}

impl Default for Platform {
    fn default() -> Platform {
        Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

/// The text is not of the form `os/architecture[/variant]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a platform is OS/ARCHITECTURE, optionally followed by /VARIANT")]
pub struct InvalidPlatform;

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Platform, InvalidPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match parts[..] {
            [os, architecture, ref variant @ ..] if variant.len() < 2 && parts.iter().all(is_word) => {
                let [os, architecture] = [os, architecture].map(str::to_owned);
                Ok(Platform { os, architecture, variant: variant.first().map(|text| (*text).to_owned()) })
            }
            _ => Err(InvalidPlatform),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// What is found under a tag or a digest.
#[derive(Debug)]
pub(super) enum Parsed {
    Image(ImageManifest),
    Schema1(Schema1),
    Index(Index),
}

/// A Docker manifest list, or an OCI index.
#[derive(Debug)]
pub(super) struct Index(Vec<Entry>);

#[derive(Debug, Deserialize)]
struct Entry {
    digest: Digest,
    platform: Option<EntryPlatform>,
}

#[derive(Debug, Deserialize)]
struct EntryPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "schemaVersion")]
    schema_version: u64,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Bounded<Descriptor, MAX_LAYERS>>,
    manifests: Option<Bounded<Entry, MAX_IMAGES>>,
}

/// Parses a manifest of any form. Returns its media type, too: the one in the header `Content-Type`, which OCI
/// manifests need because `mediaType` is optional in them, or else the one in the text, or else the OCI type of its form.
pub(super) fn parse(text: &str, header: Option<&str>) -> Result<(Parsed, String), RegistryError> {
    let header =
        header.and_then(|header| header.split(';').next()).map(|header| header.trim().to_ascii_lowercase());
    let raw: Raw = serde_json::from_str(text).map_err(|error| unusable(&error))?;
    let known = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, SIGNED_SCHEMA1, SCHEMA1];
    let declared = header.filter(|header| known.contains(&header.as_str())).or(raw.media_type);
    let declared = declared.filter(|declared| known.contains(&declared.as_str()));
    // A text that is both an image and an index would mean one to this server and the other to somebody else.
    let (parsed, types, usual) = match (raw.schema_version, raw.config, raw.layers, raw.manifests) {
        (1, ..) => (Parsed::Schema1(Schema1::parse(text)?), [SIGNED_SCHEMA1, SCHEMA1], SIGNED_SCHEMA1),
        (2, Some(config), Some(layers), None) => {
            let image = ImageManifest { config, layers: layers.0 };
            (Parsed::Image(image), [DOCKER_MANIFEST, OCI_MANIFEST], OCI_MANIFEST)
        }
        (2, None, None, Some(manifests)) => {
            (Parsed::Index(Index(manifests.0)), [DOCKER_LIST, OCI_INDEX], OCI_INDEX)
        }
        _ => return Err(invalid("it is neither an image nor an index")),
    };
    let media_type = declared.unwrap_or_else(|| usual.to_owned());
    if !types.contains(&media_type.as_str()) {
        return Err(invalid("its media type is that of another form"));
    }
    Ok((parsed, media_type))
}

impl Index {
    /// Returns the digest of the first image for this platform.
    pub(super) fn choose(&self, platform: &Platform) -> Result<Digest, RegistryError> {
        let suits = |entry: &&Entry| {
            entry.platform.as_ref().is_some_and(|offered| {
                offered.os == platform.os
                    && offered.architecture == platform.architecture
                    && platform.variant.as_ref().is_none_or(|variant| *variant == offered.variant)
            })
        };
        let found = self.0.iter().find(suits).map(|entry| entry.digest);
        found.ok_or_else(|| RegistryError::Invalid(format!("the image is not available for {platform}")))
    }
}

fn unusable(error: &serde_json::Error) -> RegistryError {
    invalid(&excerpt(&error.to_string()))
}

fn invalid(reason: &str) -> RegistryError {
    RegistryError::Invalid(format!("the manifest cannot be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn descriptor(digit: char) -> Value {
        json!({"mediaType": "x", "digest": digest(digit), "size": 7})
    }

    fn image() -> Value {
        json!({"schemaVersion": 2, "config": descriptor('a'), "layers": [descriptor('b'), descriptor('c')]})
    }

    fn index() -> Value {
        let entry = |digit, os: &str, architecture: &str, variant: &str| json!({"digest": digest(digit), "platform": {"os": os, "architecture": architecture, "variant": variant}});
        json!({"schemaVersion": 2, "manifests": [
            {"digest": digest('0')},
            entry('1', "unknown", "unknown", ""),
            entry('2', "linux", "arm64", "v8"),
            entry('3', "linux", "amd64", "v3"),
            entry('4', "linux", "amd64", ""),
        ]})
    }

    fn media_type(manifest: &Value, header: Option<&str>) -> Result<String, RegistryError> {
        parse(&manifest.to_string(), header).map(|(_, media_type)| media_type)
    }

    #[test]
    fn the_media_type_is_in_the_header_or_the_text_or_that_of_the_form() {
        let with = |manifest: Value, name: &str| {
            let mut manifest = manifest;
            manifest["mediaType"] = name.into();
            manifest
        };
        assert_eq!(media_type(&image(), None).unwrap(), OCI_MANIFEST);
        assert_eq!(media_type(&image(), Some(DOCKER_MANIFEST)).unwrap(), DOCKER_MANIFEST);
        assert_eq!(media_type(&image(), Some("application/json; charset=utf-8")).unwrap(), OCI_MANIFEST);
        assert_eq!(media_type(&with(image(), DOCKER_MANIFEST), Some("text/plain")).unwrap(), DOCKER_MANIFEST);
        assert_eq!(media_type(&index(), Some(DOCKER_LIST)).unwrap(), DOCKER_LIST);
        assert_eq!(media_type(&with(index(), OCI_INDEX), None).unwrap(), OCI_INDEX);
        assert!(media_type(&index(), Some(DOCKER_MANIFEST)).is_err());
        assert!(media_type(&with(image(), OCI_INDEX), None).is_err());
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let mut both = image();
        both["manifests"] = index()["manifests"].clone();
        assert!(media_type(&both, None).is_err());
        let text = image().to_string();
        assert!(parse(&text.replace("\"layers\"", "\"config\":null,\"layers\""), None).is_err());
        for name in ["schemaVersion", "config", "layers"] {
            let mut manifest = image();
            manifest.as_object_mut().unwrap().remove(name);
            assert!(media_type(&manifest, None).is_err(), "{name}");
        }
    }

    #[test]
    fn the_number_of_layers_is_limited() {
        let mut manifest = image();
        manifest["layers"] = vec![descriptor('d'); MAX_LAYERS].into();
        assert!(media_type(&manifest, None).is_ok());
        manifest["layers"] = vec![descriptor('d'); MAX_LAYERS + 1].into();
        assert!(media_type(&manifest, None).is_err());
    }

    #[test]
    fn deep_json_is_no_danger() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = image().to_string();
        // What nobody reads is skipped, however deep it is.
        assert!(parse(&text.replacen('{', &format!("{{\"annotations\":{deep},"), 1), None).is_ok());
        for name in ["config", "layers", "manifests", "schemaVersion", "mediaType"] {
            assert!(parse(&format!("{{\"{name}\":{deep}}}"), None).is_err(), "{name}");
        }
    }

    #[test]
    fn an_index_offers_the_first_image_for_a_platform() {
        let chosen = |platform: &str| {
            let (Parsed::Index(index), _) = parse(&index().to_string(), None).unwrap() else {
                unreachable!()
            };
            index.choose(&platform.parse().unwrap()).map(|digest| digest.to_string())
        };
        assert_eq!(chosen("linux/amd64").unwrap(), digest('3'));
        assert_eq!(chosen("linux/arm64").unwrap(), digest('2'));
        assert_eq!(chosen("linux/arm64/v8").unwrap(), digest('2'));
        let error = chosen("linux/arm64/v7").unwrap_err();
        assert_eq!(error.to_string(), "the image is not available for linux/arm64/v7");
        assert_eq!("linux/amd64".parse(), Ok(Platform::default()));
        for wrong in ["", "linux", "linux/", "/amd64", "a/b/c/d", "a/b c"] {
            assert_eq!(wrong.parse::<Platform>(), Err(InvalidPlatform), "{wrong}");
        }
    }
}
