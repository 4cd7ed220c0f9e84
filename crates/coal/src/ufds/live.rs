// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A directory that changes while it is served: keys can be added and removed, all other entries stay.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_signature::PublicKey;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::directory::{Directory, Entry};
use super::dn::Dn;

/// A directory whose keys can be changed. Clones share it. A reader sees a consistent snapshot.
#[derive(Debug, Clone)]
pub struct LiveDirectory(Arc<LiveDirectoryInner>);

#[derive(Debug)]
struct LiveDirectoryInner {
    current: Mutex<Arc<Directory>>,
    /// The file that stores the keys; `None` if they are not stored.
    file: Option<PathBuf>,
    /// Whether the file existed at the start.
    restored: bool,
}

/// The key of an account or sub-user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// Name of the key.
    pub name: String,
    /// MD5 fingerprint, in hexadecimal with colons.
    pub fingerprint: String,
    /// The line of a `.pub` file.
    pub openssh: String,
}

/// A key as it is stored in the file.
#[derive(Debug, Serialize, Deserialize)]
struct KeptEntry {
    dn: String,
    attributes: Vec<(String, Vec<String>)>,
}

/// Changes of this directory are lost when the process ends.
impl From<Directory> for LiveDirectory {
    fn from(directory: Directory) -> Self {
        let current = Mutex::new(Arc::new(directory));
        Self(Arc::new(LiveDirectoryInner { current, file: None, restored: false }))
    }
}

impl LiveDirectory {
    /// Stores keys in this file. If it exists, its keys replace those of the directory. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or has a wrong format.
    pub fn kept_in(mut directory: Directory, file: PathBuf) -> io::Result<Self> {
        let restored = match std::fs::read(&file) {
            Ok(text) => {
                directory.retain(|entry| !entry.has_class("sdckey"));
                for KeptEntry { dn, attributes } in serde_json::from_slice::<Vec<KeptEntry>>(&text)? {
                    let dn: Dn = dn.parse().map_err(io::Error::other)?;
                    // The account may have been removed from the LDIF file.
                    if dn.parent().is_some_and(|owner| directory.get(&owner).is_some()) {
                        directory.add(Entry { dn, attributes });
                    }
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let current = Mutex::new(Arc::new(directory));
        Ok(Self(Arc::new(LiveDirectoryInner { current, file: Some(file), restored })))
    }

    /// Returns whether the keys come from an earlier start.
    pub(crate) fn is_restored(&self) -> bool {
        self.0.restored
    }

    /// Returns a snapshot of the directory.
    pub fn now(&self) -> Arc<Directory> {
        Arc::clone(&self.current())
    }

    /// Changes the directory completely or not at all. Blocks while it writes a small file.
    pub(crate) fn change<E: From<io::Error>>(
        &self,
        change: impl FnOnce(&mut Directory) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut current = self.current();
        let mut next = Directory::clone(&current);
        change(&mut next)?;
        if let Some(file) = &self.0.file {
            keep(file, &next)?;
        }
        *current = Arc::new(next);
        Ok(())
    }

    /// Returns the keys of an account, in the order in which they were added.
    pub fn keys(&self, login: &str) -> Vec<SshKey> {
        let now = self.now();
        let Some(account) = now.account_entry(login) else { return Vec::new() };
        let first = |entry: &Entry, name| entry.values(name).first().cloned().unwrap_or_default();
        let keys = now
            .entries()
            .iter()
            .filter(|entry| entry.has_class("sdckey") && entry.dn.parent().as_ref() == Some(&account.dn));
        keys.map(|entry| SshKey {
            name: first(entry, "name"),
            fingerprint: first(entry, "fingerprint"),
            openssh: first(entry, "openssh"),
        })
        .collect()
    }

    /// Adds a key, given as the line of a `.pub` file, to the account, as an operator does in UFDS. Does nothing if there is no
    /// such account. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the line is not a key, or if the keys cannot be stored.
    pub fn add_key(&self, login: &str, openssh: &str) -> io::Result<()> {
        let fingerprint = PublicKey::from_openssh(openssh).map_err(io::Error::other)?.md5_fingerprint();
        self.change(|directory| {
            directory.add_key(login, &fingerprint, openssh);
            Ok(())
        })
    }

    /// Deletes the key with this fingerprint from every owner. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the keys cannot be stored.
    pub fn delete_key(&self, fingerprint: &str) -> io::Result<()> {
        self.change(|directory| {
            directory.retain(|entry| {
                !entry.has_class("sdckey")
                    || !entry.values("fingerprint").iter().any(|one| one == fingerprint)
            });
            Ok(())
        })
    }

    fn current(&self) -> MutexGuard<'_, Arc<Directory>> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(file: &Path, directory: &Directory) -> io::Result<()> {
    let keys = directory.entries().iter().filter(|entry| entry.has_class("sdckey"));
    let kept: Vec<_> = keys
        .map(|entry| KeptEntry { dn: entry.dn.to_string(), attributes: entry.attributes.clone() })
        .collect();
    let mut written = NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    serde_json::to_writer_pretty(&mut written, &kept)?;
    written.write_all(b"\n")?;
    written.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_what_has_gone_stays_away() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys.json");
        let open = || LiveDirectory::kept_in(Directory::built_in().unwrap(), file.clone()).unwrap();
        let first = open();
        assert!(!first.is_restored());
        let add = |fingerprint: &str| {
            let done = first.change::<io::Error>(|directory| {
                directory.add_key("admin", fingerprint, "ssh-ed25519 AAAA");
                Ok(())
            });
            done.unwrap();
        };
        add("aa:bb");
        add("cc:dd");
        let seen = first.now();
        first
            .change::<io::Error>(|directory| {
                directory.retain(|entry| !entry.values("fingerprint").contains(&"aa:bb".to_owned()));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.entries().len(), first.now().entries().len() + 1);
        assert!(first.change(|_| Err(io::Error::other("no"))).is_err());
        let again = open();
        assert!(again.is_restored());
        let fingerprints: Vec<_> = again.keys("admin").into_iter().map(|key| key.fingerprint).collect();
        assert_eq!(fingerprints, ["cc:dd"]);
        assert_eq!(first.keys("admin"), again.keys("admin"));
    }
}
