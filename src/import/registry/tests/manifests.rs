// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use super::super::image_config::ImageConfig;
use super::super::jws;
use super::super::manifest::parse;
use super::server::{Answer, Server, Stored};
use super::*;
use crate::import::registry::{Content, Platform};

fn image() -> Stored {
    Stored::new(b"layer".to_vec(), b"layer")
}

async fn manifest(server: &Server, platform: &str) -> Result<super::super::Manifest, RegistryError> {
    registry(server).manifest(&tag(), &platform.parse().unwrap()).await
}

#[tokio::test]
async fn a_manifest_is_asked_for_in_every_form_and_kept_as_it_is() {
    let text = image().manifest;
    let sent = text.clone();
    let server = Server::start(move |_, _| Answer::new(200, sent.clone())).await;
    let manifest = manifest(&server, "linux/amd64").await.unwrap();
    assert_eq!((&manifest.text, manifest.digest), (&text, Digest::of(text.as_bytes())));
    assert_eq!(manifest.media_type, "application/vnd.oci.image.manifest.v1+json");
    let requests = server.requests();
    assert_eq!(requests[0].target, "/v2/aa/b/manifests/latest");
    assert_eq!(requests[0].header("request-id"), Some("some-id"));
    let accepted: Vec<&str> = requests[0].header("accept").unwrap().split(", ").collect();
    let all = [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ];
    assert_eq!(accepted, all);
}

