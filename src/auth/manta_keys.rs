// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use manta::{Client, Entry, EntryKind, GetOptions};
use md5::{Digest, Md5};

use super::key_files::{MAX_FILE, is_key_file};
use crate::files;
use crate::storage::MantaConnection;
use crate::telemetry::err;
use crate::workers::Failure;

/// Where Manta has key files, below the directory of this IMGAPI.
const DIRECTORY: &str = "authkeys";
/// Most files that are copied.
const MAX_FILES: usize = 10_000;

/// The key files in Manta, and a local directory that has copies of them: so a start without Manta knows the users of the
/// last time.
#[derive(Debug)]
pub(super) struct MantaKeys {
    connection: MantaConnection,
    base: PathBuf,
    directory: PathBuf,
}

impl MantaKeys {
    /// Copies go to a directory below the base directory. Nothing is asked of Manta yet.
    pub(super) fn new(connection: MantaConnection, base: PathBuf, directory: PathBuf) -> MantaKeys {
        MantaKeys { connection, base, directory }
    }

    /// Makes the local files those of Manta. One that cannot be copied stays as it is here, and is logged; the first such
    /// error is returned once the others are copied. What is gone there goes here, but only when all names are known: not
    /// where the whole directory is gone.
    pub(super) async fn copy(&self) -> Result<(), Failure> {
        let client = self.connection.client().await?;
        let source = manta::Path::new(format!("{}/{DIRECTORY}", self.connection.config().root_dir))?;
        let directory = self.directory.clone();
        let Some(entries) = list(&client, &source).await? else {
            // A Manta that was restored without it, or a path that was mistyped, must not lock everybody out.
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
            replace(&target, &bytes)
        })
        .await
    }
}

/// The key files of a directory in Manta; `None` where there is no such directory.
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

/// How many key files there are in the local directory.
fn copies(directory: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    Ok(entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_key_file)).count())
}

/// Removes everything of another name, what an interrupted copy has left, too.
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

/// Writes a file in one step. It is copied again after a crash, so it need not be durable.
fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    // Hidden, so that nobody takes it for a key file; one writer, so that it has one name.
    let unfinished = target.with_file_name(".unfinished");
    files::create(&unfinished)?.write_all(bytes)?;
    fs::rename(&unfinished, target)
}

/// `None` for a file that cannot be read or is too large.
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
