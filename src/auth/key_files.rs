// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use http_signature::PublicKey;

use crate::files;
use crate::telemetry::err;

const SUFFIX: &str = ".keys";
/// The largest file that is read, in bytes: thousands of keys.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// Returns whether a file with this name, which may come from another system, holds the keys of a user. Hidden files do not.
pub(super) fn is_key_file(name: &str) -> bool {
    name.ends_with(SUFFIX) && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// A directory of files `USER.keys` with one public key per line. Blank lines and lines that begin with `#` are ignored.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    directory: PathBuf,
    users: BTreeMap<String, Vec<PublicKey>>,
}

impl KeyFiles {
    /// Names a directory, which need not exist. Nothing is read yet.
    pub(super) fn new(directory: PathBuf) -> KeyFiles {
        KeyFiles { directory, users: BTreeMap::new() }
    }

    /// Returns every user with a file, and the keys in it.
    pub(super) fn users(&self) -> impl Iterator<Item = (&str, &[PublicKey])> {
        self.users.iter().map(|(user, keys)| (user.as_str(), keys.as_slice()))
    }

    /// Reads all files. If a file cannot be read, that is logged, and its earlier keys stay, so that its user is not
    /// locked out and the other files are updated. Users whose files were deleted are removed.
    pub(super) fn read(&mut self) {
        let names = match file_names(&self.directory) {
            Ok(names) => names,
            Err(error) => {
                let directory = self.directory.display();
                tracing::error!(err.json = %err(&error), "cannot list the key files in {directory}");
                return;
            }
        };
        let mut former = std::mem::take(&mut self.users);
        for name in names {
            let path = self.directory.join(&name);
            let user = name[..name.len() - SUFFIX.len()].to_owned();
            let keys = match read_file(&path) {
                Ok(text) => parse(&path, &text),
                Err(error) => {
                    tracing::error!(err.json = %err(&error), "cannot read the key file {}", path.display());
                    former.remove(&user).unwrap_or_default()
                }
            };
            self.users.insert(user, keys);
        }
    }
}

/// Returns the names of the key files in a directory. No request can contain a name that is not UTF-8.
fn file_names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && is_key_file(&name)
        {
            names.push(name);
        }
    }
    Ok(names)
}

fn read_file(path: &Path) -> io::Result<String> {
    // The operator may have made the file a link to the place where the keys are kept.
    Ok(String::from_utf8_lossy(&files::read_linked(path, MAX_FILE)?).into_owned())
}

fn parse(path: &Path, text: &str) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match PublicKey::from_openssh(line) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let path = path.display();
                tracing::warn!(err.json = %err(&error), "the key in line {number} of {path} is left out");
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const RSA: &str = include_str!("../../crates/http-signature/tests/data/keys/rsa.pub");
    const DSA: &str = include_str!("../../crates/http-signature/tests/data/keys/dsa.pub");

    fn counts(files: &KeyFiles) -> Vec<(&str, usize)> {
        files.users().map(|(user, keys)| (user, keys.len())).collect()
    }

    #[test]
    fn names_of_files_are_names_of_users() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("luke.keys", &format!("# luke's\n\n  {RSA}{RSA}\r\n"));
        write("a.b@c d.keys", RSA);
        write("lukë.keys", RSA);
        write("constructor.keys", "");
        write("dsa.keys", &format!("{DSA}{RSA}nonsense\n"));
        write(".keys", RSA);
        write(".hidden.keys", RSA);
        write("luke.pub", RSA);
        fs::create_dir(directory.path().join("below")).unwrap();
        write("below/vader.keys", RSA);
        let mut files = KeyFiles::new(directory.path().to_owned());
        files.read();
        let expected = [("a.b@c d", 1), ("constructor", 0), ("dsa", 1), ("luke", 2), ("lukë", 1)];
        assert_eq!(counts(&files), expected);
    }

    #[test]
    fn a_file_that_cannot_be_read_counts_as_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("luke.keys"), RSA).unwrap();
        fs::write(path("vader.keys"), RSA).unwrap();
        let mut files = KeyFiles::new(directory.path().to_owned());
        files.read();
        // Root can read every file. Nobody can read a dangling link or a directory.
        fs::remove_file(path("luke.keys")).unwrap();
        symlink("nowhere", path("luke.keys")).unwrap();
        fs::create_dir(path("yoda.keys")).unwrap();
        fs::write(path("vader.keys"), format!("{RSA}{RSA}")).unwrap();
        files.read();
        assert_eq!(counts(&files), [("luke", 1), ("vader", 2), ("yoda", 0)]);
        fs::remove_file(path("luke.keys")).unwrap();
        files.read();
        assert_eq!(counts(&files), [("vader", 2), ("yoda", 0)]);
    }

    #[test]
    fn a_directory_need_not_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = KeyFiles::new(directory.path().join("etc"));
        files.read();
        assert_eq!(counts(&files), []);
        fs::write(directory.path().join("etc"), "a file").unwrap();
        files.read();
        assert_eq!(counts(&files), []);
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let text = RSA.repeat(MAX_FILE as usize / RSA.len() + 1);
        fs::write(directory.path().join("luke.keys"), text).unwrap();
        let mut files = KeyFiles::new(directory.path().to_owned());
        files.read();
        assert_eq!(counts(&files), [("luke", 0)]);
    }
}
