// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, Write};

use super::temporary::{RenameDurability, Temporary};
use super::{LocalStorage, StorageError, blocking};
use crate::files;

/// Longer files are not from this server.
const LONGEST: u64 = 16 << 20;

impl LocalStorage {
    /// Writes a small file into the base directory, durably, and replaces an earlier one.
    pub async fn write_state_file(&self, name: &str, content: Vec<u8>) -> Result<(), StorageError> {
        let (incoming, place) = (self.incoming(), self.state_path(name));
        let kept = blocking(move || {
            let mut temporary = Temporary::create(&incoming)?;
            temporary.file.write_all(&content)?;
            temporary.file.sync_all()?;
            temporary.move_to(&place, RenameDurability::Immediate)
        });
        Ok(kept.await?)
    }

    /// Reads the file with this name, at most 16 MiB; `None` if there is none.
    pub async fn read_state_file(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let place = self.state_path(name);
        let read = blocking(move || match files::read(&place, LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            content => content.map(Some),
        });
        Ok(read.await?)
    }
}
