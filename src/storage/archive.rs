//! The archive: the last version of each manifest as a file, in its API form, as 4.13.1 writes it.

use std::io::Write;
use std::path::PathBuf;

use super::temporary::Temporary;
use super::{LocalStorage, StorageError, blocking};
use crate::manifest::Uuid;

/// A manifest that is on disk, durably, but not in the archive yet. Dropping it removes it.
#[derive(Debug)]
pub struct Archived {
    temporary: Temporary,
    place: PathBuf,
}

impl LocalStorage {
    /// Writes `manifest` for the archive. The caller stores the record next, and then [`Archived::commit`]s: so a full
    /// disk is found before anything changes, and the archive never describes a state that was not stored.
    pub async fn prepare_archive(&self, uuid: Uuid, manifest: Vec<u8>) -> Result<Archived, StorageError> {
        let incoming = self.incoming();
        let place = self.archive_path(uuid);
        let written = blocking(move || {
            let mut temporary = Temporary::create(&incoming)?;
            temporary.file.write_all(&manifest)?;
            temporary.file.sync_all()?;
            Ok(Archived { temporary, place })
        });
        Ok(written.await?)
    }
}

impl Archived {
    /// Puts the manifest into the archive, in the place of an earlier version.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        Ok(blocking(move || self.temporary.move_to(&self.place)).await?)
    }
}
