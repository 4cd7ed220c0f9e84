// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manifests: their definition, those in local directories, and which of several applies.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::template::MAX_TEMPLATE;
use crate::sapi;

/// The most manifests of an instance.
pub(super) const MAX_MANIFESTS: usize = 256;

const MAX_MANIFEST_JSON: u64 = 64 * 1024;

/// The directory of the manifests below a local directory.
const DIR: &str = "sapi_manifests";

/// A manifest, which describes how a file is made.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub name: String,
    pub path: PathBuf,
    pub template: String,
    pub post_cmd: Option<String>,
    /// The required mode and owner, an extension of this agent. Without it an existing file keeps its own.
    pub access: Access,
}

/// The permissions of a file that a manifest sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// The nine permission bits.
    pub mode: Option<u32>,
    /// A name or a number.
    pub owner: Option<String>,
    /// A name or a number. If only the owner is set, it is the owner's group.
    pub group: Option<String>,
}

/// The content of `manifest.json`.
#[derive(Deserialize)]
struct ManifestFile {
    name: String,
    path: PathBuf,
    post_cmd: Option<String>,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
}

impl From<sapi::Manifest> for Manifest {
    fn from(manifest: sapi::Manifest) -> Manifest {
        let sapi::Manifest { name, path, template, post_cmd } = manifest;
        Manifest { name, path: path.into(), template, post_cmd, access: Access::default() }
    }
}

/// An entry of a local directory that is not a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub path: PathBuf,
    pub reason: String,
    /// Whether the entry was meant as a manifest, so that a file is not kept up to date. Otherwise it is only a stray file.
    pub missed: bool,
}

/// Returns the manifests below `dirs`, in the order of directories and names, and the entries that are not manifests.
pub(super) fn read_local(dirs: &[PathBuf]) -> (Vec<Manifest>, Vec<Invalid>) {
    let mut manifests = Vec::new();
    let mut invalid = Vec::new();
    for dir in dirs {
        let dir = if dir.ends_with(DIR) { dir.clone() } else { dir.join(DIR) };
        match entries(&dir) {
            Ok(entries) => {
                for path in entries {
                    if !path.is_dir() {
                        let reason = "it is not a directory".to_owned();
                        invalid.push(Invalid { path, reason, missed: false });
                        continue;
                    }
                    match read(&path) {
                        Ok(manifest) => manifests.push(manifest),
                        Err(reason) => invalid.push(Invalid { path, reason, missed: true }),
                    }
                }
            }
            Err(error) => {
                let missed = error.kind() != io::ErrorKind::NotFound;
                invalid.push(Invalid { path: dir, reason: error.to_string(), missed });
            }
        }
    }
    (manifests, invalid)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        if entries.len() == MAX_MANIFESTS {
            return Err(io::Error::other(format!("there are more than {MAX_MANIFESTS} entries")));
        }
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

fn read(dir: &Path) -> Result<Manifest, String> {
    let text = read_text(&dir.join("manifest.json"), MAX_MANIFEST_JSON)?;
    let file: ManifestFile =
        serde_json::from_str(&text).map_err(|error| format!("manifest.json: {error}"))?;
    let template = read_text(&dir.join("template"), MAX_TEMPLATE as u64)?;
    let mode = file.mode.map(|mode| parse_mode(&mode)).transpose()?;
    let manifest = Manifest {
        name: file.name,
        path: file.path,
        template,
        post_cmd: file.post_cmd.filter(|command| !command.is_empty()),
        access: Access { mode, owner: file.owner, group: file.group },
    };
    manifest.check().map(|()| manifest)
}

/// Parses an octal mode as `chmod` does, but without the setuid, setgid and sticky bits.
fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "manifest.json: mode must be octal, up to 0777, as a string".to_owned())
}

fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let problem = |error: io::Error| format!("{name}: {error}");
    let mut text = String::new();
    File::open(path).map_err(problem)?.take(max + 1).read_to_string(&mut text).map_err(problem)?;
    if text.len() as u64 > max {
        return Err(format!("{name} has more than {max} bytes"));
    }
    Ok(text)
}

