// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Commands that still have to be run. A mark on disk exists from before a file is changed until its command has ended,
//! so that the next process runs the command if this one dies in between.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The directory of the marks.
#[derive(Debug, Clone)]
pub(super) struct Pending(PathBuf);

impl Pending {
    pub(super) fn new(dir: PathBuf) -> Pending {
        Pending(dir)
    }

    /// Marks the file at `path`. If that fails, the command is still run, unless the process dies.
    pub(super) fn mark(&self, path: &Path) {
        let marked = fs::create_dir_all(&self.0)
            .and_then(|()| fs::write(self.of(path), path.as_os_str().as_encoded_bytes()));
        if let Err(error) = marked {
            let dir = self.0.display();
            tracing::warn!("cannot note in {dir} that a command is to be run: {error}");
        }
    }

    /// Returns whether the file is marked.
    pub(super) fn is_marked(&self, path: &Path) -> bool {
        self.of(path).exists()
    }

    /// Removes the mark.
    pub(super) fn clear(&self, path: &Path) {
        // The mark may not exist, because marking can fail.
        let _ = fs::remove_file(self.of(path));
    }

    fn of(&self, path: &Path) -> PathBuf {
        self.0.join(hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let pending = Pending::new(dir.path().join("a/b"));
        let (one, other) = (Path::new("/x/one"), Path::new("/x/other"));
        pending.clear(one);
        pending.mark(one);
        assert!(pending.is_marked(one) && !pending.is_marked(other));
        pending.clear(one);
        assert!(!pending.is_marked(one));
        // If marks cannot be made, nothing is marked.
        let pending = Pending::new("/proc/nowhere".into());
        pending.mark(one);
        assert!(!pending.is_marked(one));
    }
}
