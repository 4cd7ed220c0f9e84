// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bytes on their way to and from the disk.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;

/// Where the system does not start writing by itself, it is told to at this distance in bytes, so that the final sync finds little.
///
/// ZFS, SmartOS's file system, begins after some seconds by itself, and each sync there is one of everything that waits in its
/// intent log: the one at the end of a file is enough.
pub const FLUSH_EVERY: Option<u64> = if cfg!(target_os = "illumos") { None } else { Some(32 << 20) };

/// Writes some bytes that leave the page cache once they are on disk, where the system begins to put them at once.
/// `None` when it cannot do that.
#[cfg(target_os = "linux")]
pub fn write_uncached(file: &File, batch: &[u8], position: u64) -> io::Result<Option<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    /// `RWF_DONTCACHE`, since Linux 6.14.
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
    match pwritev2(file, &[io::IoSlice::new(batch)], position, DONTCACHE) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(Some(written)),
        Err(Errno::INTR) => Ok(Some(0)),
        // An older kernel, or a file system that has not learned it.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Only Linux has such writes.
#[cfg(not(target_os = "linux"))]
pub fn write_uncached(_file: &File, _batch: &[u8], _position: u64) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Reserves space, so that a full disk is found at the first byte rather than at the last.
#[cfg(target_os = "linux")]
pub fn preallocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

/// ZFS, SmartOS's file system, allocates on write: there is nothing to reserve.
#[cfg(not(target_os = "linux"))]
pub fn preallocate(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Lets the system drop what was just read, rather than what others read again and again.
#[cfg(target_os = "linux")]
pub fn forget(file: &File, position: u64, length: usize) {
    let length = NonZeroU64::new(length as u64);
    // Only an advice: it does not matter whether it is taken.
    let _ = rustix::fs::fadvise(file, position, length, rustix::fs::Advice::DontNeed);
}

/// ZFS's cache keeps what is read often by itself.
#[cfg(not(target_os = "linux"))]
pub fn forget(_file: &File, _position: u64, _length: usize) {}
