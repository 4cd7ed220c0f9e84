// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The final names in Manta that uploads of this process are about to use.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Asset;
use crate::manifest::Uuid;

/// The files whose final names are in use by an upload of this process. Another upload of the same file gets a name of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<(Uuid, Asset)>>>);

impl Claims {
    /// Claims a final name; `None` if another upload has claimed it.
    pub(super) fn claim(&self, uuid: Uuid, asset: Asset) -> Option<Claim> {
        let file = (uuid, asset);
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        is_free.then(|| Claim { file, claims: self.clone() })
    }
}

/// The claim of one upload to the final name of a file. Dropping it frees the name.
#[derive(Debug)]
pub(super) struct Claim {
    file: (Uuid, Asset),
    claims: Claims,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
    }
}
