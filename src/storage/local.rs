//! Files on local disk.
//!
//! | Path below the base directory | What |
//! | --- | --- |
//! | `images/<first 3 characters of the UUID>/<uuid>/file0`, `file1`, `icon` | an image's files, as 4.13.1 has them |
//! | `incoming/…` | files on their way there, see [`Leftover`] |
//! | `archive/<first 3>/<uuid>.json` | the last version of each manifest; with Manta, of those that are not there yet |
//!
//! Publishing a file takes three durable steps: rename to a name in `incoming` that says image, file and SHA-1; the
//! manifest names the SHA-1 (not here); rename to the final place. A reader looks in `incoming` for the SHA-1 that its
//! manifest names and then in the final place, so whatever step a crash or a second upload falls between, a manifest
//! never stands beside other bytes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::Stream;

use super::ingest::{Digesting, Digests, FileSink, ReceiveError, ingest};
use super::temporary::{
    Claim, Content, Leftover, Temporary, complete_name, create_directories, remove_if_there, sync_directory,
};
use super::{Asset, StorageError, blocking};
use crate::files;
use crate::manifest::Uuid;

/// Of what is in `incoming` and cannot be from here, so much is told.
const MOST_STRANGERS: usize = 100;

/// The local storage below one base directory.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    base: PathBuf,
    /// What is in `incoming` and cannot be from here: told once.
    strangers: Arc<Mutex<HashSet<OsString>>>,
}

/// A complete, durable file that belongs to no image yet. Dropping it removes it.
#[derive(Debug)]
pub struct Received {
    /// What its bytes are.
    pub digests: Digests,
    temporary: Temporary,
}

/// A complete file under its image's name, for a manifest to refer to. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    temporary: Temporary,
    place: PathBuf,
}

impl LocalStorage {
    /// The storage in `base`. Directories are made when they are needed.
    pub fn new(base: PathBuf) -> LocalStorage {
        LocalStorage { base, strangers: Arc::default() }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.base.join("incoming")
    }

    /// The directory of all images.
    pub(super) fn images(&self) -> PathBuf {
        self.base.join("images")
    }

    fn image_directory(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.images().join(&uuid[..3]).join(uuid)
    }

    /// Where a file of an image stands for good.
    fn place(&self, uuid: Uuid, asset: Asset) -> PathBuf {
        self.image_directory(uuid).join(asset.to_string())
    }

    pub(super) fn archive(&self) -> PathBuf {
        self.base.join("archive")
    }

    pub(super) fn archive_path(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.archive().join(&uuid[..3]).join(format!("{uuid}.json"))
    }

    /// A file of this name in the base directory, for what is worth keeping and no image's.
    pub(super) fn note(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Makes the directories that every start needs. Not being able to is reported, not fatal: they are tried again
    /// whenever they are needed.
    pub async fn prepare(&self) -> Result<(), StorageError> {
        let directories = [self.images(), self.archive(), self.incoming()];
        Ok(blocking(move || directories.iter().try_for_each(|path| create_directories(path))).await?)
    }

    /// Whether files can be written here: makes an empty one, and removes it. Returns how many bytes are free.
    pub async fn probe(&self) -> Result<u64, StorageError> {
        let incoming = self.incoming();
        let probed = blocking(move || {
            let _empty = Temporary::create(&incoming)?;
            let space = rustix::fs::statvfs(&incoming)?;
            Ok(space.f_bavail.saturating_mul(space.f_frsize))
        });
        Ok(probed.await?)
    }

    /// Receives a whole body of at most `limit` bytes. When it fails, or is dropped, nothing remains.
    pub(super) async fn receive<S, E>(
        &self,
        expected: Option<u64>,
        digesting: Digesting,
        limit: u64,
        body: S,
    ) -> Result<Received, ReceiveError<E>>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let incoming = self.incoming();
        let (temporary, file) = blocking(move || {
            let temporary = Temporary::create(&incoming)?;
            let file = temporary.file.try_clone()?;
            Ok((temporary, file))
        })
        .await
        .map_err(StorageError::from)?;
        let digests = ingest(&mut FileSink::new(file, expected).await?, digesting, limit, body).await?;
        Ok(Received { digests, temporary })
    }

    /// Gives `received` the name under which a manifest of `uuid` can refer to it as its file, by index, or its icon.
    pub async fn stage(
        &self,
        received: Received,
        uuid: Uuid,
        asset: impl Into<Asset>,
    ) -> Result<Staged, StorageError> {
        let asset = asset.into();
        let complete = self.incoming().join(complete_name(uuid, asset, &received.digests.sha1));
        let place = self.place(uuid, asset);
        let mut temporary = received.temporary;
        let staged = blocking(move || {
            temporary.rename(complete)?;
            Ok(Staged { temporary, place })
        });
        Ok(staged.await?)
    }

