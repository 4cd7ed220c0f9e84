// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Remembers which directories exist.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::path::Path;

/// Maximum number of remembered directories. Beyond it all are forgotten; creating one again costs one request.
const MAX: usize = 10_000;

/// Directories that were seen and need not be created. Another client may have removed them since.
#[derive(Debug, Default)]
pub(crate) struct KnownDirectories(Mutex<HashSet<Path>>);

impl KnownDirectories {
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    pub(crate) fn insert(&self, path: Path) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX {
            known.clear();
        }
        known.insert(path);
    }

    /// Forgets a path and its ancestors, because one of them is missing.
    pub(crate) fn forget_lineage(&self, path: &Path) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in path.lineage() {
            known.remove(&directory);
        }
    }

    pub(crate) fn forget(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_takes_those_it_is_in_along() {
        let known = KnownDirectories::default();
        let paths = ["/a/stor/b", "/a/stor/b/c", "/a/stor/b/d"].map(|path| Path::new(path).unwrap());
        for path in &paths {
            known.insert(path.clone());
        }
        known.forget_lineage(&paths[1]);
        assert_eq!(paths.each_ref().map(|path| known.contains(path)), [false, false, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let known = KnownDirectories::default();
        for number in 0..=MAX {
            known.insert(Path::new(format!("/a/stor/{number}")).unwrap());
        }
        assert_eq!(known.0.lock().unwrap().len(), 1);
    }
}
