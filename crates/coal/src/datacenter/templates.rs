// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! IMGAPI's own manifests, adapted to this machine.
//!
//! Manifests in a zone have fixed paths and ports, and a service manager. Here several datacenters share a machine, so a few
//! texts are replaced. Each of them must occur exactly once, so that a change of the manifests is noticed.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

/// A manifest as it is installed: its name, `manifest.json` and `template`.
struct Source {
    name: &'static str,
    manifest: &'static str,
    template: &'static str,
}

macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            manifest: include_str!(concat!("../../../../sapi_manifests/", $name, "/manifest.json")),
            template: include_str!(concat!("../../../../sapi_manifests/", $name, "/template")),
        }
    };
}

const IMGAPI: Source = source!("imgapi");
const PRIVATE_KEY: Source = source!("imgapi_private_key");
const PUBLIC_KEY: Source = source!("imgapi_public_key");
const MANTA_PROFILE: Source = source!("mantaprofile");

/// The known members of a manifest. An unknown one may need a replacement.
const MEMBERS: [&str; 5] = ["name", "path", "post_cmd", "mode", "owner"];

/// The paths of the rendered files, and the values in them.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Path of IMGAPI's config.
    pub(super) config: &'a Path,
    /// Path of the private key. The public key is beside it.
    pub(super) key: &'a Path,
    /// Path of the environment for Manta's tools.
    pub(super) manta_profile: &'a Path,
    /// File that contains the process id of IMGAPI while it runs.
    pub(super) pid_file: &'a Path,
    pub(super) imgapi: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) moray: SocketAddr,
    /// More keys for the config.
    pub(super) settings: &'a Map<String, Value>,
}

