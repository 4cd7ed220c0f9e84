// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::num::NonZeroU64;

use serde_json::{Map, Value, json};

use super::*;

fn dc() -> Map<String, Value> {
    let config = json!({
        "port": 80,
        "address": "0.0.0.0",
        "mode": "dc",
        "datacenterName": "coal",
        "adminUuid": "930896af-bf8c-48d4-885c-6573a94b1853",
        "adminIp": "127.0.0.1",
        "authType": "none",
        "databaseType": "moray",
        "ufds": {"url": "ldaps://ufds.coal.joyent.us", "bindDN": "cn=root", "bindPassword": "s3cret"},
        "moray": {"host": "moray.coal.joyent.us", "port": 2020, "connectTimeout": 200},
        "wfapi": {"url": "http://workflow.coal.joyent.us"},
        "// a comment": "kept"
    });
    config.as_object().unwrap().clone()
}

fn problems(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<String> {
    let mut config = dc();
    change(&mut config);
    match Config::from_instance(config) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(problems)) => problems.into_iter().map(|p| p.key).collect(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_datacenters_configuration_is_read() {
    let config = Config::from_instance(dc()).unwrap();
    assert_eq!(config.port, 80);
    assert_eq!(config.mode, Mode::Dc);
    assert_eq!(config.metrics, Some(("127.0.0.1".parse().unwrap(), 8881)));
    assert_eq!(config.ufds.as_ref().unwrap().bind_password.expose(), "s3cret");
    let Database::Moray(moray) = &config.database else { unreachable!() };
    assert_eq!(moray.connect_timeout, Duration::from_secs(1));
    assert_eq!(config.server_name, concat!("imgapi/", env!("CARGO_PKG_VERSION")));
    assert_eq!(config.merged()["// a comment"], "kept");
}

#[test]
fn every_required_key_is_named_when_missing() {
    let all = problems(|config| {
        for key in ["datacenterName", "ufds", "moray"] {
            config.remove(key);
        }
    });
    let expected =
        ["datacenterName", "ufds.url", "ufds.bindDN", "ufds.bindPassword", "moray.host", "moray.port"];
    assert_eq!(all, expected);
}

#[test]
fn a_standalone_server_needs_neither_datacenter_nor_accounts() {
    for mode in [Mode::Public, Mode::Private] {
        let mut config = dc();
        config.insert("mode".into(), json!(mode.as_str()));
        config.remove("datacenterName");
        config.remove("ufds");
        let config = Config::from_instance(config).unwrap();
        assert_eq!(config.mode, mode);
        assert!(config.ufds.is_none());
    }
}

#[test]
fn a_wrong_value_is_named() {
    type Case = (&'static str, Value);
    let cases: [Case; 12] = [
        ("port", json!(65536)),
        ("port", json!("80")),
        ("address", json!("nowhere")),
        ("adminUuid", json!("930896AF-BF8C-48D4-885C-6573A94B1853")),
        ("mode", json!("standalone")),
        ("authType", json!("kerberos")),
        ("databaseType", json!("files")),
        ("storageTypes", json!(["local", "tape"])),
        ("storageTypes", json!([])),
        ("manta.url", manta(json!({"url": "ftp://manta"}))),
        ("manta.key", manta(json!({"key": ""}))),
        ("manta.baseDir", manta(json!({"baseDir": "a/../b"}))),
    ];
    for (key, value) in cases {
        assert_eq!(
            problems(|config| drop(config.insert(key.split('.').next().unwrap().into(), value.clone()))),
            [key],
            "{key} = {value}"
        );
    }
    let url = problems(|config| config["ufds"]["url"] = json!("http://ufds"));
    assert_eq!(url, ["ufds.url"]);
    assert_eq!(
        problems(|config| drop(config.insert("moray".into(), json!(5)))),
        ["moray", "moray.host", "moray.port"]
    );
}

/// Returns a section `manta` with some members changed.
fn manta(changes: Value) -> Value {
    let mut section =
        json!({"url": "https://manta", "user": "admin", "key": "/key", "keyId": "SHA256:x", "remote": true});
    section.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    section
}

#[test]
fn manta_has_a_directory_for_each_datacenter() {
    let mut config = dc();
    config.insert("storageTypes".into(), json!(["manta", "local"]));
    assert_eq!(
        problems(|config| drop(config.insert("storageTypes".into(), json!(["local", "manta"])))),
        ["manta"]
    );
    config.insert("manta".into(), manta(json!({})));
    let read = Config::from_instance(config.clone()).unwrap();
    let section = read.manta.as_ref().unwrap();
    assert_eq!(section.root_dir, "/admin/stor/imgapi/coal");
    assert!(section.remote && section.stores_files && !section.insecure);
    assert_eq!(read.merged()["manta"]["rootDir"], "/admin/stor/imgapi/coal");

    for key in ["datacenterName", "ufds"] {
        config.remove(key);
    }
    config.insert("mode".into(), json!("public"));
    config.insert("storageTypes".into(), json!(["local"]));
    config.insert("manta".into(), manta(json!({"baseDir": "images/prod"})));
    let section = Config::from_instance(config).unwrap().manta.unwrap();
    assert_eq!(section.root_dir, "/admin/stor/images/prod");
    assert!(!section.stores_files);
}

#[test]
fn empty_texts_of_a_template_count_as_absent() {
    assert!(problems(|config| drop(config.insert("adminUuid".into(), json!("")))).is_empty());
    assert_eq!(
        problems(|config| drop(config.insert("datacenterName".into(), json!("")))),
        ["datacenterName"]
    );
}

#[test]
fn secrets_are_masked_at_any_depth() {
    let config = Config::from_instance(dc()).unwrap();
    let masked = config.masked().to_string();
    assert!(!masked.contains("s3cret"), "{masked}");
    assert!(masked.contains("cn=root"));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn the_password_of_the_proxy_is_masked() {
    let mut config = dc();
    config.insert("httpProxy".into(), json!("http://user:s3cret2@proxy:3128"));
    let config = Config::from_instance(config).unwrap();
    assert_eq!(config.outgoing.http_proxy.as_ref().unwrap().expose(), "http://user:s3cret2@proxy:3128");
    assert_eq!(config.masked()["httpProxy"], "http://***@proxy:3128");
    assert!(!format!("{config:?}").contains("s3cret2"));
}

#[test]
fn networks_are_given_as_such_or_as_addresses() {
    let defaults = Config::from_instance(dc()).unwrap().outgoing;
    let denies =
        |text: &str| defaults.file_url_deny.iter().any(|net| net.contains(&text.parse::<IpAddr>().unwrap()));
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "::", "fe80::1", "ff02::1"]
    {
        assert!(denies(address), "{address}");
    }
    assert!(!denies("10.0.0.1") && !denies("8.8.8.8") && !denies("2001:db8::1"));
    assert!(
        defaults.source_deny.is_empty() && defaults.max_sockets == 100 && defaults.allow_insecure.is_none()
    );
    for (key, value) in [
        ("fileUrlDeny", json!(["10.0.0.0/33"])),
        ("sourceDeny", json!(["example.com"])),
        ("httpProxy", json!("proxy:3128")),
        ("allowInsecure", json!("yes")),
        ("maxSockets", json!(0)),
        ("maxAclAccounts", json!(0)),
        ("maxAclAccounts", json!(100_001)),
        ("transferIdleSeconds", json!(0)),
    ] {
        assert_eq!(problems(|config| drop(config.insert(key.into(), value.clone()))), [key], "{value}");
    }
    let both = problems(|config| {
        config.insert("httpProxy".into(), json!("http://proxy:3128"));
        config.insert("sourceDeny".into(), json!(["10.0.0.0/8", "::1"]));
    });
    assert_eq!(both, ["sourceDeny"]);
}

#[test]
fn the_scrubber_has_a_rate_and_an_interval_or_is_off() {
    let scrub = |changes: Value| {
        let mut config = dc();
        config.extend(changes.as_object().unwrap().clone());
        Config::from_instance(config).unwrap().scrub
    };
    let default = scrub(json!({})).unwrap();
    assert_eq!((default.rate.get(), default.interval), (32 << 20, Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(default.digests_per_minute.map(NonZeroU64::get), Some(10));
    assert_eq!(scrub(json!({"scrubDigestsPerMinute": 0})).unwrap().digests_per_minute, None);
    assert_eq!(scrub(json!({"scrubRate": 0})), None);
    assert_eq!(scrub(json!({"scrubIntervalDays": 0})).unwrap().interval, Duration::ZERO);
    assert_eq!(problems(|config| drop(config.insert("scrubRate".into(), json!(-1)))), ["scrubRate"]);
}

#[test]
fn jobs_need_a_workflow_api() {
    let jobs = Config::from_instance(dc()).unwrap().jobs;
    let wfapi = jobs.wfapi.unwrap();
    assert_eq!(
        (&*wfapi.text, &wfapi.workflows[..]),
        ("http://workflow.coal.joyent.us", &["create-from-vm", "import-remote-image"][..])
    );
    assert!(!wfapi.force_md5_check && !wfapi.force_replace && !jobs.allow_local && jobs.vmapi.is_none());
    assert_eq!(jobs.placeholder_lifespan, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(jobs.min_platform.describe(), "7.0 20130917T001310Z");
    for absent in [json!(null), json!({"url": ""})] {
        let mut config = dc();
        config.insert("wfapi".into(), absent);
        assert!(Config::from_instance(config).unwrap().jobs.wfapi.is_none());
    }
    for (key, value) in [
        ("wfapi.url", json!({"url": "workflow"})),
        ("wfapi.workflows", json!({"url": "http://w", "workflows": ["x"]})),
        ("wfapi.forceMd5Check", json!({"url": "http://w", "forceMd5Check": "yes"})),
        ("vmapi.url", json!({"url": "ftp://vmapi"})),
        ("cnapi.url", json!({"url": "http://u:p@cnapi"})),
        ("imgapiUrlFromDatacenter.far", json!({"far": "x"})),
        ("allowLocalCreateImageFromVm", json!(5)),
        ("minImageCreationPlatform", json!(["7.0"])),
        ("placeholderImageLifespanDays", json!(-1)),
    ] {
        let name = key.split('.').next().unwrap();
        assert_eq!(problems(|config| drop(config.insert(name.into(), value.clone()))), [key], "{value}");
    }
    let mut config = dc();
    config.insert("imgapiUrlFromDatacenter".into(), json!({"a": "http://a", "b": "", "c": "http://c/x"}));
    let datacenters = Config::from_instance(config).unwrap().outgoing.datacenters;
    let names: Vec<_> = datacenters.iter().map(|other| (&*other.name, &*other.url)).collect();
    assert_eq!(names, [("a", "http://a"), ("c", "http://c/x")]);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let error = Config::load(&path).unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
    std::fs::write(&path, "{\"port\": ,}").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}
