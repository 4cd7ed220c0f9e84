// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use manta::{Client, Entry, EntryKind, GetOptions};
use md5::{Digest, Md5};

use super::key_files::{MAX_FILE, is_key_file};
use crate::files;
use crate::storage::MantaConnection;
use crate::telemetry::err;
use crate::workers::Failure;

/// The directory of key files in Manta, below the directory of this IMGAPI.
const DIRECTORY: &str = "authkeys";
/// The most files that are copied.
const MAX_FILES: usize = 10_000;

/// The key files in Manta, and a local directory of their copies, so that after a start without Manta the earlier users
/// are known.
#[derive(Debug)]
pub(super) struct MantaKeys {
    connection: MantaConnection,
    base: PathBuf,
    directory: PathBuf,
}

impl MantaKeys {
    /// Names the directory of the copies, below the base directory. Manta is not asked yet.
    pub(super) fn new(connection: MantaConnection, base: PathBuf, directory: PathBuf) -> MantaKeys {
        MantaKeys { connection, base, directory }
    }

    /// Makes the local files equal to those in Manta. A file that cannot be copied is logged and stays unchanged; the
    /// first such error is returned after the others are copied. Files that were deleted in Manta are deleted here, but
    /// only if Manta has listed all names: not if the whole directory is missing there.
    pub(super) async fn copy(&self) -> Result<(), Failure> {
        let client = self.connection.client().await?;
        let source = manta::Path::new(format!("{}/{DIRECTORY}", self.connection.config().root_dir))?;
        let directory = self.directory.clone();
        let Some(entries) = list(&client, &source).await? else {
            // A Manta that was restored without the directory, or a mistyped path, must not lock everybody out.
            return match blocking(move || copies(&directory)).await? {
                0 => Ok(()),
                kept => Err(format!("there is no directory {source} in manta: {kept} files copied from there before stay in use; an empty directory says that there are no keys").into()),
            };
        };
        let names = entries.iter().map(|entry| entry.name.clone()).collect();
        blocking(move || keep_only(&directory, &names)).await?;
        let mut failure = None;
        for entry in entries {
            let name = entry.name.clone();
            if let Err(error) = self.copy_file(&client, &source, entry).await {
                let path = format!("{source}/{name}");
                tracing::error!(err.json = %err(&*error), "cannot copy the key file {path} from Manta");
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn copy_file(&self, client: &Client, source: &manta::Path, entry: Entry) -> Result<(), Failure> {
        if entry.size.is_some_and(|size| size > MAX_FILE) {
            return Err(too_large());
        }
        let target = self.directory.join(&entry.name);
        if let Some(expected) = entry.md5 {
            let target = target.clone();
            if blocking(move || Ok(md5_of(&target) == Some(expected))).await? {
                return Ok(());
            }
        }
        let mut object = client.get(&source.join(&entry.name)?, &GetOptions::default()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = object.body.try_next().await? {
            if (bytes.len() + chunk.len()) as u64 > MAX_FILE {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        let (base, directory) = (self.base.clone(), self.directory.clone());
        blocking(move || {
            files::create_below(&base, &directory)?;
            // Hidden, so that it is not taken for a key file. There is one writer, so that it can have one name.
            files::replace(&target, &target.with_file_name(".unfinished"), &bytes)
        })
        .await
    }
}

/// Returns the key files of a directory in Manta; `None` if there is no such directory.
async fn list(client: &Client, directory: &manta::Path) -> Result<Option<Vec<Entry>>, Failure> {
    let mut listing = client.list(directory);
    let mut entries = Vec::new();
    loop {
        match listing.try_next().await {
            Ok(Some(entry)) if entry.kind == EntryKind::Object && is_key_file(&entry.name) => {
                entries.push(entry);
                if entries.len() > MAX_FILES {
                    return Err(format!("there are over {MAX_FILES} key files in {directory}").into());
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(entries)),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns how many key files the local directory has.
fn copies(directory: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    Ok(entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_key_file)).count())
}

/// Removes all files with other names, including those that an interrupted copy has left.
fn keep_only(directory: &Path, names: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_kept = entry.file_name().to_str().is_some_and(|name| names.contains(name));
        if !is_kept && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns `None` if the file cannot be read or is too large.
fn md5_of(path: &Path) -> Option<[u8; 16]> {
    Some(Md5::digest(files::read(path, MAX_FILE).ok()?).into())
}

fn too_large() -> Failure {
    format!("it has over {MAX_FILE} bytes").into()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Box<dyn Error + Send + Sync>> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
