// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that are being written, and what a crash leaves of them.
//!
//! Everything unfinished stands in one directory, `incoming`, on the same file system as the final places:
//!
//! - `<id>.part`: bytes still arriving, or not yet verified;
//! - `<image uuid>.file<index>.<sha1>`, `<image uuid>.icon.<sha1>`: a complete and durable file that a manifest is about
//!   to name, or names already while the file waits for its rename to the final place;
//! - `<image uuid>.archive.<id>`, `<image uuid>.last.<id>`: what the archive is to have of a record that is being written,
//!   or deleted.
//!
//! Whoever works on such a file holds a lock on it. The system drops the lock with the process, so a file whose lock
//! is free is a leftover.

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
/// How often a directory may be removed under the hands of somebody who moves a file there.
const ATTEMPTS: usize = 20;

/// Far more bytes than a manifest has.
pub(super) const MAX_MANIFEST: u64 = 16 << 20;

/// Which version of a manifest it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one that a write makes.
    Current,
    /// The one that a write removes: the last one of the image under this UUID.
    Last,
}

/// A locked file in `incoming`, removed on drop unless it was moved away or left behind on purpose, or is complete: a name
/// that a manifest may refer to is only removed by who knows that none does, and keeps others away meanwhile.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Open for writing; its lock lives as long as this.
    pub(super) file: File,
    path: Option<PathBuf>,
    is_complete: bool,
}

/// When a rename survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renamed {
    /// From now on.
    Durably,
    /// When the system gets round to it: until then the file may be found under its former name again, which does as well.
    InTime,
}

impl Temporary {
    /// Creates and locks a new, empty `<id>.part`.
    pub(super) fn create(incoming: &Path) -> io::Result<Temporary> {
        Temporary::create_named(incoming, |id| format!("{id}{PART}"))
    }

    /// The same for the archive's copy of a manifest, whose name says so.
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
            // A sweep may have taken the file for a leftover between its creation and the lock.
            if temporary.path.as_ref().is_some_and(|path| is_in_place(&temporary.file, path)) {
                return Ok(temporary);
            }
        }
    }

    /// Makes this the complete file `to`, whose bytes have this SHA-1, durably. If there is one with the same bytes already,
    /// that one is taken in place of this, because a manifest may refer to it. Returns whether there was one.
    pub(super) fn complete(mut self, to: PathBuf, sha1: &str) -> io::Result<(Temporary, bool)> {
        let was_there = match find(&to, sha1)? {
            Some(there) if there.has_its_bytes => return Ok((there.claim(to)?, true)),
            // What it was is lost anyway; and whoever refers to it has its bytes again.
            there => there.is_some(),
        };
        self.rename(to, Renamed::Durably)?;
        self.is_complete = true;
        Ok((self, was_there))
    }

    /// The directory that it is in.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        self.path.as_ref().and_then(|path| path.parent()).map(Path::to_owned)
    }

    /// Renames the file, which stays locked.
    fn rename(&mut self, to: PathBuf, renamed: Renamed) -> io::Result<()> {
        let Some(from) = self.path.take() else { return Ok(()) };
        if let Err(error) = fs::rename(&from, &to) {
            self.path = Some(from);
            return Err(error);
        }
        self.path = Some(to);
        match (renamed, self.directory()) {
            (Renamed::Durably, Some(directory)) => files::sync_directory(&directory),
            _ => Ok(()),
        }
    }

    /// Moves the file to its final place: from then on it is not temporary.
    pub(super) fn move_to(&mut self, to: &Path, renamed: Renamed) -> io::Result<()> {
        let base = self.directory().and_then(|incoming| incoming.parent().map(Path::to_owned));
        let mut attempts = 1..ATTEMPTS;
        loop {
            let directory = match (&base, to.parent()) {
                (Some(base), Some(directory)) => files::create_below(base, directory),
                _ => Ok(()),
            };
            match directory.and_then(|()| self.rename(to.to_owned(), renamed)) {
                // A directory on the way was empty, and another request has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts.next().is_some() => {}
                moved => {
                    moved?;
                    self.path = None;
                    return Ok(());
                }
            }
        }
    }

    /// Gives the file at `from`, whose bytes have this SHA-1, the additional name `to`, durably, and locks it. The bytes stay
    /// where they are, too. A file of that name with these bytes stays, as in [`Temporary::complete`].
    pub(super) fn link(from: &Path, to: &Path, sha1: &str) -> io::Result<(Temporary, bool)> {
        let file = files::open_to_write(from)?;
        let there = match find_beside(to, &file, sha1)? {
            Some(there) if there.has_its_bytes => return Ok((there.claim(to.to_owned())?, true)),
            there => there,
        };
        // A sweep that judges the file just now, in another process, would take the new name for a leftover.
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

    /// Leaves the file where it is, for the next sweep to decide about.
    pub(super) fn leave(&mut self) {
        self.path = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(path) = self.path.take().filter(|_| !self.is_complete) else { return };
        // Freeing a large file takes a while, and happens when its last handle is closed: so this one goes along.
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

/// Whether `path` still names the open `file`.
fn is_in_place(file: &File, path: &Path) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => named.ino() == open.ino() && named.dev() == open.dev(),
        _ => false,
    }
}

