// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Renders the manifests in `sapi_manifests` with every combination of possible metadata.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::contents::contents;
use super::manifests::{Manifest, read_local};
use crate::config::Config;

fn manifests() -> Vec<Manifest> {
    let (manifests, invalid) = read_local(&[Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()]);
    assert_eq!(invalid, []);
    manifests
}

fn manifest(name: &str) -> Manifest {
    manifests().into_iter().find(|manifest| manifest.name == name).unwrap()
}

/// Metadata that every datacenter has.
fn base() -> Map<String, Value> {
    let metadata = json!({
        "datacenter_name": "coal", "dns_domain": "example.com", "SERVICE_NAME": "imgapi",
        "ufds_admin_uuid": "930896af-bf8c-48d4-885c-6573a94b1853", "ufds_admin_login": "admin",
        "UFDS_SERVICE": "ufds.coal.example.com", "ufds_ldap_root_dn": "cn=root", "ufds_ldap_root_pw": "secret",
        "MORAY_SERVICE": "moray.coal.example.com", "WORKFLOW_SERVICE": "workflow.coal.example.com",
        "CNAPI_SERVICE": "cnapi.coal.example.com", "VMAPI_SERVICE": "vmapi.coal.example.com",
        "NAPI_SERVICE": "napi.coal.example.com", "SAPI_SERVICE": "sapi.coal.example.com",
        "STORAGE_MANTA_BASEDIR": "imgapi",
        "auto": {"ZONENAME": "4f4a3b64-7e0c-4f24-9b04-6b8a3b1c0001", "SERVER_UUID": "s", "ADMIN_IP": "10.0.0.5"},
    });
    metadata.as_object().unwrap().clone()
}

/// Returns the rendered configuration, which must be JSON, and the service's interpretation of it.
fn render(manifest: &Manifest, metadata: &Map<String, Value>) -> (Value, Config) {
    let text = contents(manifest, metadata).unwrap_or_else(|problem| panic!("{problem}: {metadata:?}")).text;
    let value: Value = serde_json::from_str(&text).unwrap();
    let config = Config::from_instance(value.as_object().unwrap().clone());
    (value, config.unwrap_or_else(|problem| panic!("{problem}: {metadata:?}")))
}

/// Returns rows of keys, each with all its possible values; `None` means that the key is absent.
fn options() -> Vec<(&'static str, Vec<Option<Value>>)> {
    let flag =
        || vec![None, Some(json!(true)), Some(json!(false)), Some(json!("true")), Some(json!("false"))];
    let few = |values: &[Value]| [None].into_iter().chain(values.iter().cloned().map(Some)).collect();
    vec![
        ("IMGAPI_MANTA_URL", few(&[json!("https://manta.example.com?a=1&b=2")])),
        ("IMGAPI_MANTA_INSECURE", flag()),
        ("IMGAPI_MANTA_REMOTE", flag()),
        ("IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM", flag()),
        ("IMGAPI_ALLOW_INSECURE", flag()),
        ("docker_registry_insecure", few(&[json!(true), json!("false")])),
        ("IMGAPI_URL_FROM_DATACENTER", few(&[json!({"b": "http://i.b"}), json!("{\"b\": \"http://i.b\"}")])),
        ("http_proxy", few(&[json!("http://p:8080/?a=1&b=<'>"), json!("")])),
        ("experimental_fluentd_host", few(&[json!("fluentd.example.com")])),
    ]
}

fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| *value == json!(true) || *value == json!("true"))
}

/// Every value of an option is combined with all values of the others.
#[test]
fn every_combination_of_optional_keys_is_a_configuration() {
    let manifest = manifest("imgapi");
    let options = options();
    let count: usize = options.iter().map(|(_, values)| values.len()).product();
    for number in 0..count {
        let mut metadata = base();
        let mut rest = number;
        for (key, values) in &options {
            if let Some(value) = &values[rest % values.len()] {
                metadata.insert((*key).to_owned(), value.clone());
            }
            rest /= values.len();
        }
        let useless = |key: &str| metadata.get(key).is_some_and(|value| *value != json!(true));
        if !metadata.contains_key("IMGAPI_MANTA_URL")
            && (useless("IMGAPI_MANTA_INSECURE") || useless("IMGAPI_MANTA_REMOTE"))
        {
            continue;
        }
        metadata.insert("IMGAPI_MANTA_USER".to_owned(), json!("admin"));
        let (value, config) = render(&manifest, &metadata);
        let given = |key: &str| metadata.get(key).filter(|value| **value != json!(""));
        assert_eq!(value["mode"], "dc");
        assert_eq!(config.outgoing.allow_insecure.unwrap_or(false), is_true(given("IMGAPI_ALLOW_INSECURE")));
        assert_eq!(
            config.outgoing.http_proxy.as_ref().map(|proxy| json!(proxy.expose())).as_ref(),
            given("http_proxy")
        );
        let datacenters = given("IMGAPI_URL_FROM_DATACENTER").is_some();
        assert_eq!(config.outgoing.datacenters.len(), usize::from(datacenters));
        assert_eq!(config.manta.is_some(), given("IMGAPI_MANTA_URL").is_some());
        if let Some(manta) = &config.manta {
            assert_eq!(manta.url, "https://manta.example.com?a=1&b=2");
            assert_eq!(manta.insecure, is_true(given("IMGAPI_MANTA_INSECURE")));
            assert_eq!(manta.remote, is_true(given("IMGAPI_MANTA_REMOTE")));
            assert!(manta.stores_files);
        }
        let local = given("IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM");
        assert_eq!(
            value.get("allowLocalCreateImageFromVm").map(|value| is_true(Some(value))).unwrap_or(false),
            is_true(local)
        );
    }
}

