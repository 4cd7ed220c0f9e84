// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Opens files that others can reach, too, without trusting what exists at their names.
//!
//! There may be a FIFO, a device, a directory or a link in the place of a file. Opening it must not wait, and must not
//! lead elsewhere. A file of four gigabytes must not be read where a small one is expected. Only the last component of
//! a path is checked, because directories may well be links.

mod durable;
mod lock;

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use durable::{create_below, replace, replace_unsynced, sync_directory};
pub use lock::{DirectoryLock, LockError};

/// Something other than a regular file exists at the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is {kind}, and no regular file", path.display())]
pub struct NotRegular {
    path: PathBuf,
    kind: &'static str,
}

impl NotRegular {
    /// Returns this error if it is the cause of `error`.
    pub fn in_error(error: &io::Error) -> Option<&NotRegular> {
        error.get_ref()?.downcast_ref()
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`NotRegular`] for anything else, including a link; any error of the system.
pub fn open(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), Links::Refused)
}

/// Opens a file for reading that an operator has named, which may also be a link to a regular file.
///
/// # Errors
/// Those of [`open`], except that links are followed.
pub fn open_linked(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), Links::Followed)
}

/// Opens a regular file for reading and writing.
///
/// # Errors
/// Those of [`open`].
pub fn open_to_write(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true).write(true), Links::Refused)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`]; `InvalidData` if the file is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    bytes_of(&open(path)?, path, limit)
}

/// Reads a file that an operator has provided, which may also be a link to a regular file.
///
/// # Errors
/// Those of [`read`].
pub fn read_linked(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    bytes_of(&open_linked(path)?, path, limit)
}

/// Creates a file, and replaces anything with this name except a directory. A link is replaced, not followed.
///
/// # Errors
/// Any error of the system.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Formats a name so that a person can read and copy it: bytes that are not UTF-8 are written as `\xNN`.
pub fn readable(name: impl AsRef<std::ffi::OsStr>) -> String {
    let mut text = String::new();
    for chunk in name.as_ref().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Refused,
    Followed,
}

fn open_regular(path: &Path, options: &mut OpenOptions, links: Links) -> io::Result<File> {
    // The flags prevent waiting for the other end of a FIFO, and becoming the controlling process of a terminal.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, links == Links::Refused);
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let known = match (&opened, links) {
        (Ok(file), _) => file.metadata(),
        (Err(_), Links::Refused) => fs::symlink_metadata(path),
        (Err(_), Links::Followed) => fs::metadata(path),
    };
    match known {
        Ok(known) if !known.is_file() => {
            Err(io::Error::other(NotRegular { path: path.to_owned(), kind: kind_of(known.file_type()) }))
        }
        _ => opened,
    }
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}

fn bytes_of(file: &File, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let reason = format!("{} has over {limit} bytes", path.display());
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    if file.metadata()?.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Objects that may exist in the place of a file, for the tests of code that opens files.
#[cfg(test)]
pub(crate) mod planted {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    /// The kind of object.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum SpecialFile {
        Fifo,
        Directory,
        Link,
        Socket,
        Huge,
    }

    impl SpecialFile {
        pub(crate) const ALL: [SpecialFile; 5] = [
            SpecialFile::Fifo,
            SpecialFile::Directory,
            SpecialFile::Link,
            SpecialFile::Socket,
            SpecialFile::Huge,
        ];

        /// Creates the object.
        pub(crate) fn plant(self, path: &Path) {
            match self {
                SpecialFile::Fifo => {
                    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap()
                }
                SpecialFile::Directory => std::fs::create_dir(path).unwrap(),
                SpecialFile::Link => symlink("/etc/hostname", path).unwrap(),
                SpecialFile::Socket => {
                    // The path of a socket must be short.
                    let directory = tempfile::tempdir().unwrap();
                    drop(UnixListener::bind(directory.path().join("s")).unwrap());
                    std::fs::rename(directory.path().join("s"), path).unwrap();
                }
                SpecialFile::Huge => std::fs::File::create(path).unwrap().set_len(4 << 30).unwrap(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::planted::SpecialFile;
    use super::*;

    #[test]
    fn only_regular_files_of_the_right_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abc");
        assert_eq!(read(&path, 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for odd in SpecialFile::ALL {
            let path = directory.path().join(format!("{odd:?}"));
            odd.plant(&path);
            let error = read(&path, 1 << 20).unwrap_err();
            assert!(error.to_string().starts_with(&path.display().to_string()), "{odd:?}: {error}");
            assert_eq!(NotRegular::in_error(&error).is_none(), odd == SpecialFile::Huge, "{odd:?}: {error}");
            assert_eq!(open_to_write(&path).is_ok(), odd == SpecialFile::Huge, "{odd:?}");
        }
        let device = open(Path::new("/dev/zero")).unwrap_err();
        assert!(device.to_string().contains("a device"), "{device}");
        assert_eq!(open(&directory.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn directories_may_be_links_and_so_may_what_operators_name() {
        let directory = tempfile::tempdir().unwrap();
        let (there, link) = (directory.path().join("there"), directory.path().join("link"));
        fs::create_dir(&there).unwrap();
        fs::write(there.join("file"), "abc").unwrap();
        symlink(&there, &link).unwrap();
        assert_eq!(read(&link.join("file"), 3).unwrap(), b"abc");
        symlink(there.join("file"), directory.path().join("named")).unwrap();
        assert_eq!(read_linked(&directory.path().join("named"), 3).unwrap(), b"abc");
        assert!(read(&directory.path().join("named"), 3).is_err());
        SpecialFile::Fifo.plant(&there.join("fifo"));
        symlink(there.join("fifo"), directory.path().join("to a fifo")).unwrap();
        let error = read_linked(&directory.path().join("to a fifo"), 3).unwrap_err();
        assert!(NotRegular::in_error(&error).is_some(), "{error}");
    }

    #[test]
    fn a_new_file_is_never_written_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (other, path) = (directory.path().join("other"), directory.path().join("file"));
        fs::write(&other, "theirs").unwrap();
        symlink(&other, &path).unwrap();
        create(&path).unwrap();
        assert_eq!(
            (fs::read_to_string(&other).unwrap(), fs::read(&path).unwrap()),
            ("theirs".into(), vec![])
        );
        fs::remove_file(&path).unwrap();
        SpecialFile::Fifo.plant(&path);
        create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        SpecialFile::Directory.plant(&path);
        assert!(create(&path).is_err());
    }

    #[test]
    fn every_name_can_be_read() {
        assert_eq!(readable("bäse"), "bäse");
        assert_eq!(readable(OsStr::from_bytes(b"a\xff\xc3b")), "a\\xff\\xc3b");
    }
}