/// A complete file that is there.
struct There {
    file: File,
    /// Whether its bytes are those that its name says.
    has_its_bytes: bool,
}

impl There {
    /// Takes it, as one that was there before.
    fn claim(self, path: PathBuf) -> io::Result<Temporary> {
        self.file.try_lock()?;
        Ok(Temporary { file: self.file, path: Some(path), is_complete: true })
    }
}

/// The complete file `path`, whose bytes should have this SHA-1.
fn find(path: &Path, sha1: &str) -> io::Result<Option<There>> {
    match files::open_to_write(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let file = file?;
            let has_its_bytes = sha1_of(&file)? == sha1;
            Ok(Some(There { file, has_its_bytes }))
        }
    }
}

/// The same where `source` has the bytes: what is another name of it need not be read.
fn find_beside(path: &Path, source: &File, sha1: &str) -> io::Result<Option<There>> {
    if is_in_place(source, path) {
        return Ok(Some(There { file: files::open_to_write(path)?, has_its_bytes: true }));
    }
    find(path, sha1)
}

/// The name in `incoming` of a complete file of image `uuid`.
pub(super) fn complete_name(uuid: Uuid, asset: Asset, sha1: &str) -> String {
    format!("{uuid}.{asset}.{sha1}")
}

/// A name in `incoming`, whether or not somebody works on the file.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    /// What it is, by its name.
    pub content: Content,
}

impl Unfinished {
    /// `None` for a name that is none of ours.
    pub(super) fn new(path: PathBuf) -> Option<Unfinished> {
        let content = path.file_name().and_then(|name| name.to_str()).and_then(Content::parse)?;
        Some(Unfinished { path, content })
    }

    /// Its name.
    pub(super) fn name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }
}

/// A file in `incoming` that nobody works on, locked against everybody else. Dropping it leaves it where it is.
#[derive(Debug)]
pub struct Leftover {
    file: File,
    path: PathBuf,
    /// What it is, by its name.
    pub content: Content,
}

/// What somebody has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes that are not known to be complete.
    Part,
    /// A complete file of an image.
    File(Owner),
    /// What the archive was to have of an image. Complete only if the record was written.
    Manifest {
        /// The image.
        uuid: Uuid,
        /// Which version it would have been.
        version: Version,
    },
}

/// Which file of which image a complete leftover is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The image.
    pub uuid: Uuid,
    /// Which of the image's files.
    pub asset: Asset,
    /// Lower-case hex.
    pub sha1: String,
}

impl Leftover {
    /// Locks it, unless somebody works on it or it is gone.
    pub(super) fn claim(Unfinished { path, content }: Unfinished) -> io::Result<Option<Leftover>> {
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

    /// Whether it was written so long ago, at least.
    pub fn is_older_than(&self, age: Duration) -> bool {
        let written = self.file.metadata().and_then(|metadata| metadata.modified());
        written.is_ok_and(|written| written.elapsed().is_ok_and(|since| since >= age))
    }

    /// Its bytes, up to a length that no manifest has.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.take(MAX_MANIFEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the same bytes have another name, too, as while an image gets another UUID.
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
    /// Whether it is what the archive is to have of this image, once its record is written.
    pub(super) fn is_copy_of(&self, image: Uuid) -> bool {
        matches!(self, Content::Manifest { uuid, version: Version::Current } if *uuid == image)
    }

    /// What a name says: the reverse of [`complete_name`], and of those of the others. `None` for one that is none of ours.
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

/// Removes a file; whether it was there does not matter.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
