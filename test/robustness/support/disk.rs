// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;
use std::path::{Path, PathBuf};

use coal::Datacenter;

use super::{PATIENCE, wait_for};

/// Returns every file below `directory`; none if it does not exist. Files that disappear meanwhile are left out.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return found,
        entries => entries.unwrap(),
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// Returns the directory of unfinished files.
pub(crate) fn incoming(datacenter: &Datacenter) -> PathBuf {
    datacenter.local_dir().join("incoming")
}

/// Returns the path of an image's finished file.
pub(crate) fn image_file(datacenter: &Datacenter, uuid: &str) -> PathBuf {
    datacenter.local_dir().join("images").join(&uuid[..3]).join(uuid).join("file0")
}

/// If the file is the copy of a manifest for the archive, returns the UUID of its image.
pub(crate) fn is_copy_of(path: &Path) -> Option<String> {
    let (uuid, rest) = path.file_name()?.to_str()?.split_once('.')?;
    rest.starts_with("archive.").then(|| uuid.to_owned())
}

/// Waits until there are no unfinished files, except copies for the archive of images that were perhaps never created.
pub(crate) async fn wait_until_swept(datacenter: &Datacenter) {
    let incoming = incoming(datacenter);
    wait_for("no unfinished file", PATIENCE, async || {
        let mut left = files_below(&incoming);
        left.retain(|path| is_copy_of(path).is_none());
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}
