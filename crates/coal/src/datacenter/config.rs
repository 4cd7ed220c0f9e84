// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The config that `imgapi` is started with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use super::sapi::Content;
use crate::sapi::SERVER_UUID;

/// The input for the config.
#[derive(Debug)]
pub(super) struct ConfigInput<'a> {
    pub(super) content: &'a Content<'a>,
    pub(super) metrics: SocketAddr,
    pub(super) instance_uuid: &'a str,
    pub(super) sapi: SocketAddr,
}

impl ConfigInput<'_> {
    /// Returns the keys of IMGAPI 4.13.1's own config in a datacenter, and these `settings`. Two keys are added: `metricsPort`,
    /// because two datacenters on one machine cannot share port 8881; and `scrubRate`, because the scrubber must not read the
    /// files that tests damage.
    pub(super) fn with(&self, settings: &Map<String, Value>) -> Map<String, Value> {
        let content = self.content;
        let config = json!({
            "port": content.imgapi.port(),
            "address": content.imgapi.ip(),
            "mode": "dc",
            "datacenterName": content.datacenter,
            "serviceName": "imgapi",
            "instanceUuid": self.instance_uuid,
            "serverUuid": SERVER_UUID,
            "adminIp": self.metrics.ip(),
            "metricsPort": self.metrics.port(),
            "adminUuid": content.admin.map(|admin| &admin.uuid),
            "authType": "none",
            "databaseType": "moray",
            "storageTypes": ["local"],
            "logLevel": "info",
            "scrubRate": 0,
            "sapi_service": self.sapi.to_string(),
            "ufds_admin_login": content.admin.map(|admin| &admin.login),
            "ufds": {
                "url": format!("ldaps://{}", content.ufds.address()),
                "bindDN": content.ufds_root_dn,
                "bindPassword": content.ufds_root_password,
            },
            "moray": {"host": content.moray.address().ip(), "port": content.moray.address().port()},
        });
        let Value::Object(mut config) = config else { return Map::new() };
        config.extend(content.manta.iter().flat_map(|manta| manta.settings()));
        config.extend(content.services.iter().flat_map(|services| services.settings()));
        if !content.peers.is_empty() {
            config.insert("imgapiUrlFromDatacenter".to_owned(), json!(content.peers));
        }
        for (key, value) in settings.clone() {
            match (config.get_mut(&key), value) {
                (Some(Value::Object(section)), Value::Object(members)) => section.extend(members),
                (_, value) => drop(config.insert(key, value)),
            }
        }
        config
    }
}

/// Writes JSON to `path`, completely or not at all. Only the owner may read it, because it contains a password. If `path` is not
/// a regular file, it is written to instead of replaced.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path)?;
        serde_json::to_writer_pretty(&file, value)?;
        return file.write_all(b"\n");
    }
    // A symbolic link is followed, so that its target is replaced.
    let path = &there.map_or_else(|| Ok(path.to_owned()), |_| fs::canonicalize(path))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The temporary file has the mode 0600.
    let mut file = NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        write_json(&file, &json!({"a": 1})).unwrap();
        symlink("file", &link).unwrap();
        write_json(&link, &json!([])).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "[]\n");
        write_json(Path::new("/dev/null"), &json!({})).unwrap();
        assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
    }
}