/// Why the manifests cannot be adapted.
#[derive(Debug, Error)]
pub(super) enum Misfit {
    #[error("{manifest}: {place:?} is there {count} times, not once")]
    Count { manifest: &'static str, place: &'static str, count: usize },
    #[error("{manifest}: {member} is {found}, and was {expected:?}")]
    Member { manifest: &'static str, member: &'static str, found: String, expected: &'static str },
    #[error("{manifest}: nobody knows what {member} is to be here")]
    Unknown { manifest: &'static str, member: String },
    #[error("{manifest}: {source}")]
    Json { manifest: &'static str, source: serde_json::Error },
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A member of `manifest.json`: its name, its value in a zone, and its value here.
type Change = (&'static str, &'static str, String);

/// Writes all manifests below `directory`.
pub(super) fn install(directory: &Path, places: &Places<'_>) -> Result<(), Misfit> {
    let public = PathBuf::from(format!("{}.pub", places.key.display()));
    let imgapi = [
        ("path", "/data/imgapi/etc/imgapi.config.json", shown(places.config)),
        ("post_cmd", "/usr/sbin/svcadm refresh imgapi", refresh(places.pid_file)),
    ];
    IMGAPI.install(directory, &imgapi, &config_places(places))?;
    let private_key = [
        ("path", "/root/.ssh/imgapi.key", shown(places.key)),
        (
            "post_cmd",
            "chmod 600 /root/.ssh/imgapi.key; chown nobody:nobody /root/.ssh/imgapi.key",
            format!("chmod 600 {}", quoted(places.key)),
        ),
    ];
    PRIVATE_KEY.install(directory, &private_key, &[])?;
    let public_key = [
        ("path", "/root/.ssh/imgapi.key.pub", shown(&public)),
        (
            "post_cmd",
            "chown nobody:nobody /root/.ssh/imgapi.key.pub",
            format!("chmod 644 {}", quoted(&public)),
        ),
    ];
    PUBLIC_KEY.install(directory, &public_key, &[])?;
    let profile = [("path", "/root/.mantaprofile", shown(places.manta_profile))];
    MANTA_PROFILE.install(directory, &profile, &[])
}

/// Returns the replacements in the template of IMGAPI's config.
fn config_places(places: &Places<'_>) -> Vec<(&'static str, String)> {
    let settings: String =
        places.settings.iter().map(|(name, value)| format!("\n    {}: {value},", text(name))).collect();
    vec![
        ("\"port\": 80,", format!("\"port\": {},", places.imgapi.port())),
        ("\"address\": \"0.0.0.0\",", format!("\"address\": \"{}\",", places.imgapi.ip())),
        (
            "\"mode\": \"dc\",",
            format!("\"mode\": \"dc\",\n    \"metricsPort\": {},{settings}", places.metrics.port()),
        ),
        ("\"port\": 2020,", format!("\"port\": {},", places.moray.port())),
        ("\"key\": \"/root/.ssh/imgapi.key\",", format!("\"key\": {},", text(&shown(places.key)))),
    ]
}

/// Returns the replacement of `svcadm refresh`. It does nothing while IMGAPI does not run.
fn refresh(pid_file: &Path) -> String {
    let file = quoted(pid_file);
    format!("[ ! -f {file} ] || kill -HUP \"$(cat {file})\"")
}

impl Source {
    fn install(
        &self,
        directory: &Path,
        changes: &[Change],
        places: &[(&'static str, String)],
    ) -> Result<(), Misfit> {
        let manifest = self.changed_manifest(changes)?;
        let template = self.changed_template(places)?;
        let directory = directory.join(self.name);
        fs::create_dir_all(&directory).map_err(|source| Misfit::Io { path: directory.clone(), source })?;
        write(&directory.join("manifest.json"), &manifest)?;
        write(&directory.join("template"), &template)
    }

    /// Returns the adapted `manifest.json`. It has no owner, because all files belong to the user who runs coal.
    fn changed_manifest(&self, changes: &[Change]) -> Result<String, Misfit> {
        let json = |source| Misfit::Json { manifest: self.name, source };
        let mut manifest: Map<String, Value> = serde_json::from_str(self.manifest).map_err(json)?;
        if let Some(member) = manifest.keys().find(|member| !MEMBERS.contains(&member.as_str())) {
            return Err(Misfit::Unknown { manifest: self.name, member: member.clone() });
        }
        for member in ["path", "post_cmd"] {
            let change = changes.iter().find(|(name, ..)| *name == member);
            let found = manifest.get(member).and_then(Value::as_str);
            let expected = change.map(|(_, before, _)| *before);
            if found != expected {
                let found = found.unwrap_or("nothing").to_owned();
                let expected = expected.unwrap_or("nothing");
                return Err(Misfit::Member { manifest: self.name, member, found, expected });
            }
            if let Some((.., after)) = change {
                manifest.insert(member.to_owned(), after.clone().into());
            }
        }
        manifest.shift_remove("owner");
        serde_json::to_string_pretty(&manifest).map_err(json)
    }

    fn changed_template(&self, places: &[(&'static str, String)]) -> Result<String, Misfit> {
        let mut template = self.template.to_owned();
        for (place, replacement) in places {
            let count = self.template.matches(place).count();
            if count != 1 {
                return Err(Misfit::Count { manifest: self.name, place, count });
            }
            template = template.replacen(place, replacement, 1);
        }
        Ok(template)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Quotes a path as a shell word.
fn quoted(path: &Path) -> String {
    format!("'{}'", shown(path).replace('\'', "'\\''"))
}

/// Writes a JSON string.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn write(path: &Path, content: &str) -> Result<(), Misfit> {
    let failed = |source| Misfit::Io { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(settings: &Map<String, Value>) -> Places<'_> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Places {
            config: Path::new("/d/imgapi.config.json"),
            key: Path::new("/d/it's/imgapi.key"),
            manta_profile: Path::new("/d/mantaprofile"),
            pid_file: Path::new("/d/imgapi.pid"),
            imgapi: address(1),
            metrics: address(2),
            moray: address(3),
            settings,
        }
    }

    #[test]
    fn all_manifests_are_known_and_fit() {
        let installed = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sapi_manifests"));
        let mut names: Vec<String> = fs::read_dir(installed)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [IMGAPI, PRIVATE_KEY, PUBLIC_KEY, MANTA_PROFILE].map(|source| source.name));
        let directory = tempfile::tempdir().unwrap();
        let settings = Map::from_iter([("scrubRate".to_owned(), 0.into())]);
        install(directory.path(), &places(&settings)).unwrap();
        let template = fs::read_to_string(directory.path().join("imgapi/template")).unwrap();
        assert!(template.contains("\"port\": 3,") && template.contains("\"scrubRate\": 0,"), "{template}");
        for name in names {
            let manifest = fs::read_to_string(directory.path().join(name).join("manifest.json")).unwrap();
            assert!(!manifest.contains("/root") && !manifest.contains("nobody"), "{manifest}");
        }
    }

    #[test]
    fn what_is_not_there_once_is_refused() {
        let twice = Source { name: "twice", manifest: "{}", template: "\"port\": 80,\n\"port\": 80," };
        let error = twice.changed_template(&config_places(&places(&Map::new()))).unwrap_err();
        assert_eq!(error.to_string(), "twice: \"\\\"port\\\": 80,\" is there 2 times, not once");
        let moved = Source { name: "moved", manifest: r#"{"path": "/elsewhere"}"#, template: "" };
        let error = moved.changed_manifest(&[("path", "/here", String::new())]).unwrap_err();
        assert_eq!(error.to_string(), "moved: path is /elsewhere, and was \"/here\"");
        let more = Source { name: "more", manifest: r#"{"group": "staff"}"#, template: "" };
        assert!(matches!(more.changed_manifest(&[]), Err(Misfit::Unknown { .. })));
    }
}
