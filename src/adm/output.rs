// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::console;
use crate::files;

/// After this time an unfinished file that nobody has locked or written to is taken for one of a command that was killed.
const ABANDONED: Duration = Duration::from_secs(60);

/// The output of a command.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Standard(console::Output),
    /// A new file that replaces the one at `path`, if there is one, when it is complete.
    File { new: BufWriter<NamedTempFile>, path: PathBuf },
    /// A device or FIFO, which is written to directly.
    Other(BufWriter<File>),
}

impl Output {
    /// Opens the file at `path`, or standard output without a path. Anything but a regular file is written to, not replaced. A
    /// link is followed, and the regular file that it leads to is replaced. Opening a FIFO waits for its reader.
    pub(super) fn open(path: Option<&Path>) -> Result<Output, String> {
        match path {
            None => Ok(Output::Standard(console::Output::default())),
            Some(path) => Output::at(path).map_err(|error| failed(path, &error)),
        }
    }

    fn at(path: &Path) -> io::Result<Output> {
        let path = match fs::symlink_metadata(path) {
            // Nothing exists at the path. A dangling link is an error.
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            known => {
                known?;
                let there = fs::metadata(path)?;
                // The path is /dev/stdout or another name of it. Other processes may already have written to that file.
                if is_standard_output(&there) {
                    return Ok(Output::Standard(console::Output::default()));
                }
                if !there.is_file() {
                    return Ok(Output::Other(BufWriter::new(OpenOptions::new().write(true).open(path)?)));
                }
                fs::canonicalize(path)?
            }
        };
        let new = unfinished(&path)?;
        Ok(Output::File { new: BufWriter::new(new), path })
    }

    /// Completes the output, and makes it durable.
    pub(super) fn finish(self) -> Result<(), String> {
        match self {
            Output::Standard(mut output) => output.flush().map_err(|error| console::unwritten(&error)),
            Output::Other(mut output) => output.flush().map_err(|error| unwritten(&error)),
            Output::File { new, path } => {
                let placed = new.into_inner().map_err(io::IntoInnerError::into_error).and_then(|new| {
                    new.as_file().sync_all()?;
                    new.persist(&path)?;
                    files::sync_directory(directory_of(&path))
                });
                placed.map_err(|error| failed(&path, &error))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Standard(output) => output.write(bytes),
            Output::File { new, .. } => new.write(bytes),
            Output::Other(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Standard(output) => output.flush(),
            Output::File { new, .. } => new.flush(),
            Output::Other(output) => output.flush(),
        }
    }
}

impl Output {
    /// Formats an error of writing.
    pub(super) fn unwritten(&self, error: &io::Error) -> String {
        match self {
            Output::Standard(_) => console::unwritten(error),
            Output::File { .. } | Output::Other(_) => unwritten(error),
        }
    }
}

/// Makes a new file that replaces `path` when it is complete. Unfinished files of commands that were killed are removed.
///
/// Only the operator may read it, because records say who may use an image.
fn unfinished(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (directory, prefix) = (directory_of(path), format!(".{name}.unfinished-"));
    remove_abandoned(directory, &prefix);
    let new = tempfile::Builder::new().prefix(&prefix).tempfile_in(directory)?;
    // The lock is held until the file is complete, or the process ends. Without it only old files are removed.
    let _ = new.as_file().try_lock();
    Ok(new)
}

/// Removes abandoned files. Failures are ignored, because such a file does no harm.
fn remove_abandoned(directory: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let path = entry.path();
        let Ok(file) = files::open(&path) else { continue };
        let modified = file.metadata().and_then(|known| known.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= ABANDONED));
        if is_old && file.try_lock().is_ok() {
            let _ = fs::remove_file(path);
        }
    }
}

fn unwritten(error: &io::Error) -> String {
    format!("cannot write: {error}")
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_standard_output(there: &fs::Metadata) -> bool {
    let standard = io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(|file| file.metadata());
    standard.is_ok_and(|standard| (standard.dev(), standard.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::thread;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), String> {
        let mut output = Output::open(Some(path))?;
        output.write_all(text.as_bytes()).map_err(|error| unwritten(&error))?;
        output.finish()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dump");
        write(&path, "first").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("first".to_owned(), 0o600));
        let mut output = Output::open(Some(&path)).unwrap();
        output.write_all(b"second").unwrap();
        output.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        drop(output);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing remains of what is not finished"
        );
        write(&path, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
    }

    #[test]
    fn a_link_stays_and_leads_to_the_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("dump"), directory.path().join("link"));
        symlink("dump", &link).unwrap();
        assert!(write(&link, "lost").unwrap_err().contains("link"), "it leads to nothing");
        fs::write(&path, "first").unwrap();
        write(&link, "second").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
    }

    #[test]
    fn a_fifo_is_written_to_and_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        let before = mode(&path);
        let reader = {
            let path = path.clone();
            thread::spawn(move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            })
        };
        write(&path, "records").unwrap();
        assert_eq!(reader.join().unwrap(), "records");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(mode(&path), before);
    }

    #[test]
    fn a_device_is_written_to_and_a_directory_is_not() {
        write(Path::new("/dev/null"), "records").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let directory = tempfile::tempdir().unwrap();
        assert!(write(directory.path(), "records").is_err());
        if cfg!(target_os = "linux") {
            assert!(write(Path::new("/dev/full"), "records").unwrap_err().starts_with("cannot write: "));
        }
    }
}
