// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::server::{Answer, Server};
use super::*;
use crate::import::registry::{Content, DownloadedLayer, Manifest, Platform, Schema1};

fn digest(number: usize) -> Digest {
    format!("sha256:{number:064}").parse().unwrap()
}

/// A manifest with these commands, from the base upwards. The newest comes first in the text.
fn unsigned(commands: &[&str]) -> String {
    let steps = commands.iter().enumerate().rev();
    let (layers, history): (Vec<Value>, Vec<Value>) = steps
        .map(|(index, command)| {
            let config = json!({
                "id": index.to_string(), "parent": "p", "created": format!("2020-01-0{}", index + 1), "os": "linux",
                "architecture": "amd64", "config": {"Cmd": [index.to_string()]}, "throwaway": true,
                "container_config": {"Cmd": ["/bin/sh", "-c", command]},
            });
            (json!({"blobSum": digest(index).to_string()}), json!({"v1Compatibility": config.to_string()}))
        })
        .unzip();
    let manifest =
        json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": layers, "history": history});
    serde_json::to_string_pretty(&manifest).unwrap()
}

/// Signs a manifest as Docker's registry does.
fn signed(text: &str) -> String {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let front = text.trim_end_matches(['}', '\n']);
    let tail = &text[front.len()..];
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let protected = json!({"formatLength": front.len(), "formatTail": encode(tail.as_bytes()), "time": "2020-01-01T00:00:00Z"});
    let protected = encode(protected.to_string().as_bytes());
    let signature = key.sign(&random, format!("{protected}.{}", encode(text.as_bytes())).as_bytes()).unwrap();
    let point = key.public_key().as_ref();
    let jwk = json!({"crv": "P-256", "kid": "x", "kty": "EC", "x": encode(&point[1..33]), "y": encode(&point[33..])});
    let signature = json!([{
        "header": {"jwk": jwk, "alg": "ES256"}, "signature": encode(signature.as_ref()), "protected": protected,
    }]);
    format!("{front},\n   \"signatures\": {signature}\n}}")
}

async fn fetched(text: String) -> Result<Manifest, RegistryError> {
    let server = Server::start(move |_, _| {
        Answer::new(200, text.clone())
            .header("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            .header("docker-content-digest", Digest::of(text.as_bytes()))
    })
    .await;
    registry(&server).manifest(&tag(), &Platform::default()).await
}

async fn schema1(text: &str) -> Result<Schema1, RegistryError> {
    fetched(text.to_owned()).await.map(|manifest| match manifest.content {
        Content::Schema1(schema1) => schema1,
        Content::Image(_) => unreachable!(),
    })
}

const COMMANDS: [&str; 4] =
    ["#(nop) ADD file:x in / ", "#(nop) CMD [\"sh\"]", "apt-get install x", "#(nop) COPY dir:x in /"];

#[tokio::test]
async fn a_signed_manifest_has_its_steps_from_the_base_upwards() {
    let text = unsigned(&COMMANDS);
    let manifest = fetched(signed(&text)).await.unwrap();
    assert_eq!(manifest.digest, Digest::of(text.as_bytes()));
    assert_eq!(manifest.media_type, "application/vnd.docker.distribution.manifest.v1+prettyjws");
    let Content::Schema1(schema1) = manifest.content else { unreachable!() };
    let steps: Vec<_> = schema1.steps.iter().map(|step| (step.blob, step.is_empty)).collect();
    assert_eq!(steps, [(digest(0), false), (digest(1), true), (digest(2), false), (digest(3), false)]);
    assert_eq!(schema1.steps[2].config["id"], "2");
}

#[tokio::test]
async fn it_can_be_converted_after_its_layers_came() {
    let schema1 = schema1(&signed(&unsigned(&COMMANDS))).await.unwrap();
    let layers =
        [0, 2, 3].map(|step| DownloadedLayer { blob: digest(step), size: 7, diff_id: digest(step + 10) });
    let (config, manifest) = schema1.converted(&layers);
    let parsed: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(parsed["config"]["Cmd"], json!(["3"]));
    assert_eq!(parsed["rootfs"]["diff_ids"], json!([10, 12, 13].map(|number| digest(number).to_string())));
    let history = parsed["history"].as_array().unwrap();
    assert_eq!(history[1]["created_by"], "/bin/sh -c #(nop) CMD [\"sh\"]");
    let empty: Vec<_> = history.iter().map(|step| step.get("empty_layer").is_some()).collect();
    assert_eq!(empty, [false, true, false, false]);
    for name in ["id", "parent", "throwaway"] {
        assert!(parsed.get(name).is_none(), "{name}");
    }
    assert!(manifest.starts_with("{\n    \"schemaVersion\": 2,\n"));
    // The result is an image like any other.
    let read = super::super::manifest::parse(&manifest, None).unwrap();
    let (super::super::manifest::Parsed::Image(image), _) = read else { unreachable!() };
    assert_eq!(image.config.digest, Digest::of(config.as_bytes()));
    let config = super::super::image_config::ImageConfig::parse(config).unwrap();
    let steps: Vec<_> = config.layers(&image).unwrap().iter().map(|layer| layer.step).collect();
    assert_eq!(steps, [Some(0), Some(2), Some(3)]);
}

#[tokio::test]
async fn what_is_not_signed_or_was_changed_is_refused() {
    let text = unsigned(&COMMANDS);
    let good = signed(&text);
    let other_key = signed(&unsigned(&COMMANDS[..1]));
    let signatures =
        |text: &str| text.split_once("\"signatures\": ").unwrap().1.trim_end_matches("\n}").to_owned();
    let refused = [
        text,
        good.replace("\"tag\": \"b\"", "\"tag\": \"c\""),
        good.replace("ES256", "none"),
        good.replace("P-256", "P-384"),
        good.replace(&signatures(&good), &signatures(&other_key)),
        good.replace(&signatures(&good), "[]"),
        good.replace(&signatures(&good), "null"),
    ];
    for text in refused {
        let error = schema1(&text).await.map(drop).unwrap_err();
        assert!(matches!(error, RegistryError::Invalid(_)), "{error:?}");
    }
    // What stands behind the signed part does not count.
    let added = good.replace("\"signatures\"", "\"fsLayers\": [], \"signatures\"");
    assert!(schema1(&added).await.map_or(true, |schema1| schema1.steps.len() == COMMANDS.len()));
}

#[tokio::test]
async fn the_number_of_layers_is_limited() {
    let commands =
        |layers: usize, empty: usize| [vec!["RUN x"; layers], vec!["#(nop) ENV x"; empty]].concat();
    for (commands, is_right) in [
        (commands(127, 100), true),
        (commands(128, 0), false),
        (commands(0, 0), false),
        (commands(1, 1024), false),
    ] {
        let text = signed(&unsigned(&commands));
        assert_eq!(schema1(&text).await.is_ok(), is_right, "{}", commands.len());
    }
}
