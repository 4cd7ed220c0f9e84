// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where files may be stored.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::read::Reader;
use super::transfer::TransferLimits;
use crate::manifest::{Mode, Stor};

/// Where IMGAPI keeps its things in Manta, below the user's `stor`, unless `manta.baseDir` says otherwise.
const DEFAULT_BASE_DIR: &str = "imgapi";

/// The Manta that the configuration describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manta {
    /// `manta.url`.
    pub url: String,
    /// `manta.user`: the login of the account whose area is used.
    pub user: String,
    /// `manta.key`: the file of the account's private SSH key. It is read when it is needed.
    pub key: PathBuf,
    /// `manta.keyId`: the fingerprint of the key, as people know it. Manta is told the one of the key itself.
    pub key_id: Option<String>,
    /// `manta.insecure`: the server may have any certificate.
    pub insecure: bool,
    /// `transferIdleSeconds`: the longest wait for it to send or take anything.
    pub idle: Duration,
    /// `manta.remote`: it is far away, perhaps another datacenter's.
    pub remote: bool,
    /// `manta.rootDir`, computed: the directory of this IMGAPI.
    pub root_dir: String,
    /// Whether `storageTypes` names it: files are stored there. Without, only keys of callers come from there.
    pub stores_files: bool,
}

impl Manta {
    /// Whether what is used of it is the same: the fingerprint in `keyId` is only compared.
    pub fn is_same_as(&self, other: &Manta) -> bool {
        let used = |manta: &Manta| Manta { key_id: None, ..manta.clone() };
        used(self) == used(other)
    }
}

/// Reads `manta` and `storageTypes`. Local storage is always there: the archive of manifests needs it.
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

/// Adds the computed value to what `imgapi config` prints, where scripts of 4.13.1 look for it.
pub(super) fn complete(merged: &mut Map<String, Value>, manta: Option<&Manta>) {
    let section = merged.get_mut("manta").and_then(Value::as_object_mut);
    if let (Some(section), Some(manta)) = (section, manta) {
        section.insert("rootDir".to_owned(), Value::from(manta.root_dir.as_str()));
    }
}