impl Manifest {
    /// Checks what holds for every manifest, from SAPI or local.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("its name is empty".to_owned());
        }
        if !self.path.is_absolute() || self.path.file_name().is_none() {
            return Err(format!("its path {} is not that of a file", self.path.display()));
        }
        Ok(())
    }
}

/// Returns the manifests that apply, with SAPI's first: a local one replaces one from SAPI with the same name or path.
/// Of several with the same path the first one applies. The manifests that do not apply are returned as well.
pub(super) fn resolve(from_sapi: Vec<Manifest>, local: Vec<Manifest>) -> (Vec<Manifest>, Vec<Manifest>) {
    let mut chosen: Vec<Manifest> = Vec::new();
    let mut left_out = Vec::new();
    let replaced = |manifest: &Manifest| {
        local.iter().any(|other| other.name == manifest.name || other.path == manifest.path)
    };
    let from_sapi: Vec<Manifest> = from_sapi.into_iter().filter(|manifest| !replaced(manifest)).collect();
    for manifest in from_sapi.into_iter().chain(local.iter().cloned()) {
        let double = chosen.iter().any(|other| other.path == manifest.path || other.name == manifest.name);
        let list = if double { &mut left_out } else { &mut chosen };
        list.push(manifest);
    }
    (chosen, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, path: &str, template: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            path: path.into(),
            template: template.to_owned(),
            post_cmd: None,
            access: Access::default(),
        }
    }

    #[test]
    fn local_manifests_replace_those_of_sapi_by_name_and_by_path() {
        let from_sapi = vec![
            manifest("a", "/a", "sapi"),
            manifest("b", "/b", "sapi"),
            manifest("c", "/c", "sapi"),
            manifest("c2", "/c", "sapi"),
        ];
        let local = vec![
            manifest("a", "/other", "local"),
            manifest("x", "/b", "local"),
            manifest("y", "/b", "local"),
        ];
        let (chosen, left_out) = resolve(from_sapi, local);
        let names = |list: &[Manifest]| list.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&chosen), ["c", "a", "x"]);
        assert_eq!(names(&left_out), ["c2", "y"]);
    }

    #[test]
    fn an_entry_that_is_no_manifest_does_not_hide_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("sapi_manifests");
        let put = |name: &str, json: &str, template: Option<&str>| {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("manifest.json"), json).unwrap();
            if let Some(template) = template {
                fs::write(root.join(name).join("template"), template).unwrap();
            }
        };
        put(
            "good",
            r#"{"name": "good", "path": "/x/y", "mode": "0600", "owner": "nobody", "more": 1}"#,
            Some("\u{e9}"),
        );
        put("later", r#"{"name": "later", "path": "/x/z", "post_cmd": ""}"#, Some(""));
        put("no-template", r#"{"name": "n", "path": "/n"}"#, None);
        put("relative", r#"{"name": "n", "path": "n"}"#, Some(""));
        put("no-json", "{", Some(""));
        put("mode", r#"{"name": "n", "path": "/n", "mode": "4755"}"#, Some(""));
        fs::write(root.join("stray"), "").unwrap();
        for given in [dir.path().to_owned(), root.clone()] {
            let (manifests, invalid) = read_local(&[given, dir.path().join("missing")]);
            assert_eq!(manifests.len(), 2);
            assert_eq!((manifests[0].name.as_str(), manifests[0].template.as_str()), ("good", "\u{e9}"));
            assert_eq!(manifests[0].access.mode, Some(0o600));
            assert_eq!(manifests[1].post_cmd, None);
            assert_eq!(invalid.iter().filter(|entry| entry.missed).count(), 4);
            let names: Vec<_> =
                invalid.iter().map(|entry| entry.path.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!(names, ["mode", "no-json", "no-template", "relative", "stray", "sapi_manifests"]);
        }
    }
}
