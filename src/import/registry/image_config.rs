// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde::Deserialize;

use super::bounded::Bounded;
use super::digest::Digest;
use super::error::RegistryError;
use super::forms::MAX_LAYERS;
use super::manifest::{Descriptor, ImageManifest};
use crate::telemetry::excerpt;

/// The most steps in the history of an image. Those without a layer do not count as layers.
const MAX_STEPS: usize = 4096;

/// The configuration of an image: how its containers run, and how it was made.
#[derive(Debug, Clone)]
pub struct ImageConfig {
    /// The exact text.
    pub text: String,
    /// For example `linux`; may be empty.
    pub os: String,
    /// For example `amd64`; may be empty.
    pub architecture: String,
    /// When the image was made, as it is written.
    pub created: Option<String>,
    /// The steps that made the image, from the base upwards. May have too few entries, or none.
    pub history: Vec<Step>,
    /// The digests of the uncompressed layers, from the base upwards.
    pub diff_ids: Vec<Digest>,
}

/// A step that made an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Step {
    /// When, as it is written.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// What its author says about it.
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(deserialize_with = "flag")]
    pub empty_layer: bool,
}

/// A layer with what the configuration says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed bytes.
    pub diff_id: Digest,
    /// The index of its step in [`ImageConfig::history`]; `None` if there are too few.
    pub step: Option<usize>,
}

impl ImageLayer {
    /// Returns whether it has no files: some tools store such layers without saying so in the history.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diff_id == Digest::EMPTY_TAR
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    history: Bounded<Step, MAX_STEPS>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Bounded<Digest, MAX_LAYERS>,
}

impl ImageConfig {
    /// Parses a configuration.
    pub(super) fn parse(text: String) -> Result<ImageConfig, RegistryError> {
        let raw: Raw = serde_json::from_str(&text).map_err(|error| {
            let reason = excerpt(&error.to_string());
            RegistryError::Invalid(format!("the image's configuration cannot be used: {reason}"))
        })?;
        Ok(ImageConfig {
            os: raw.os.unwrap_or_default(),
            architecture: raw.architecture.unwrap_or_default(),
            created: raw.created,
            history: raw.history.0,
            diff_ids: raw.rootfs.diff_ids.0,
            text,
        })
    }

    /// Pairs the manifest's layers with the digests of their uncompressed bytes, and with the steps that made them.
    ///
    /// # Errors
    /// There are not as many digests as layers.
    pub fn layers(&self, manifest: &ImageManifest) -> Result<Vec<ImageLayer>, RegistryError> {
        let (layers, diff_ids) = (manifest.layers.len(), self.diff_ids.len());
        if layers != diff_ids {
            let problem =
                format!("the manifest has {layers} layers, and the image's configuration {diff_ids}");
            return Err(RegistryError::Invalid(problem));
        }
        let mut steps = (0..self.history.len()).filter(|step| !self.history[*step].empty_layer);
        let pairs = manifest.layers.iter().zip(&self.diff_ids);
        let layers = pairs.map(|(descriptor, diff_id)| ImageLayer {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
            step: steps.next(),
        });
        Ok(layers.collect())
    }
}

/// Reads a flag that may be `null`.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(digit: char) -> Digest {
        format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
    }

    fn manifest(layers: &[char]) -> ImageManifest {
        let descriptor =
            |digit: &char| Descriptor { media_type: String::new(), digest: digest(*digit), size: 1 };
        ImageManifest { config: descriptor(&'0'), layers: layers.iter().map(descriptor).collect() }
    }

    fn config(history: serde_json::Value, diff_ids: &[Digest]) -> ImageConfig {
        let diff_ids: Vec<String> = diff_ids.iter().map(Digest::to_string).collect();
        let config = json!({"os": "linux", "architecture": null, "history": history, "rootfs": {"diff_ids": diff_ids}});
        ImageConfig::parse(config.to_string()).unwrap()
    }

    #[test]
    fn layers_are_paired_with_their_diff_ids_and_steps() {
        let history =
            json!([{"created_by": "a"}, {"empty_layer": true}, {"created_by": "b", "empty_layer": null}]);
        let config = config(history, &[digest('a'), Digest::EMPTY_TAR]);
        let layers = config.layers(&manifest(&['1', '2'])).unwrap();
        let seen: Vec<_> = layers.iter().map(|layer| (layer.diff_id, layer.step, layer.is_empty())).collect();
        assert_eq!(seen, [(digest('a'), Some(0), false), (Digest::EMPTY_TAR, Some(2), true)]);
        assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", ""));
    }

    #[test]
    fn too_few_steps_do_not_hide_a_layer() {
        for history in [json!(null), json!([]), json!([{"empty_layer": true}])] {
            let layers = config(history, &[digest('a')]).layers(&manifest(&['1'])).unwrap();
            assert_eq!(layers.iter().map(|layer| layer.step).collect::<Vec<_>>(), [None]);
        }
    }

    #[test]
    fn as_many_diff_ids_as_layers_are_needed() {
        let error = config(json!([]), &[digest('a')]).layers(&manifest(&['1', '2'])).unwrap_err();
        assert_eq!(error.to_string(), "the manifest has 2 layers, and the image's configuration 1");
        assert!(ImageConfig::parse("{\"rootfs\":{}}".to_owned()).is_err());
        assert!(ImageConfig::parse("{}".to_owned()).is_err());
    }
}
