// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manifests and configurations.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::connection::{Registry, collect};
use super::digest::Digest;
use super::error::RegistryError;
use super::forms::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, SIGNED_SCHEMA1};
use super::image_config::ImageConfig;
use super::manifest::{Content, Descriptor, Manifest, Parsed, Platform, parse};
use super::reference::Revision;

/// The longest manifest, which is what registries accept, and the longest configuration, in bytes.
const MAX_MANIFEST: usize = 4 << 20;
const MAX_CONFIG: u64 = 8 << 20;

/// How many indexes may be between a tag and an image.
const MAX_DEPTH: usize = 3;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Registry {
    /// Fetches the manifest of an image. If there are images for several platforms, it is the one for `platform`.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub async fn manifest(
        &self,
        revision: &Revision,
        platform: &Platform,
    ) -> Result<Manifest, RegistryError> {
        let mut revision = revision.clone();
        for _ in 0..=MAX_DEPTH {
            let (parsed, manifest) = self.any_manifest(&revision).await?;
            let content = match parsed {
                Parsed::Image(image) => Content::Image(image),
                Parsed::Schema1(schema1) => Content::Schema1(schema1),
                Parsed::Index(index) => {
                    revision = Revision::Digest(index.choose(platform)?);
                    continue;
                }
            };
            let Unread { text, media_type, digest } = manifest;
            return Ok(Manifest { text, media_type, digest, content });
        }
        Err(RegistryError::Invalid("too many indexes lead to the image".to_owned()))
    }

    /// Fetches a manifest of any form. All forms are asked for, by exact names: without them registries deny that there is
    /// anything, or convert it.
    async fn any_manifest(&self, revision: &Revision) -> Result<(Parsed, Unread), RegistryError> {
        let what = format!("manifest of {}:{revision}", self.repository().canonical_name());
        let mut headers = HeaderMap::new();
        let forms = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, SIGNED_SCHEMA1];
        if let Ok(forms) = HeaderValue::from_str(&forms.join(", ")) {
            headers.insert(ACCEPT, forms);
        }
        let url = self.url_of("manifests", &revision.to_string());
        let answer = self.call(Method::GET, url, headers, &what).await?;
        if answer.token_refused {
            // The user may use the registry, so that the repository does not exist, or is not shown to this user.
            return Err(RegistryError::NotFound { host: self.host(), what });
        }
        if answer.response.status() != 200 {
            return Err(self.refused(answer.response, &what).await);
        }
        let text = |name: HeaderName| answer.response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (media_type, announced) = (text(CONTENT_TYPE), text(CONTENT_DIGEST));
        let body = collect(&self.host(), answer.response, MAX_MANIFEST).await?;
        let expected = match revision {
            Revision::Digest(digest) => Some(*digest),
            Revision::Tag(_) => announced.and_then(|announced| announced.parse().ok()),
        };
        let read = tokio::task::spawn_blocking(move || {
            let body = String::from_utf8(body.into())
                .map_err(|_| RegistryError::Invalid("the manifest is no text".to_owned()))?;
            let (parsed, media_type) = parse(&body, media_type.as_deref())?;
            let digest = digest(&parsed, &body, expected).map_err(|actual| {
                let expected = expected.unwrap_or(actual);
                RegistryError::OtherDigest { what, expected, actual }
            })?;
            Ok((parsed, Unread { text: body, media_type, digest }))
        });
        read.await.unwrap_or_else(|stopped| Err(RegistryError::Invalid(stopped.to_string())))
    }

    /// Fetches and parses the configuration of an image.
    ///
    /// # Errors
    /// It cannot be fetched or used, or its digest is not that of the descriptor.
    pub async fn config(&self, descriptor: &Descriptor) -> Result<ImageConfig, RegistryError> {
        let body = self.small_blob(descriptor, MAX_CONFIG).await?;
        let read = tokio::task::spawn_blocking(move || {
            let text = String::from_utf8(body);
            let text =
                text.map_err(|_| RegistryError::Invalid("the image's configuration is no text".to_owned()));
            ImageConfig::parse(text?)
        });
        read.await.unwrap_or_else(|stopped| Err(RegistryError::Invalid(stopped.to_string())))
    }
}

/// A manifest without what it says.
struct Unread {
    text: String,
    media_type: String,
    digest: Digest,
}

/// Returns the digest of a manifest, or as an error the digest that differs from the expected one. A manifest of schema 1
/// has the digest of its signed part; some registries announce that of the whole text, or of another signature.
fn digest(parsed: &Parsed, text: &str, expected: Option<Digest>) -> Result<Digest, Digest> {
    let whole = Digest::of(text.as_bytes());
    match parsed {
        Parsed::Schema1(schema1) => {
            let is_expected = expected.is_none_or(|expected| [schema1.digest, whole].contains(&expected));
            if is_expected { Ok(schema1.digest) } else { Err(schema1.digest) }
        }
        Parsed::Image(_) | Parsed::Index(_) => {
            if expected.is_none_or(|expected| expected == whole) {
                Ok(whole)
            } else {
                Err(whole)
            }
        }
    }
}
