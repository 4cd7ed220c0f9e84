// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Receives a new file on local disk, and publishes it.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::Stream;

use super::file_bytes::digests_of;
use super::ingest::{Expected, FileSink, ReceiveError, ingest};
use super::local::missing_or_failed;
use super::temporary::{Content, Leftover, RenameDurability, Temporary, complete_name};
use super::{Asset, Digests, LocalStorage, StorageError, Target, blocking};
use crate::files;
use crate::manifest::Uuid;

/// A complete, durable file that belongs to no image yet. Dropping it removes it.
#[derive(Debug)]
pub(super) struct LocalUpload {
    temporary: Temporary,
    storage: LocalStorage,
}

/// A complete file, under a name that a manifest can refer to. Dropping it leaves it for the next sweep.
#[derive(Debug)]
pub(super) struct LocalStaged {
    temporary: Temporary,
    place: PathBuf,
    /// Whether a file had this name before. A manifest may name that file already.
    was_there: bool,
}

impl LocalStorage {
    /// Receives a whole body. If this fails or is dropped, nothing remains.
    pub(super) async fn receive<S, E>(
        &self,
        expected: Expected,
        body: S,
    ) -> Result<(Digests, LocalUpload), ReceiveError<E>>
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
        let mut sink = FileSink::new(file, expected.length).await?;
        let digests = ingest(&mut sink, expected, body).await?;
        Ok((digests, LocalUpload { temporary, storage: self.clone() }))
    }

    /// Gives the file at `path` a second name, durably, and reads it. If this fails or is dropped, the second name is removed.
    pub(super) async fn adopt(&self, path: PathBuf) -> Result<(Digests, LocalUpload), StorageError> {
        let (base, incoming) = (self.base().to_owned(), self.incoming());
        let (digests, temporary) = blocking(move || {
            files::create_below(&base, &incoming)?;
            let temporary = Temporary::adopt(&path, &incoming)?;
            let digests = digests_of(&temporary.file)?;
            temporary.file.sync_all()?;
            Ok((digests, temporary))
        })
        .await?;
        Ok((digests, LocalUpload { temporary, storage: self.clone() }))
    }

    /// Gives the file of `from` whose bytes have this SHA-1 a second name, under which a manifest of `to` can name it. The
    /// caller holds the locks of both images.
    pub(super) async fn link(
        &self,
        from: Uuid,
        to: Uuid,
        asset: Asset,
        sha1: &str,
    ) -> Result<LocalStaged, StorageError> {
        let incoming = self.incoming();
        let sources = [incoming.join(complete_name(from, asset, sha1)), self.final_path(from, asset)];
        let complete = incoming.join(complete_name(to, asset, sha1));
        let place = self.final_path(to, asset);
        let sha1 = sha1.to_owned();
        let base = self.base().to_owned();
        let linked = blocking(move || {
            files::create_below(&base, &incoming)?;
            let (temporary, was_there) = match Temporary::link(&sources[0], &complete, &sha1) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Temporary::link(&sources[1], &complete, &sha1)?
                }
                linked => linked?,
            };
            Ok(LocalStaged { temporary, place, was_there })
        });
        linked.await.map_err(|error| missing_or_failed(error, from, asset))
    }

    /// Moves a complete leftover to its final place, because a manifest names it and the process that staged it has stopped.
    pub async fn settle_leftover(&self, leftover: Leftover) -> Result<(), StorageError> {
        let Content::File(owner) = &leftover.content else { return self.discard(leftover).await };
        let place = self.final_path(owner.uuid, owner.asset);
        LocalStaged { temporary: leftover.into_temporary(), place, was_there: true }.settle().await
    }
}

impl LocalUpload {
    /// Gives the file, whose bytes have this SHA-1, a name that a manifest can refer to. If a file has this name already, it
    /// has the same bytes, and stays. The caller holds the image's lock.
    pub(super) async fn stage(
        self,
        Target { uuid, asset, .. }: Target,
        sha1: String,
    ) -> Result<LocalStaged, StorageError> {
        let LocalUpload { temporary, storage } = self;
        let complete = storage.incoming().join(complete_name(uuid, asset, &sha1));
        let place = storage.final_path(uuid, asset);
        let staged = blocking(move || {
            let (temporary, was_there) = temporary.complete(complete, &sha1)?;
            Ok(LocalStaged { temporary, place, was_there })
        });
        Ok(staged.await?)
    }
}

impl LocalStaged {
    /// Moves the file to its final place. The manifest names it already; readers find it in both places. If this fails, or a
    /// loss of power undoes it, the next sweep repeats it.
    pub(super) async fn settle(mut self) -> Result<(), StorageError> {
        Ok(blocking(move || self.temporary.move_to(&self.place, RenameDurability::Eventual)).await?)
    }

    /// Leaves the file in `incoming`, because it is not known whether a manifest names it. The next sweep decides.
    pub(super) fn leave(self) {}

    /// Removes the file, because no manifest names it. A file that had the name before stays for the next sweep.
    pub(super) async fn discard(mut self) -> Result<(), StorageError> {
        if self.was_there {
            return Ok(());
        }
        Ok(blocking(move || self.temporary.remove()).await?)
    }
}
