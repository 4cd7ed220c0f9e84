// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The backends that files may be stored in.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::read::Reader;
use super::transfer::TransferLimits;
use crate::manifest::{Mode, Stor};

/// The default of `manta.baseDir`: the directory of IMGAPI in Manta, below the user's `stor`.
const DEFAULT_BASE_DIR: &str = "imgapi";

/// The configured Manta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manta {
    /// `manta.url`.
    pub url: String,
    /// `manta.user`: the login of the account that owns the objects.
    pub user: String,
    /// `manta.key`: the path of the account's private SSH key, which is read when it is needed.
    pub key: PathBuf,
    /// `manta.keyId`: the configured fingerprint of the key. Requests to Manta carry the fingerprint of the key itself.
    pub key_id: Option<String>,
    /// `manta.insecure`: accepts any certificate of the server.
    pub insecure: bool,
    /// `transferIdleSeconds`: the longest wait for Manta to send or receive anything.
    pub idle: Duration,
    /// `manta.remote`: whether Manta is far away, perhaps in another datacenter.
    pub remote: bool,
    /// `manta.rootDir`, computed: the directory of this IMGAPI.
    pub root_dir: String,
    /// Whether `storageTypes` contains it, so that files are stored there. Otherwise only the keys of callers are read from it.
    pub stores_files: bool,
}

impl Manta {
    /// Returns whether all used settings are equal. `keyId` is only compared with the key, and does not count.
    pub fn is_same_as(&self, other: &Manta) -> bool {
        let used = |manta: &Manta| Manta { key_id: None, ..manta.clone() };
        used(self) == used(other)
    }
}

/// Reads `manta` and `storageTypes`. Local storage is always enabled, because the archive of manifests needs it.
pub(super) fn read(
    root: &mut Reader<'_>,
    mode: Mode,
    datacenter_name: &str,
    transfer: TransferLimits,
) -> Option<Manta> {
    let types = storage_types(root);
    let stores_files = types.contains(&Stor::Manta);
    if !types.contains(&Stor::Local) {
        root.problem("storageTypes", "must name local, too: the archive of manifests needs it");
    }
    if !root.has("manta") {
        if stores_files {
            root.problem("manta", "is required by the storage type manta");
        }
        return None;
    }
    let mut section = root.section("manta");
    let url = section.required_text("url");
    let usable = |url: &str| {
        Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
    };
    if !url.is_empty() && !usable(&url) {
        section.problem("url", "must be an http or https URL");
    }
    let user = section.required_text("user");
    let base_dir = section.text("baseDir").unwrap_or_else(|| DEFAULT_BASE_DIR.to_owned());
    for (key, path) in [("user", &user), ("baseDir", &base_dir)] {
        if path.split('/').any(|name| matches!(name, "" | "." | "..")) && !path.is_empty() {
            section.problem(key, "must be a relative path without empty names, \".\" and \"..\"");
        }
    }
    Some(Manta {
        root_dir: root_dir(&user, &base_dir, mode, datacenter_name),
        url,
        user,
        key: section.required_text("key").into(),
        key_id: section.text("keyId"),
        insecure: section.flag("insecure"),
        idle: transfer.idle,
        remote: section.flag("remote"),
        stores_files,
    })
}

fn storage_types(root: &mut Reader<'_>) -> Vec<Stor> {
    let mut types = Vec::new();
    for name in root.texts("storageTypes") {
        match name.parse() {
            Ok(stor) => types.push(stor),
            Err(_) => root.problem("storageTypes", format!("has an unknown storage type {name:?}")),
        }
    }
    types
}

fn root_dir(user: &str, base_dir: &str, mode: Mode, datacenter_name: &str) -> String {
    match mode {
        Mode::Dc => format!("/{user}/stor/{base_dir}/{datacenter_name}"),
        Mode::Public | Mode::Private => format!("/{user}/stor/{base_dir}"),
    }
}

/// Adds the computed value to the output of `imgapi config`, where scripts of 4.13.1 look for it.
pub(super) fn complete(merged: &mut Map<String, Value>, manta: Option<&Manta>) {
    let section = merged.get_mut("manta").and_then(Value::as_object_mut);
    if let (Some(section), Some(manta)) = (section, manta) {
        section.insert("rootDir".to_owned(), Value::from(manta.root_dir.as_str()));
    }
}
