// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A file on disk: compares it with what it should be, and replaces it atomically.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

use super::manifests::Access;

/// The mode of a new file, unless the manifest sets one.
const DEFAULT_MODE: u32 = 0o644;

/// The most symbolic links that are followed.
const MAX_LINKS: usize = 16;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// What has to be done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileAction {
    /// Nothing.
    Nothing,
    /// The file has the right content, but a wrong mode or owner.
    Access,
    /// The file has the wrong content.
    Content,
    /// The file does not exist.
    Creation,
}

/// A file and its required mode and owner.
#[derive(Debug)]
pub(super) struct Target {
    /// The path of the file after all links.
    path: PathBuf,
    present: Option<fs::Metadata>,
    mode: Option<u32>,
    owner: Option<u32>,
    group: Option<u32>,
}

impl Target {
    /// Looks up the file at `path`, which may be a link to it.
    ///
    /// # Errors
    /// There is something other than a regular file at the path, or this system does not know the owner.
    pub(super) fn new(path: &Path, access: &Access) -> io::Result<Target> {
        let path = follow(path)?;
        let present = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(metadata),
            Ok(_) => return Err(io::Error::other(format!("{} is not a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Only root can change owners. In a datacenter for tests the agent is not root.
        let (owner, group) =
            if rustix::process::geteuid().is_root() { resolve(access)? } else { (None, None) };
        Ok(Target { path, present, mode: access.mode, owner, group })
    }

    /// Returns what has to be done so that the file has `content`.
    pub(super) fn need(&self, content: &[u8]) -> io::Result<FileAction> {
        let Some(present) = &self.present else { return Ok(FileAction::Creation) };
        if present.len() != content.len() as u64 || !has(&self.path, content)? {
            return Ok(FileAction::Content);
        }
        let right = self.mode.is_none_or(|mode| mode == present.mode() & 0o7777)
            && self.owner.is_none_or(|owner| owner == present.uid())
            && self.group.is_none_or(|group| group == present.gid());
        Ok(if right { FileAction::Nothing } else { FileAction::Access })
    }

    /// Returns the current content if it is text, at most `max` bytes of it.
    pub(super) fn present_text(&self, max: u64) -> Option<String> {
        let mut text = String::new();
        File::open(&self.path).ok()?.take(max).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Corrects the mode and owner of the existing file.
    pub(super) fn set_access(&self) -> io::Result<()> {
        self.apply(&File::open(&self.path)?)
    }

    /// Writes `content` durably. At any moment there is either the old file or the new one, complete.
    pub(super) fn write(&self, content: &[u8]) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(dir)?;
        let (temporary, mut file) = self.temporary()?;
        file.set_len(0)?;
        file.write_all(content)?;
        self.apply(&file)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(dir)?.sync_all()
    }

    /// Opens a temporary file beside the target and locks it. A file left by a process that died is used again.
    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".config-agent");
        let path = self.path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)?;
        let busy = || io::Error::other("another config-agent is writing the same file");
        file.try_lock().map_err(|_| busy())?;
        // Between the open and the lock another agent may have renamed the file.
        if fs::symlink_metadata(&path)
            .is_ok_and(|there| file.metadata().is_ok_and(|ours| there.ino() == ours.ino()))
        {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            Ok((path, file))
        } else {
            Err(busy())
        }
    }

    fn apply(&self, file: &File) -> io::Result<()> {
        let present = self.present.as_ref();
        let now = file.metadata()?;
        let owner = self.owner.or(present.map(MetadataExt::uid)).filter(|owner| *owner != now.uid());
        let group = self.group.or(present.map(MetadataExt::gid)).filter(|group| *group != now.gid());
        if owner.is_some() || group.is_some() {
            rustix::fs::fchown(file, owner.map(Uid::from_raw), group.map(Gid::from_raw))?;
        }
        let mode = self.mode.or(present.map(|present| present.mode() & 0o7777)).unwrap_or(DEFAULT_MODE);
        file.set_permissions(fs::Permissions::from_mode(mode))
    }
}

fn has(path: &Path, content: &[u8]) -> io::Result<bool> {
    let mut there = Vec::with_capacity(content.len() + 1);
    File::open(path)?.take(content.len() as u64 + 1).read_to_end(&mut there)?;
    Ok(there == content)
}

/// Returns the end of the chain of links that begins at `path`.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            // The path is not a link, or does not exist.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

fn resolve(access: &Access) -> io::Result<(Option<u32>, Option<u32>)> {
    let unknown = |what: &str, name: &str| io::Error::other(format!("there is no {what} {name:?}"));
    let (mut owner, mut group) = (None, None);
    if let Some(name) = &access.owner {
        let (uid, gid) = match name.parse() {
            Ok(uid) => (uid, None),
            Err(_) => numbers(PASSWD, name)?.ok_or_else(|| unknown("user", name))?,
        };
        (owner, group) = (Some(uid), gid);
    }
    if let Some(name) = &access.group {
        group = Some(match name.parse() {
            Ok(gid) => gid,
            Err(_) => numbers(GROUP, name)?.ok_or_else(|| unknown("group", name))?.0,
        });
    }
    Ok((owner, group))
}

/// Returns the third field of the line of `name`, and the fourth if it is a number.
fn numbers(file: &str, name: &str) -> io::Result<Option<(u32, Option<u32>)>> {
    let text = fs::read_to_string(file)?;
    Ok(text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&name)).then_some(())?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3).and_then(|field| field.parse().ok())))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn target(path: &Path, mode: Option<u32>) -> Target {
        Target::new(path, &Access { mode, ..Access::default() }).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_made_with_its_directories_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        assert_eq!(target(&path, None).need(b"x").unwrap(), FileAction::Creation);
        target(&path, None).write(b"x").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"x".to_vec(), 0o644));
        assert_eq!(target(&path, None).need(b"x").unwrap(), FileAction::Nothing);
        assert_eq!(target(&path, None).need(b"y").unwrap(), FileAction::Content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        target(&path, None).write(b"y").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"y".to_vec(), 0o640));
        assert_eq!(target(&path, Some(0o600)).need(b"y").unwrap(), FileAction::Access);
        target(&path, Some(0o600)).set_access().unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let (link, second, file) =
            (dir.path().join("link"), dir.path().join("second"), dir.path().join("d/file"));
        symlink("second", &link).unwrap();
        symlink("d/file", &second).unwrap();
        target(&link, None).write(b"x").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"x");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(Target::new(&dir.path().join("loop"), &Access::default()).is_err());
        assert!(Target::new(dir.path(), &Access::default()).is_err());
    }

    #[test]
    fn what_a_dead_process_left_is_no_obstacle_and_what_a_living_one_has_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let left = dir.path().join(".file.config-agent");
        fs::write(&left, "half of it, and much longer").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
        target(&path, None).write(b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(!left.exists());
        let other = File::create(&left).unwrap();
        other.lock().unwrap();
        assert!(target(&path, None).write(b"y").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn owners_are_found_by_name_and_number() {
        let access = |owner: &str, group: Option<&str>| Access {
            mode: None,
            owner: Some(owner.to_owned()),
            group: group.map(str::to_owned),
        };
        assert_eq!(resolve(&access("root", None)).unwrap(), (Some(0), Some(0)));
        assert_eq!(resolve(&access("7", Some("8"))).unwrap(), (Some(7), Some(8)));
        assert!(resolve(&access("nobody-of-this-name", None)).is_err());
        assert!(resolve(&access("root", Some("no-group-of-this-name"))).is_err());
    }
}
