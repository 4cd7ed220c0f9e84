// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that are being written, and what a crash leaves of them.
//!
//! All unfinished files are in one directory, `incoming`, on the same file system as the final places:
//!
//! - `<id>.part`: bytes that are arriving, or are not verified yet;
//! - `<image uuid>.file<index>.<sha1>`, `<image uuid>.icon.<sha1>`: a complete and durable file. A manifest is
//!   about to name it, or names it already while the file waits for its rename to the final place;
//! - `<image uuid>.archive.<id>`, `<image uuid>.last.<id>`: a copy for the archive of a manifest whose record is being
//!   written, or deleted.
//!
//! A process that uses such a file holds a lock on it. The system releases the lock with the process, so a file whose lock is
//! free is a leftover.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Asset;
use super::file_bytes::sha1_of;
use crate::files;
use crate::manifest::Uuid;
use crate::telemetry::err;

const PART: &str = ".part";
const SHA1_DIGITS: usize = 40;
/// How often a move is repeated because its target directory was empty and another request has removed it.
const ATTEMPTS: usize = 20;

/// Far more bytes than a manifest has.
pub(super) const MAX_MANIFEST: u64 = 16 << 20;

/// Which version of a manifest a copy for the archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The version that a write makes.
    Current,
    /// The version that a write deletes: the last one of the image under this UUID.
    Last,
}

/// A locked file in `incoming`. Dropping it removes it, unless it was moved away or left behind on purpose, or is complete. A
/// manifest may name a complete file, so it is only removed by code that knows that none does, under the image's lock.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Open for writing. The file is locked while this exists.
    pub(super) file: File,
    path: Option<PathBuf>,
    is_complete: bool,
}

/// When a rename is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenameDurability {
    /// At once.
    Immediate,
    /// When the system gets round to it. Until then a loss of power may undo it, which does no harm.
    Eventual,
}

impl Temporary {
    /// Creates and locks a new, empty file `<id>.part`.
    pub(super) fn create(incoming: &Path) -> io::Result<Temporary> {
        Temporary::create_named(incoming, |id| format!("{id}{PART}"))
    }

    /// Creates and locks an empty file for a copy of a manifest, named after image and version.
    pub(super) fn create_copy(incoming: &Path, uuid: Uuid, version: Version) -> io::Result<Temporary> {
        Temporary::create_named(incoming, |id| format!("{uuid}.{}.{id}", name_of(version)))
    }

    fn create_named(incoming: &Path, name: impl Fn(Uuid) -> String) -> io::Result<Temporary> {
        incoming.parent().map_or(Ok(()), |base| files::create_below(base, incoming))?;
        loop {
            let path = incoming.join(name(Uuid::new_v4()));
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            let temporary = Temporary { file, path: Some(path), is_complete: false };
            temporary.file.lock()?;
            // A sweep may have removed the file as a leftover before it was locked.
            if temporary.path.as_ref().is_some_and(|path| is_in_place(&temporary.file, path)) {
                return Ok(temporary);
            }
        }
    }

    /// Gives the file at `from` a second name `<id>.part`, and locks it.
    pub(super) fn adopt(from: &Path, incoming: &Path) -> io::Result<Temporary> {
        let file = files::open_to_write(from)?;
        // Without the lock, a sweep could take the new name for a leftover.
        file.try_lock()?;
        let path = incoming.join(format!("{}{PART}", Uuid::new_v4()));
        fs::hard_link(from, &path)?;
        Ok(Temporary { file, path: Some(path), is_complete: false })
    }

    /// Makes this file, whose bytes have this SHA-1, the complete file `to`, durably. If `to` has the same bytes already, that
    /// file is used instead of this one, because a manifest may name it. Returns whether `to` existed.
    pub(super) fn complete(mut self, to: PathBuf, sha1: &str) -> io::Result<(Temporary, bool)> {
        let was_there = match find(&to, sha1)? {
            Some(there) if there.has_its_bytes => return Ok((there.claim(to)?, true)),
            // Its own bytes are lost anyway. A manifest that names it gets the right bytes again.
            there => there.is_some(),
        };
        self.rename(to, RenameDurability::Immediate)?;
        self.is_complete = true;
        Ok((self, was_there))
    }

