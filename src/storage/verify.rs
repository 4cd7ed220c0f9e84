// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Verifies stored files before they are used.

use std::fs::File;

use super::file_bytes::sha1_of;
use super::{Asset, LocalStorage, Location, StorageError, blocking};

/// Far more bytes than an icon has.
const LARGEST_ICON: u64 = 16 << 20;

impl LocalStorage {
    /// Opens a file after its bytes have been read; `None` if they have another SHA-1. A wrong size is enough to reject a file
    /// whose record has a SHA-256. Other records may come from 4.13.1, which sometimes records a size that is too small.
    pub(super) async fn open_verified(&self, location: &Location) -> Result<Option<File>, StorageError> {
        let file = self.open(location.uuid, location.asset, &location.sha1).await?;
        let location = location.clone();
        let is_from_here = location.sha256.is_some();
        let verified = blocking(move || {
            let size = file.metadata()?.len();
            let is_too_large = location.asset == Asset::Icon && size > LARGEST_ICON;
            if is_too_large || is_from_here && size != location.size {
                return Ok(None);
            }
            Ok((sha1_of(&file)? == location.sha1).then_some(file))
        });
        Ok(verified.await?)
    }
}
