// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reading from and writing to the disk.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;

/// On systems that delay writing, a flush is started whenever this many bytes were written, so that little is left for
/// the final sync.
///
/// ZFS, SmartOS's file system, starts writing after some seconds by itself, and each sync on it writes everything that
/// waits in its intent log. There the sync at the end of a file suffices.
pub const FLUSH_EVERY: Option<u64> = if cfg!(target_os = "illumos") { None } else { Some(32 << 20) };

/// Writes bytes that leave the page cache once they are on disk, and that the system starts to write at once. `None` if
/// the system does not support that.
#[cfg(target_os = "linux")]
pub fn write_uncached(file: &File, batch: &[u8], position: u64) -> io::Result<Option<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    /// `RWF_DONTCACHE`, available since Linux 6.14.
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
    match pwritev2(file, &[io::IoSlice::new(batch)], position, DONTCACHE) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(Some(written)),
        Err(Errno::INTR) => Ok(Some(0)),
        // The kernel is older, or the file system does not support the flag.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns `None`, because only Linux has such writes.
#[cfg(not(target_os = "linux"))]
pub fn write_uncached(_file: &File, _batch: &[u8], _position: u64) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Reserves space, so that a full disk is noticed at the first byte rather than the last.
#[cfg(target_os = "linux")]
pub fn preallocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    if length == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // Not every file system supports it.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => result.map_err(io::Error::from),
    }
}

/// Does nothing, because ZFS, SmartOS's file system, allocates on write.
#[cfg(not(target_os = "linux"))]
pub fn preallocate(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Lets the system drop these bytes from its cache, in favour of data that is read repeatedly.
#[cfg(target_os = "linux")]
pub fn forget(file: &File, position: u64, length: usize) {
    let length = NonZeroU64::new(length as u64);
    // This is only advice, so errors do not matter.
    let _ = rustix::fs::fadvise(file, position, length, rustix::fs::Advice::DontNeed);
}

/// Does nothing, because ZFS's cache favours data that is read repeatedly.
#[cfg(not(target_os = "linux"))]
pub fn forget(_file: &File, _position: u64, _length: usize) {}