    /// The directory of the file.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        self.path.as_ref().and_then(|path| path.parent()).map(Path::to_owned)
    }

    /// Renames the file, which stays locked.
    fn rename(&mut self, to: PathBuf, durability: RenameDurability) -> io::Result<()> {
        let Some(from) = self.path.take() else { return Ok(()) };
        if let Err(error) = fs::rename(&from, &to) {
            self.path = Some(from);
            return Err(error);
        }
        self.path = Some(to);
        match (durability, self.directory()) {
            (RenameDurability::Immediate, Some(directory)) => files::sync_directory(&directory),
            _ => Ok(()),
        }
    }

    /// Moves the file to its final place, after which it is not temporary any more.
    pub(super) fn move_to(&mut self, to: &Path, durability: RenameDurability) -> io::Result<()> {
        let base = self.directory().and_then(|incoming| incoming.parent().map(Path::to_owned));
        let mut attempts = 1..ATTEMPTS;
        loop {
            let directory = match (&base, to.parent()) {
                (Some(base), Some(directory)) => files::create_below(base, directory),
                _ => Ok(()),
            };
            match directory.and_then(|()| self.rename(to.to_owned(), durability)) {
                // The target directory was empty, and another request has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts.next().is_some() => {}
                moved => {
                    moved?;
                    self.path = None;
                    return Ok(());
                }
            }
        }
    }

    /// Gives the file at `from`, whose bytes have this SHA-1, the second name `to`, durably, and locks it. If `to` has these
    /// bytes already, that file stays, as in [`Temporary::complete`].
    pub(super) fn link(from: &Path, to: &Path, sha1: &str) -> io::Result<(Temporary, bool)> {
        let file = files::open_to_write(from)?;
        let there = match find_beside(to, &file, sha1)? {
            Some(there) if there.has_its_bytes => return Ok((there.claim(to.to_owned())?, true)),
            there => there,
        };
        // Without the lock, a sweep in another process could judge the file now, and take the new name for a leftover.
        file.try_lock()?;
        if there.is_some() {
            remove_if_there(to)?;
        }
        fs::hard_link(from, to)?;
        to.parent().map_or(Ok(()), files::sync_directory)?;
        Ok((Temporary { file, path: Some(to.to_owned()), is_complete: true }, there.is_some()))
    }

    /// Removes the file.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.path.take().map_or(Ok(()), |path| remove_if_there(&path))
    }

    /// Leaves the file where it is. The next sweep decides about it.
    pub(super) fn leave(&mut self) {
        self.path = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.path.take().filter(|_| !self.is_complete) else { return };
        // Freeing a large file takes a while, and happens when its last handle is closed. So a handle is dropped by the
        // background task.
        let last = self.file.try_clone();
        let remove = move || {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(err.json = %err(&error), "cannot remove a temporary file; the next sweep will");
            }
            drop(last);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Returns whether `path` still names the open `file`.
fn is_in_place(file: &File, path: &Path) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => named.ino() == open.ino() && named.dev() == open.dev(),
        _ => false,
    }
}

/// A complete file that exists already.
struct ExistingFile {
    file: File,
    /// Whether its bytes have the SHA-1 in its name.
    has_its_bytes: bool,
}

impl ExistingFile {
    /// Locks it as a temporary file.
    fn claim(self, path: PathBuf) -> io::Result<Temporary> {
        self.file.try_lock()?;
        Ok(Temporary { file: self.file, path: Some(path), is_complete: true })
    }
}

/// Opens the complete file `path`, and compares its bytes with this SHA-1.
fn find(path: &Path, sha1: &str) -> io::Result<Option<ExistingFile>> {
    match files::open_to_write(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let file = file?;
            let has_its_bytes = sha1_of(&file)? == sha1;
            Ok(Some(ExistingFile { file, has_its_bytes }))
        }
    }
}