    /// Gives a file of `from`, the one whose bytes have this SHA-1, an additional name under which a manifest of `to` can
    /// refer to it.
    pub async fn link(&self, from: Uuid, to: Uuid, asset: Asset, sha1: &str) -> Result<Staged, StorageError> {
        let incoming = self.incoming();
        let sources = [incoming.join(complete_name(from, asset, sha1)), self.place(from, asset)];
        let complete = incoming.join(complete_name(to, asset, sha1));
        let place = self.place(to, asset);
        let linked = blocking(move || {
            create_directories(&incoming)?;
            let temporary = match Temporary::link(&sources[0], complete.clone()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Temporary::link(&sources[1], complete)?
                }
                linked => linked?,
            };
            Ok(Staged { temporary, place })
        });
        linked.await.map_err(|error| missing_or_failed(error, from, asset))
    }

    /// Opens a file of `uuid`, the one whose bytes have this SHA-1.
    pub async fn open(&self, uuid: Uuid, asset: impl Into<Asset>, sha1: &str) -> Result<File, StorageError> {
        let asset = asset.into();
        let complete = self.incoming().join(complete_name(uuid, asset, sha1));
        let place = self.place(uuid, asset);
        let opened = blocking(move || match files::open(&complete) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files::open(&place),
            other => other,
        });
        opened.await.map_err(|error| missing_or_failed(error, uuid, asset))
    }

    /// Deletes the files of `uuid` with these SHA-1s, and the image's directory if that leaves it empty.
    pub async fn delete(&self, uuid: Uuid, files: Vec<(Asset, String)>) -> Result<(), StorageError> {
        let incoming = self.incoming();
        let directory = self.image_directory(uuid);
        let deleted = blocking(move || {
            Ok(files
                .iter()
                .try_for_each(|(asset, sha1)| {
                    remove_if_there(&incoming.join(complete_name(uuid, *asset, sha1)))?;
                    remove_if_there(&directory.join(asset.to_string()))
                })
                .map_err(StorageError::from)
                .and_then(|()| remove_directory(&directory)))
        });
        deleted.await?
    }

    /// Everything in `incoming` that nobody works on. What is not of the form that names have there is somebody else's, and
    /// stays; so does what cannot be opened. Both are logged once.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, StorageError> {
        let (incoming, strangers) = (self.incoming(), Arc::clone(&self.strangers));
        let found = blocking(move || {
            let entries = match fs::read_dir(incoming) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let (mut leftovers, mut left) = (Vec::new(), HashSet::new());
            let mut told = strangers.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in entries {
                let entry = entry?;
                let reason = match Leftover::claim(entry.path()) {
                    Ok(Claim::Leftover(leftover)) => {
                        leftovers.push(leftover);
                        continue;
                    }
                    Ok(Claim::Nothing) => continue,
                    Ok(Claim::Stranger) => "it is nothing that this server has put there".to_owned(),
                    Err(error) => error.to_string(),
                };
                let name = entry.file_name();
                if left.len() < MOST_STRANGERS && !told.contains(&name) {
                    let file = files::readable(&name);
                    tracing::warn!(file, reason, "something in the directory incoming is left alone");
                }
                left.insert(name);
            }
            *told = left;
            Ok(leftovers)
        });
        Ok(found.await?)
    }

    /// The bytes of a leftover.
    pub async fn read_leftover(&self, leftover: Leftover) -> Result<(Leftover, Vec<u8>), StorageError> {
        Ok(blocking(move || leftover.read().map(|bytes| (leftover, bytes))).await?)
    }

    /// Removes a leftover.
    pub async fn discard(&self, leftover: Leftover) -> Result<(), StorageError> {
        Ok(blocking(move || leftover.remove()).await?)
    }

    /// Takes up a complete leftover that a manifest names, where the process that staged it stopped.
    pub async fn settle_leftover(&self, leftover: Leftover) -> Result<(), StorageError> {
        let Content::File(owner) = &leftover.content else { return self.discard(leftover).await };
        let place = self.place(owner.uuid, owner.asset);
        Staged { temporary: leftover.into_temporary(), place }.settle().await
    }
}

impl Staged {
    /// Moves the file to its final place. The manifest names it by now, so it is found in either place; after a
    /// failure the next sweep tries again.
    pub async fn settle(mut self) -> Result<(), StorageError> {
        let settled = blocking(move || {
            let moved = self.temporary.move_to(&self.place);
            self.temporary.leave();
            moved
        });
        Ok(settled.await?)
    }

    /// Leaves the file where it is, because it is not known whether a manifest names it: the next sweep decides.
    pub fn leave(mut self) {
        self.temporary.leave();
    }
}

fn missing_or_failed(error: io::Error, uuid: Uuid, asset: Asset) -> StorageError {
    match error.kind() {
        io::ErrorKind::NotFound => StorageError::NotFound(format!("{uuid}/{asset}")),
        _ => error.into(),
    }
}

fn remove_directory(directory: &std::path::Path) -> Result<(), StorageError> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(directory.parent().map_or(Ok(()), sync_directory)?),
        // Somebody's files are still there, or nothing ever was.
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
            if directory.exists() {
                Ok(sync_directory(directory)?)
            } else {
                Ok(())
            }
        }
        Err(error) => Err(error.into()),
    }
}
