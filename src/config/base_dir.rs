// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The directory of data that are not stored in other services: files, and on a standalone server the manifests.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::read::Reader;

/// The delegated dataset of a zone.
const DEFAULT: &str = "/data/imgapi";
const KEY: &str = "localBaseDir";
const VARIABLE: &str = "IMGAPI_LOCAL_BASE_DIR";

/// What sets the local base directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The environment of this process, which other processes may not share.
    Variable,
    /// The configuration.
    Key,
    /// Nothing; it is the default.
    Nobody,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NamedBy::Variable => VARIABLE,
            NamedBy::Key => KEY,
            NamedBy::Nobody => "the default",
        })
    }
}

/// Returns the directory in the environment variable, otherwise in the key, otherwise the default.
pub(super) fn read(root: &mut Reader<'_>) -> (PathBuf, NamedBy) {
    choose(root, std::env::var_os(VARIABLE))
}

fn choose(root: &mut Reader<'_>, variable: Option<OsString>) -> (PathBuf, NamedBy) {
    let key = root.text(KEY).map(PathBuf::from);
    if key.as_ref().is_some_and(|path| !path.is_absolute()) {
        root.problem(KEY, "must be an absolute path");
    }
    if let Some(directory) = variable.filter(|directory| !directory.is_empty()) {
        // If there is no current directory, the system rejects the path when it is used.
        let absolute = std::path::absolute(&directory).unwrap_or_else(|_| directory.into());
        return (absolute, NamedBy::Variable);
    }
    key.map_or_else(|| (DEFAULT.into(), NamedBy::Nobody), |path| (path, NamedBy::Key))
}

/// Sets the directory in use, whatever sets it, in the configuration that `imgapi config` prints.
pub(super) fn complete(merged: &mut Map<String, Value>, directory: &Path) {
    merged.insert(KEY.to_owned(), Value::from(directory.to_string_lossy()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(config: Value, variable: Option<&str>) -> (PathBuf, NamedBy, usize) {
        let mut problems = Vec::new();
        let config = config.as_object().unwrap().clone();
        let (path, by) = choose(&mut Reader::new(&config, &mut problems), variable.map(OsString::from));
        (path, by, problems.len())
    }

    #[test]
    fn the_variable_wins_over_the_key_and_the_key_over_the_default() {
        let key = json!({"localBaseDir": "/a"});
        assert_eq!(chosen(key.clone(), Some("/b")), ("/b".into(), NamedBy::Variable, 0));
        assert_eq!(chosen(key.clone(), Some("")), ("/a".into(), NamedBy::Key, 0));
        assert_eq!(chosen(key, None), ("/a".into(), NamedBy::Key, 0));
        assert_eq!(chosen(json!({}), None), (DEFAULT.into(), NamedBy::Nobody, 0));
        assert_eq!(chosen(json!({"localBaseDir": ""}), None), (DEFAULT.into(), NamedBy::Nobody, 0));
    }

    #[test]
    fn a_key_that_means_another_directory_to_every_process_is_refused() {
        assert_eq!(chosen(json!({"localBaseDir": "data"}), None).2, 1);
        assert_eq!(chosen(json!({"localBaseDir": 5}), None).2, 1);
        assert!(chosen(json!({}), Some("data")).0.is_absolute());
    }
}