/// Does the same as [`find`], but need not read a file that is another name of `source`, whose bytes are right.
fn find_beside(path: &Path, source: &File, sha1: &str) -> io::Result<Option<ExistingFile>> {
    if is_in_place(source, path) {
        return Ok(Some(ExistingFile { file: files::open_to_write(path)?, has_its_bytes: true }));
    }
    find(path, sha1)
}

/// The name in `incoming` of a complete file of image `uuid`.
pub(super) fn complete_name(uuid: Uuid, asset: Asset, sha1: &str) -> String {
    format!("{uuid}.{asset}.{sha1}")
}

/// A file in `incoming`, in use or not.
#[derive(Debug)]
pub struct IncomingFile {
    path: PathBuf,
    /// What the file is, by its name.
    pub content: Content,
}

impl IncomingFile {
    /// `None` for a name that this server does not give.
    pub(super) fn new(path: PathBuf) -> Option<IncomingFile> {
        let content = path.file_name().and_then(|name| name.to_str()).and_then(Content::parse)?;
        Some(IncomingFile { path, content })
    }

    /// The name of the file.
    pub(super) fn name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }
}

/// A file in `incoming` that is not in use, locked. Dropping it leaves the file where it is.
#[derive(Debug)]
pub struct Leftover {
    file: File,
    path: PathBuf,
    /// What the file is, by its name.
    pub content: Content,
}

/// What a file in `incoming` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes that are not known to be complete.
    Part,
    /// A complete file of an image.
    File(Owner),
    /// A copy of a manifest for the archive. It is complete only if the record was written.
    Manifest {
        /// The image.
        uuid: Uuid,
        /// Which version the copy has.
        version: Version,
    },
}

/// The image that a complete file belongs to, and which file of the image it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The image.
    pub uuid: Uuid,
    /// Which of the image's files.
    pub asset: Asset,
    /// SHA-1 of the file, lower-case hex.
    pub sha1: String,
}

impl Leftover {
    /// Locks the file, unless it is in use or gone.
    pub(super) fn claim(IncomingFile { path, content }: IncomingFile) -> io::Result<Option<Leftover>> {
        let file = match files::open_to_write(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(is_in_place(&file, &path).then_some(Leftover { file, path, content }))
    }

    /// Returns whether the file was written at least so long ago.
    pub fn is_older_than(&self, age: Duration) -> bool {
        let written = self.file.metadata().and_then(|metadata| metadata.modified());
        written.is_ok_and(|written| written.elapsed().is_ok_and(|since| since >= age))
    }

    /// Reads the file, up to a length that no manifest has.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.take(MAX_MANIFEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns whether the file has a second name, as it does while an image gets another UUID.
    pub fn shares_its_bytes(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 1)
    }

    /// Removes the file.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    pub(super) fn into_temporary(self) -> Temporary {
        let is_complete = matches!(self.content, Content::File(_));
        Temporary { file: self.file, path: Some(self.path), is_complete }
    }
}

impl Content {
    /// Returns whether it is the copy of this image's next version for the archive.
    pub(super) fn is_copy_of(&self, image: Uuid) -> bool {
        matches!(self, Content::Manifest { uuid, version: Version::Current } if *uuid == image)
    }

    /// Parses a name, as [`complete_name`] and the other two name files. `None` for a name that this server does not give.
    fn parse(name: &str) -> Option<Content> {
        let is_id = |text: &str| text.parse::<Uuid>().is_ok();
        if let Some(id) = name.strip_suffix(PART) {
            return is_id(id).then_some(Content::Part);
        }
        let (uuid, rest) = name.split_once('.')?;
        let uuid = uuid.parse().ok()?;
        let (name, rest) = rest.split_once('.')?;
        if let Some(version) = [Version::Current, Version::Last].into_iter().find(|it| name_of(*it) == name) {
            return is_id(rest).then_some(Content::Manifest { uuid, version });
        }
        let is_sha1 = rest.len() == SHA1_DIGITS && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let asset = name.parse().ok().filter(|_| is_sha1)?;
        Some(Content::File(Owner { uuid, asset, sha1: rest.to_owned() }))
    }
}

fn name_of(version: Version) -> &'static str {
    match version {
        Version::Current => "archive",
        Version::Last => "last",
    }
}

/// Removes a file. A missing file is no error.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
