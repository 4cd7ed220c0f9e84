// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks that `docs/configuration.md` lists every key that is read, its default, and whether it needs a restart.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::read::KEYS_READ;
use super::secret::Masked;
use super::{Config, ConfigError, NamedBy};

const DOCUMENT: &str = include_str!("../../docs/configuration.md");
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$0cD2gWAXGVqHEKgGmnpJSlqqmMBWHbwXuUiFTlZ0cPk";

/// A row of the document.
#[derive(Debug)]
struct Row {
    key: &'static str,
    default: &'static str,
    restart: &'static str,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut is_table_of_keys = false;
    for line in DOCUMENT.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells[..] {
            [""] => is_table_of_keys = false,
            ["", "Key", "Type", "Default", "Since", "Restart", "Meaning", ""] => is_table_of_keys = true,
            ["", key, _, default, since, restart, _, ""] if is_table_of_keys && key.starts_with('`') => {
                assert!(["4.13.1", "5.0.0"].contains(&since), "{line}");
                rows.push(Row { key: key.trim_matches('`'), default, restart });
            }
            _ => assert!(!is_table_of_keys || line.starts_with("| ---"), "{line}"),
        }
    }
    rows
}

/// Configurations that together contain every key, each with another value than the default.
fn examples() -> [Map<String, Value>; 2] {
    let datacenter = json!({
        "mode": "dc", "address": "127.0.0.2", "port": 80, "serverName": "x", "logLevel": "info", "adminIp": "127.0.0.2",
        "metricsPort": 1, "localBaseDir": "/x", "shutdownGraceSeconds": 1, "datacenterName": "x", "serviceName": "x",
        "instanceUuid": "x", "serverUuid": "x", "adminUuid": "930896af-bf8c-48d4-885c-6573a94b1853",
        "authType": "basic", "userdb": [{"name": "x", "password": HASH}], "databaseType": "moray",
        "moray": {"host": "x", "port": 1, "connectTimeout": 2000}, "staleReadSeconds": 1, "maxAclAccounts": 1,
        "storageTypes": ["manta", "local"],
        "manta": {
            "url": "http://x", "user": "x", "key": "/x", "keyId": "x", "insecure": true, "remote": true, "baseDir": "x"
        },
        "transferIdleSeconds": 1, "transferMinRate": 1, "scrubRate": 1, "scrubIntervalDays": 1, "scrubDigestsPerMinute": 1,
        "maxConnections": 1, "maxAnswerBytes": 1, "maxSockets": 1,
        "ufds": {"url": "ldap://x", "bindDN": "x", "bindPassword": "x", "cacheSeconds": 1},
        "imgapiUrlFromDatacenter": {"NAME": "http://x"}, "httpProxy": "http://x", "allowInsecure": true,
        "fileUrlDeny": ["10.0.0.0/8"],
        "wfapi": {
            "url": "http://x", "workflows": ["create-from-vm"], "forceMd5Check": true, "forceReplace": true
        },
        "vmapi": {"url": "http://x"}, "cnapi": {"url": "http://x"}, "allowLocalCreateImageFromVm": true,
        "minImageCreationPlatform": ["8.0", "20300101T000000Z"], "placeholderImageLifespanDays": 1,
    });
    let standalone = json!({
        "datadir": "/x", "host": "x", "mode": "private", "authType": "signature", "authKeys": {"USER": ["x"]}, "authRequireRequestTarget": true,
        "channels": [{"name": "x", "description": "x", "default": true}], "sourceDeny": ["10.0.0.0/8"],
        "lxdRegistries": {"NAME": "http://x"},
        "dockerRegistryInsecure": true, "registryDeny": ["10.0.0.0/8"], "registryAllow": ["x"],
    });
    [datacenter, standalone].map(|example| example.as_object().unwrap().clone())
}

/// Returns the object and the name of the member at a path such as `a.b`, or `a[].b` for the first element of `a`.
fn at<'a>(example: &'a mut Map<String, Value>, path: &str) -> Option<(&'a mut Map<String, Value>, String)> {
    let Some((first, rest)) = path.split_once('.') else {
        return example.contains_key(path).then(|| (example, path.to_owned()));
    };
    let section = match first.strip_suffix("[]") {
        Some(name) => example.get_mut(name)?.get_mut(0)?,
        None => example.get_mut(first)?,
    };
    at(section.as_object_mut()?, rest)
}