#[test]
fn what_must_be_text_may_hold_anything() {
    let manifest = manifest("imgapi");
    for hostile in
        ["a\"b", "a\\c", "a\nb\tc", "a&b<c>d'e", "\u{e9}\u{1f600}", "\", \"mode\": \"public", "{{x}}"]
    {
        let mut metadata = base();
        metadata.insert("ufds_ldap_root_pw".to_owned(), json!(hostile));
        let (value, config) = render(&manifest, &metadata);
        assert_eq!(value["ufds"]["bindPassword"], hostile);
        assert_eq!(config.ufds.unwrap().bind_password.expose(), hostile);
    }
    // A value that is already escaped is copied unchanged, as for all services of a datacenter.
    let mut metadata = base();
    metadata.insert("ufds_ldap_root_pw".to_owned(), json!("a\\\"b"));
    assert_eq!(render(&manifest, &metadata).0["ufds"]["bindPassword"], "a\"b");
}

#[test]
fn what_cannot_be_a_configuration_is_an_error() {
    let manifest = manifest("imgapi");
    let table = [
        ("IMGAPI_ALLOW_INSECURE", json!("yes"), "the result is not JSON: expected value"),
        ("IMGAPI_URL_FROM_DATACENTER", json!("b=http://i.b"), "the result is not JSON: expected value"),
        ("datacenter_name", json!(null), "template, line 9: {{datacenter_name}}: the value is null"),
    ];
    for (key, value, expected) in table {
        let mut metadata = base();
        metadata.insert(key.to_owned(), value);
        let problem = contents(&manifest, &metadata).unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
    }
}

/// Scripts look for the keys that 4.13.1 renders.
#[test]
fn all_keys_are_there() {
    let mut metadata = base();
    for (key, value) in [
        ("IMGAPI_MANTA_URL", json!("https://m")),
        ("IMGAPI_MANTA_USER", json!("u")),
        ("IMGAPI_KEY_ID", json!("SHA256:x")),
        ("IMGAPI_ALLOW_INSECURE", json!(true)),
        ("IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM", json!(true)),
        ("IMGAPI_URL_FROM_DATACENTER", json!({"b": "http://i.b"})),
        ("experimental_fluentd_host", json!("f")),
        ("IMGAPI_LOG_LEVEL", json!("debug")),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    let (value, config) = render(&manifest("imgapi"), &metadata);
    let names: Vec<&str> =
        value.as_object().unwrap().keys().map(String::as_str).filter(|key| !key.starts_with("//")).collect();
    let expected = "port address logLevel mode datacenterName serviceName instanceUuid serverUuid adminIp adminUuid \
        allowLocalCreateImageFromVm allowInsecure fluentd_host ufds moray authType databaseType manta storageTypes \
        imgapiUrlFromDatacenter wfapi cnapi vmapi docker httpProxy dockerRegistryInsecure sapi_service \
        ufds_admin_login vmapi_service cnapi_service napi_service";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(value["docker"]["url"], "http://docker.coal.example.com");
    assert_eq!(value["manta"]["keyId"], "SHA256:x");
    assert_eq!(value["logLevel"], "debug");
    assert_eq!(config.manta.unwrap().root_dir, "/u/stor/imgapi/coal");
    assert_eq!(config.identity.instance, "4f4a3b64-7e0c-4f24-9b04-6b8a3b1c0001");
    assert_eq!(config.metrics.unwrap().0.to_string(), "10.0.0.5");
}

#[test]
fn keys_and_profile_are_made_of_their_metadata() {
    let metadata =
        json!({"IMGAPI_PRIVATE_KEY": "-----BEGIN\nx+/=\n-----END", "IMGAPI_MANTA_URL": "https://m/?a&b"});
    let text = |name: &str| contents(&manifest(name), metadata.as_object().unwrap()).unwrap().text;
    assert_eq!(text("imgapi_private_key"), "-----BEGIN\nx+/=\n-----END\n");
    assert_eq!(text("imgapi_public_key"), "\n");
    let profile = "export MANTA_USER=''\nexport MANTA_URL='https://m/?a&b'\nexport MANTA_KEY_ID=''\n";
    assert_eq!(text("mantaprofile"), profile);
}

#[test]
fn manifests_are_ascii_and_keep_the_private_key_private() {
    for manifest in manifests() {
        assert!(manifest.template.is_ascii(), "{}", manifest.name);
    }
    let access = manifest("imgapi_private_key").access;
    assert_eq!((access.mode, access.owner.as_deref()), (Some(0o600), Some("nobody")));
    // The file holds the password of UFDS.
    assert_eq!(manifest("imgapi").access.mode, Some(0o600));
}
