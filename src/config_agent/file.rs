// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A file on disk: whether it is as it should be, and how it becomes so, wholly or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

use super::manifests::Access;

/// Mode of a file that was not there, if nothing is said about it.
const DEFAULT_MODE: u32 = 0o644;

/// Links are followed so often.
const MAX_LINKS: usize = 16;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// What is to be done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// It has the right content, and wrong mode or owner.
    Access,
    /// It has other content.
    Content,
    /// It is not there.
    Creation,
}

/// A file and what it should be.
#[derive(Debug)]
pub(super) struct Target {
    /// Where it is, behind all links.
    path: PathBuf,
    present: Option<fs::Metadata>,
    mode: Option<u32>,
    owner: Option<u32>,
    group: Option<u32>,
}

impl Target {
    /// The file at `path`, which may be a link to it.
    ///
    /// # Errors
    /// Something that is no file is there, or the owner is nobody that this system knows.
    pub(super) fn new(path: &Path, access: &Access) -> io::Result<Target> {
        let path = follow(path)?;
        let present = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Some(metadata),
            Ok(_) => return Err(io::Error::other(format!("{} is not a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Nobody else can give files away, as in a datacenter for tests.
        let (owner, group) =
            if rustix::process::geteuid().is_root() { resolve(access)? } else { (None, None) };
        Ok(Target { path, present, mode: access.mode, owner, group })
    }

    /// What is to be done for it to have `content`.
    pub(super) fn need(&self, content: &[u8]) -> io::Result<Need> {
        let Some(present) = &self.present else { return Ok(Need::Creation) };
        if present.len() != content.len() as u64 || !has(&self.path, content)? {
            return Ok(Need::Content);
        }
        let right = self.mode.is_none_or(|mode| mode == present.mode() & 0o7777)
            && self.owner.is_none_or(|owner| owner == present.uid())
            && self.group.is_none_or(|group| group == present.gid());
        Ok(if right { Need::Nothing } else { Need::Access })
    }

    /// The content that is there, as far as it is text and no longer than `max` bytes.
    pub(super) fn present_text(&self, max: u64) -> Option<String> {
        let mut text = String::new();
        File::open(&self.path).ok()?.take(max).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Corrects mode and owner of the file that is there.
    pub(super) fn set_access(&self) -> io::Result<()> {
        self.apply(&File::open(&self.path)?)
    }

    /// Gives it `content`: durably, and at no moment is there anything but the old file or the new one.
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

    /// A file beside it that only we write to; one that was left by a process that died is used again.
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
        // Between the two steps the other one may have renamed it.
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

/// Where the links that begin at `path` end.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            // It is no link, or nothing.
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

/// The third field, and the fourth one if it is a number, of the line of `name`.
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
        assert_eq!(target(&path, None).need(b"x").unwrap(), Need::Creation);
        target(&path, None).write(b"x").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"x".to_vec(), 0o644));
        assert_eq!(target(&path, None).need(b"x").unwrap(), Need::Nothing);
        assert_eq!(target(&path, None).need(b"y").unwrap(), Need::Content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        target(&path, None).write(b"y").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"y".to_vec(), 0o640));
        assert_eq!(target(&path, Some(0o600)).need(b"y").unwrap(), Need::Access);
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