/// Loads the example that has the key, without it or with another value.
fn changed(path: &str, value: Option<Value>) -> Result<Config, ConfigError> {
    let mut example = example_with(path);
    let (object, key) = at(&mut example, path).unwrap();
    match value {
        Some(value) => drop(object.insert(key, value)),
        None => drop(object.remove(&key)),
    }
    Config::from_instance(example)
}

fn example_with(path: &str) -> Map<String, Value> {
    let example = examples().into_iter().find(|example| at(&mut example.clone(), path).is_some());
    example.unwrap_or_else(|| panic!("no example has {path}"))
}

/// Returns what the service uses of a configuration.
fn meaning(config: Config) -> String {
    format!("{:?}", Config { merged: Masked::default(), local_base_dir_named_by: NamedBy::Nobody, ..config })
}

/// Returns another value of the same type.
fn another(path: &str) -> Value {
    let mut example = example_with(path);
    let (object, key) = at(&mut example, path).unwrap();
    match &object[&key] {
        Value::String(text) if path == "adminIp" => json!(text.replace('2', "3")),
        Value::String(_) if path == "adminUuid" => json!("00000000-0000-0000-0000-000000000000"),
        Value::String(_) if path == "userdb[].password" => json!(HASH.replace("m=8", "m=16")),
        Value::String(text) => json!(format!("{text}x")),
        Value::Bool(flag) => json!(!flag),
        Value::Array(items) => json!([items[0], items[0]]),
        other => json!(other.as_u64().unwrap() + 1),
    }
}

#[test]
fn every_key_that_is_read_is_documented_and_the_reverse() {
    KEYS_READ.take();
    for example in examples() {
        Config::from_instance(example).unwrap();
    }
    let read = KEYS_READ.take();
    let has_members = |key: &str| {
        read.iter()
            .any(|other| other.starts_with(&format!("{key}.")) || other.starts_with(&format!("{key}[]")))
    };
    let read: BTreeSet<&str> = read.iter().map(String::as_str).filter(|key| !has_members(key)).collect();
    let documented: Vec<&str> = rows().iter().map(|row| row.key).collect();
    let set: BTreeSet<&str> = documented.iter().copied().collect();
    assert_eq!(set, read);
    assert_eq!(set.len(), documented.len(), "a key is documented twice");
}

#[test]
fn the_documented_default_is_what_an_absent_key_means() {
    for row in rows() {
        let absent = changed(row.key, None);
        let null = changed(row.key, Some(Value::Null));
        match row.default {
            "required" => {
                for missing in [absent, null] {
                    let Err(ConfigError::Invalid(problems)) = missing else { panic!("{row:?}") };
                    assert_eq!(problems.iter().map(|problem| &*problem.key).collect::<Vec<_>>(), [row.key]);
                }
            }
            "none" => {
                let defaults: Value = serde_json::from_str(include_str!("../../etc/defaults.json")).unwrap();
                assert!(defaults.get(row.key).is_none(), "{row:?}");
            }
            default => {
                let default: Value = serde_json::from_str(default.trim_matches('`')).unwrap();
                let said = changed(row.key, Some(default)).unwrap();
                let absent = meaning(absent.unwrap());
                assert_eq!(meaning(said), absent, "{row:?}");
                assert_eq!(meaning(null.unwrap()), absent, "{row:?}");
                assert_ne!(absent, meaning(Config::from_instance(example_with(row.key)).unwrap()), "{row:?}");
            }
        }
    }
}

#[test]
fn the_document_says_which_keys_need_a_restart() {
    for row in rows() {
        let before = Config::from_instance(example_with(row.key)).unwrap();
        let after = match row.default {
            "required" | "none" => changed(row.key, Some(another(row.key))),
            _ => changed(row.key, None),
        };
        let needs_restart =
            before.needs_restart_for(&after.unwrap_or_else(|error| panic!("{row:?}: {error}"))).is_some();
        assert_eq!(if needs_restart { "yes" } else { "no" }, row.restart, "{row:?}");
    }
}
