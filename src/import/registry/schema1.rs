// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Docker's first form of a manifest, which has the configuration of every layer in it. Registries convert newer images to
//! it for clients that do not ask for anything better, with another signature each time, so it is no identity of an image.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bounded::Bounded;
use super::digest::Digest;
use super::error::RegistryError;
use super::forms::{DOCKER_MANIFEST, MAX_LAYERS};
use super::jws;
use crate::telemetry::excerpt;

/// The most steps of an image, with and without layers.
const MAX_STEPS: usize = 1024;

const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What belongs to a layer's place in an image, and not to an image.
const OF_LAYERS: [&str; 6] = ["id", "parent", "parent_id", "layer_id", "Size", "throwaway"];

/// A manifest whose signature was verified.
#[derive(Debug, Clone)]
pub struct Schema1 {
    /// The steps that made the image, from the base upwards.
    pub steps: Vec<Schema1Step>,
    pub(super) digest: Digest,
}

/// A step that made an image.
#[derive(Debug, Clone)]
pub struct Schema1Step {
    /// The layer's blob.
    pub blob: Digest,
    /// The configuration of the image as it was after this step.
    pub config: Map<String, Value>,
    /// Whether it changed no file, so that its layer is to be ignored.
    pub is_empty: bool,
}

/// What is known about a layer of a schema 1 image after it was downloaded.
#[derive(Debug, Clone, Copy)]
pub struct DownloadedLayer {
    /// The blob.
    pub blob: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its uncompressed bytes.
    pub diff_id: Digest,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "fsLayers")]
    layers: Bounded<RawLayer, MAX_STEPS>,
    history: Bounded<RawStep, MAX_STEPS>,
}

#[derive(Deserialize)]
struct RawLayer {
    #[serde(rename = "blobSum")]
    blob: Digest,
}

#[derive(Deserialize)]
struct RawStep {
    #[serde(rename = "v1Compatibility")]
    config: String,
}

impl Schema1 {
    /// Verifies the signatures, and reads what is signed: other members of the text do not count.
    pub(super) fn parse(text: &str) -> Result<Schema1, RegistryError> {
        let signed = jws::verified(text).map_err(|problem| invalid(&problem))?;
        let raw: Raw = serde_json::from_slice(&signed).map_err(|error| unusable(&error))?;
        if raw.layers.0.len() != raw.history.0.len() || raw.layers.0.is_empty() {
            return Err(invalid("it does not have a configuration for each layer"));
        }
        let pairs = raw.layers.0.into_iter().zip(raw.history.0).rev();
        let steps: Result<Vec<Schema1Step>, RegistryError> =
            pairs.map(|(layer, step)| Schema1Step::new(layer.blob, &step)).collect();
        let steps = steps?;
        if steps.iter().filter(|step| !step.is_empty).count() > MAX_LAYERS {
            return Err(invalid(&format!("it has more than {MAX_LAYERS} layers")));
        }
        Ok(Schema1 { steps, digest: Digest::of(&signed) })
    }

    /// Makes the configuration and the schema 2 manifest that Docker would make of this image, as texts. `layers` are
    /// those of the steps that are not empty, in their order.
    #[must_use]
    pub fn converted(&self, layers: &[DownloadedLayer]) -> (String, String) {
        let mut config = self.steps.last().map(|step| step.config.clone()).unwrap_or_default();
        config.retain(|name, _| !OF_LAYERS.contains(&name.as_str()));
        let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        config.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": diff_ids}));
        config.insert("history".to_owned(), self.steps.iter().map(Schema1Step::history).collect());
        let config = Value::Object(config).to_string();
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| json!({"mediaType": LAYER_TYPE, "size": layer.size, "digest": layer.blob.to_string()}))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {
                "mediaType": CONFIG_TYPE, "size": config.len(), "digest": Digest::of(config.as_bytes()).to_string(),
            },
            "layers": layers,
        });
        (config, indented(&manifest))
    }
}

impl Schema1Step {
    fn new(blob: Digest, step: &RawStep) -> Result<Schema1Step, RegistryError> {
        let config: Map<String, Value> =
            serde_json::from_str(&step.config).map_err(|error| unusable(&error))?;
        let command = command(&config);
        let is_empty = command.contains("#(nop)")
            && !["ADD ", "COPY ", "RUN "].iter().any(|changing| command.contains(changing));
        Ok(Schema1Step { blob, config, is_empty })
    }

    /// Returns the entry in the history of a newer configuration.
    fn history(&self) -> Value {
        let mut entry = Map::new();
        let text = |name: &str| self.config.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        for name in ["created", "author", "comment"] {
            entry.extend(text(name).map(|text| (name.to_owned(), text.into())));
        }
        let command = command(&self.config);
        if !command.is_empty() {
            entry.insert("created_by".to_owned(), command.into());
        }
        if self.is_empty {
            entry.insert("empty_layer".to_owned(), true.into());
        }
        Value::Object(entry)
    }
}

/// Returns the words of the command that made a layer.
fn command(config: &Map<String, Value>) -> String {
    let words = config.get("container_config").and_then(|config| config.get("Cmd")?.as_array());
    let words = words.into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}

/// Writes JSON with an indentation of four blanks, as 4.13.1 wrote these manifests.
fn indented(value: &Value) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Neither a JSON value nor a write to memory can fail.
    let _ = serde::Serialize::serialize(value, &mut writer);
    String::from_utf8(text).unwrap_or_default()
}

fn unusable(error: &serde_json::Error) -> RegistryError {
    invalid(&excerpt(&error.to_string()))
}

fn invalid(reason: &str) -> RegistryError {
    RegistryError::Invalid(format!("the manifest of schema 1 cannot be used: {reason}"))
}