/// An index with an image for each of two platforms; the second one is behind another index.
async fn server_with_indexes() -> Server {
    let entry = |digest: Digest, architecture: &str| {
        format!(r#"{{"digest":"{digest}","platform":{{"os":"linux","architecture":"{architecture}"}}}}"#)
    };
    let index = |entries: &[String]| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    let image = image().manifest;
    let digest = Digest::of(image.as_bytes());
    let inner = index(&[entry(digest, "arm64")]);
    let outer = index(&[entry(digest, "amd64"), entry(Digest::of(inner.as_bytes()), "arm64")]);
    Server::start(move |request, _| {
        let name = request.target.rsplit('/').next().unwrap();
        let texts = [&image, &inner, &outer];
        let named = texts.iter().find(|text| Digest::of(text.as_bytes()).to_string() == name);
        Answer::new(200, named.map_or(outer.clone(), |text| (*text).clone()))
    })
    .await
}

#[tokio::test]
async fn an_index_leads_to_the_image_for_the_platform() {
    let server = server_with_indexes().await;
    for platform in ["linux/amd64", "linux/arm64"] {
        let manifest = manifest(&server, platform).await.unwrap();
        assert!(matches!(manifest.content, Content::Image(_)));
    }
    assert_eq!(server.requests().len(), 2 + 3);
    let error = manifest(&server, "linux/s390x").await.unwrap_err();
    assert_eq!(error.to_string(), "the image is not available for linux/s390x");
}

#[tokio::test]
async fn indexes_that_lead_on_and_on_are_given_up() {
    // Each leads to the one before it.
    let mut chain = vec![image().manifest];
    for _ in 0..4 {
        let entry = Digest::of(chain.last().unwrap().as_bytes());
        let platform = r#""platform":{"os":"linux","architecture":"amd64"}"#;
        chain.push(format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{entry}",{platform}}}]}}"#));
    }
    let by_digest: HashMap<String, String> =
        chain.iter().map(|text| (Digest::of(text.as_bytes()).to_string(), text.clone())).collect();
    let server = Server::start(move |request, _| {
        let name = request.target.rsplit('/').next().unwrap();
        Answer::new(200, by_digest[name].clone())
    })
    .await;
    for (indexes, is_right) in [(3, true), (4, false)] {
        let revision = Revision::Digest(Digest::of(chain[indexes].as_bytes()));
        let found = registry(&server).manifest(&revision, &Platform::default()).await;
        assert_eq!(found.is_ok(), is_right, "{indexes}");
    }
    assert_eq!(server.requests().len(), 4 + 4);
}

#[tokio::test]
async fn a_manifest_must_have_the_digest_that_names_it() {
    let text = image().manifest;
    let other = Digest::of(b"other");
    let sent = text.clone();
    let server = Server::start(move |_, count| match count {
        0 => Answer::new(200, sent.clone()).header("docker-content-digest", Digest::of(b"other")),
        // A digest of another kind tells nothing.
        1 => Answer::new(200, sent.clone()).header("docker-content-digest", "sha512:00"),
        _ => Answer::new(200, sent.clone()),
    })
    .await;
    let error = manifest(&server, "linux/amd64").await.unwrap_err();
    assert!(matches!(error, RegistryError::OtherDigest { expected, .. } if expected == other), "{error}");
    manifest(&server, "linux/amd64").await.unwrap();
    for (digest, is_right) in [(other, false), (Digest::of(text.as_bytes()), true)] {
        let answer = registry(&server).manifest(&Revision::Digest(digest), &Platform::default()).await;
        assert_eq!(answer.is_ok(), is_right, "{digest}");
    }
}

#[tokio::test]
async fn a_manifest_has_a_limit() {
    let server = Server::start(|_, _| Answer::new(200, vec![b' '; (4 << 20) + 1])).await;
    assert!(matches!(manifest(&server, "linux/amd64").await, Err(RegistryError::Transfer(_))));
    let server = Server::start(|_, _| Answer::new(200, [0xff, 0xfe])).await;
    assert!(matches!(manifest(&server, "linux/amd64").await, Err(RegistryError::Invalid(_))));
}

#[tokio::test]
async fn a_server_may_be_no_registry() {
    let server = Server::start(|_, count| match count {
        0 => Answer::new(200, "{}"),
        1 => Answer::new(401, ""),
        2 => Answer::new(401, "").header("www-authenticate", "Basic realm=x"),
        _ => Answer::new(404, "page not found"),
    })
    .await;
    let registry = registry(&server);
    for _ in 0..3 {
        registry.ping().await.unwrap();
    }
    assert!(matches!(registry.ping().await, Err(RegistryError::NotRegistry { .. })));
    assert!(server.seen().iter().all(|seen| seen == "GET /v2/"), "{:?}", server.seen());
}

/// Any JSON that is made of the words of manifests.
fn json_like() -> impl Strategy<Value = Value> {
    let digest = "sha256:[0-9a-f]{64}".prop_map(Value::from);
    let text = prop_oneof![
        Just("2".to_owned()),
        Just("application/vnd.oci.image.index.v1+json".to_owned()),
        Just("{\"container_config\":{\"Cmd\":[\"#(nop) \"]}}".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(1), Just(2), any::<i64>()].prop_map(Value::from),
        digest,
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let names = [
            "schemaVersion",
            "mediaType",
            "config",
            "layers",
            "manifests",
            "digest",
            "size",
            "platform",
            "os",
            "architecture",
            "variant",
            "history",
            "rootfs",
            "diff_ids",
            "empty_layer",
            "fsLayers",
            "blobSum",
            "v1Compatibility",
            "signatures",
            "header",
            "jwk",
            "protected",
            "signature",
            "x",
        ];
        let member = (prop::sample::select(names.to_vec()), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(member, 0..5).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// Manifests, indexes and configurations in which something is replaced by something else.
fn almost_right() -> impl Strategy<Value = Value> {
    let digest = "sha256:00".to_owned() + &"0a".repeat(31);
    let descriptor = json!({"mediaType": "x", "digest": digest, "size": 7});
    let valid = [
        json!({"schemaVersion": 2, "config": descriptor, "layers": [descriptor, descriptor]}),
        json!({"schemaVersion": 2, "manifests": [{"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}]}),
        json!({"os": "linux", "history": [{"created_by": "x"}], "rootfs": {"type": "layers", "diff_ids": [digest]}}),
        json!({"schemaVersion": 1, "fsLayers": [{"blobSum": digest}], "history": [{"v1Compatibility": "{}"}],
            "signatures": [{"header": {"alg": "ES256", "jwk": {"crv": "P-256", "x": "AA", "y": "AA"}},
                "protected": "eyJmb3JtYXRMZW5ndGgiOjEsImZvcm1hdFRhaWwiOiIifQ", "signature": "AA"}]}),
    ];
    (prop::sample::select(valid.to_vec()), prop::collection::vec(0..6_usize, 0..5), json_like()).prop_map(
        |(mut value, path, new)| {
            replace(&mut value, &path, new);
            value
        },
    )
}

/// Replaces the value at this path. Each step is the number of a member or an element, modulo how many there are.
fn replace(value: &mut Value, path: &[usize], new: Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let index = step % map.len();
            replace(map.values_mut().nth(index).unwrap(), rest, new);
        }
        Value::Array(list) if !list.is_empty() => {
            let index = step % list.len();
            replace(&mut list[index], rest, new);
        }
        _ => *value = new,
    }
}

#[test]
fn no_json_makes_the_reader_panic() {
    let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::with_cases(10_000) });
    let used = runner.run(&prop_oneof![almost_right(), json_like()], |json| {
        let text = json.to_string();
        if let Ok((super::super::manifest::Parsed::Index(index), _)) = parse(&text, None) {
            let _ = index.choose(&Platform::default());
        }
        let _ = jws::verified(&text);
        if let Ok(config) = ImageConfig::parse(text) {
            prop_assert!(config.diff_ids.len() <= super::super::MAX_LAYERS);
        }
        Ok(())
    });
    used.unwrap();
}
