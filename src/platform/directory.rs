// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;
use std::{fs, io};

/// Removes a directory that is empty. Whether it did: one that has entries, or is not there, is nothing to do.
///
/// # Errors
/// What else the system says.
pub fn remove_if_empty(directory: &Path) -> io::Result<bool> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if stays(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing to remove. POSIX has two answers for a directory that has entries: Linux says ENOTEMPTY, illumos
/// EEXIST.
fn stays(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound};
    matches!(error.kind(), DirectoryNotEmpty | AlreadyExists | NotFound)
}

/// In unit tests, the system's function in the form that illumos has: every test that removes directories meets it. The tests of the
/// whole program meet that of Linux.
#[cfg(test)]
mod illumos {
    use std::ffi::{CStr, c_char, c_int};

    use rustix::fs::{AtFlags, CWD, unlinkat};
    use rustix::io::Errno;

    /// `rmdir(2)`.
    // SAFETY: the program has no other function of this name, and the system's own, which this one takes the place of, is called by
    // its name only with what it documents.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
        // SAFETY: who calls rmdir gives it a text that ends with a zero byte.
        let path = unsafe { CStr::from_ptr(path) };
        let errno = match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Ok(()) => return 0,
            Err(Errno::NOTEMPTY) => Errno::EXIST,
            Err(errno) => errno,
        };
        // SAFETY: the pointer is valid for this thread at any time.
        unsafe { *libc::__errno_location() = errno.raw_os_error() };
        -1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_meet_the_answer_of_illumos() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let refused = fs::remove_dir(directory.path()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EEXIST));
    }

    #[test]
    fn a_directory_with_entries_stays_and_that_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, file) = (directory.path().join("inner"), directory.path().join("inner/file"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "").unwrap();
        assert!(!remove_if_empty(&inner).unwrap());
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
        assert!(remove_if_empty(&inner).unwrap());
        assert!(!remove_if_empty(&inner).unwrap(), "it is not there any more");
    }

    #[test]
    fn both_answers_mean_the_same_and_others_are_errors() {
        for errno in [libc::ENOTEMPTY, libc::EEXIST, libc::ENOENT] {
            assert!(stays(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        for errno in [libc::EACCES, libc::ENOTDIR, libc::EIO, libc::EBUSY, libc::EROFS] {
            assert!(!stays(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }
}
