// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
//! Changes of files and directories that survive a loss of power.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes the names in a directory durable.
///
/// # Errors
/// Those of the system.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a directory below `base`, and the missing ones in between, each of them durably. The base itself is not created:
/// where it is missing, its file system is not mounted, and what is written below its mount point is lost with the next mount.
///
/// # Errors
/// Those of the system.
pub fn create_below(base: &Path, directory: &Path) -> io::Result<()> {
    let below = directory.strip_prefix(base).map_err(io::Error::other)?;
    if directory.is_dir() {
        return Ok(());
    }
    let mut path = base.to_owned();
    for part in below {
        let parent = path.clone();
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => sync_directory(&parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Puts a file with this content in the place of an earlier one. Whatever happens, one of the two is there, and whole. Until it
/// is complete the new file has the name `new`, in the same directory, which only one writer at a time may use.
///
/// # Errors
/// Those of the system. The earlier file is still there, unless the very last step has failed, which makes the change durable.
pub fn replace(path: &Path, new: &Path, content: &[u8]) -> io::Result<()> {
    replace_unsynced(path, new, content)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// [`replace`] without its last step: after a loss of power the earlier file may be there again.
///
/// # Errors
/// Those of the system. The earlier file is still there.
pub fn replace_unsynced(path: &Path, new: &Path, content: &[u8]) -> io::Result<()> {
    let written = super::create(new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(new, path)).inspect_err(|_| {
        // It may not even have been created.
        let _ = fs::remove_file(new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_directory_is_never_created() {
        let directory = tempfile::tempdir().unwrap();
        let (base, below) = (directory.path().join("base"), directory.path().join("base/a/b"));
        assert_eq!(create_below(&base, &below).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(create_below(&below, &base).is_err());
        fs::create_dir(&base).unwrap();
        for _ in 0..2 {
            create_below(&base, &below).unwrap();
        }
        assert!(below.is_dir());
        fs::write(base.join("file"), "").unwrap();
        assert!(create_below(&base, &base.join("file/below")).is_err());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("file"), directory.path().join("file.new"));
        // What an interrupted writer has left is in nobody's way.
        fs::write(&new, "much longer than what follows").unwrap();
        for content in ["first", "second"] {
            replace(&path, &new, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert!(!new.exists());
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        replace(&path, &new, b"third").unwrap_err();
        assert!(path.is_dir() && !new.exists());
    }
}
