// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;
use std::{fs, io};

/// Removes a directory if it is empty. Returns whether it was removed: a directory with entries, or a missing one, is
/// left alone.
///
/// # Errors
/// Any other error of the system.
pub fn remove_if_empty(directory: &Path) -> io::Result<bool> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if stays(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether the error means that there is nothing to remove. For a directory with entries POSIX allows two
/// errors: Linux returns ENOTEMPTY, illumos EEXIST.
fn stays(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound};
    matches!(error.kind(), DirectoryNotEmpty | AlreadyExists | NotFound)
}

/// In unit tests, a replacement of the system's function that behaves as on illumos. Every unit test that removes
/// directories uses it; the tests of the whole program use that of Linux.
#[cfg(test)]
mod illumos {
    use std::ffi::{CStr, c_char, c_int};

    use rustix::fs::{AtFlags, CWD, unlinkat};
    use rustix::io::Errno;

    /// `rmdir(2)`.
    // SAFETY: the program has no other function with this name. It replaces the system's function, and callers by that
    // name only pass what that function documents.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
        // SAFETY: callers of rmdir pass a string that ends with a zero byte.
        let path = unsafe { CStr::from_ptr(path) };
        let errno = match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Ok(()) => return 0,
            Err(Errno::NOTEMPTY) => Errno::EXIST,
            Err(errno) => errno,
        };
        // SAFETY: the pointer is always valid for this thread.
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
