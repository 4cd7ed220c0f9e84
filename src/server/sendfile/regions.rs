// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Maps memory to files, per connection, and derives how the next write to the socket is made.

use std::io::IoSlice;

#[cfg(target_os = "linux")]
pub(super) use linux::Region;
#[cfg(target_os = "linux")]
pub(in crate::server) use linux::Regions;

/// How the first of several buffers is sent to the socket.
pub(in crate::server) enum Next<'a> {
    /// From memory, with an ordinary write.
    Memory(&'a [IoSlice<'a>]),
    /// From memory, with a piece of a file directly after it.
    #[cfg(target_os = "linux")]
    BeforeFile(&'a [u8]),
    /// From a file.
    #[cfg(target_os = "linux")]
    File {
        /// The file that is mapped to the memory.
        file: std::sync::Arc<std::fs::File>,
        /// The offset in the file at which the buffer begins.
        offset: u64,
        /// The buffer's length.
        length: usize,
    },
}

/// Has no mappings, because this system has no zero-copy path.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(in crate::server) struct Regions;

#[cfg(not(target_os = "linux"))]
impl Regions {
    /// Returns how to send the first of the buffers.
    pub(in crate::server) fn next<'a>(&self, bufs: &'a [IoSlice<'a>]) -> Next<'a> {
        Next::Memory(bufs)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{IoSlice, Next};

    use std::fs::File;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use rustix::net::SendFlags;
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// Memory that is mapped to a part of a file.
    pub(in crate::server::sendfile) struct Region {
        /// The address of its first byte.
        pub(in crate::server::sendfile) address: usize,
        pub(in crate::server::sendfile) length: usize,
        pub(in crate::server::sendfile) file: Arc<File>,
        /// The offset of the first byte in the file.
        pub(in crate::server::sendfile) offset: u64,
    }

    impl Region {
        /// Returns the position of a buffer in the region, if it lies in it.
        fn position(&self, buf: &[u8]) -> Option<usize> {
            let inside = (buf.as_ptr() as usize).checked_sub(self.address)?;
            (inside.checked_add(buf.len())? <= self.length).then_some(inside)
        }
    }

    /// The mappings whose slices a connection may have to send. Each is entered before its first slice exists and
    /// removed before it is unmapped, so an address within it cannot belong to anything else.
    #[derive(Default)]
    pub(in crate::server) struct Regions(Mutex<Vec<Region>>);

    impl Regions {
        pub(in crate::server::sendfile) fn enter(&self, region: Region) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(region);
        }

        pub(in crate::server::sendfile) fn remove(&self, address: usize) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|region| region.address != address);
        }

        /// Returns how to send the first of the buffers.
        pub(in crate::server) fn next<'a>(&self, bufs: &'a [IoSlice<'a>]) -> Next<'a> {
            let regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let find = |buf: &[u8]| regions.iter().find_map(|region| Some((region, region.position(buf)?)));
            let mapped = |buf: &IoSlice<'_>| !buf.is_empty() && find(buf).is_some();
            let Some(at) = bufs.iter().position(mapped) else { return Next::Memory(bufs) };
            let before = &bufs[..at];
            match (before.iter().find(|buf| !buf.is_empty()), find(&bufs[at])) {
                (None, Some((region, inside))) => Next::File {
                    file: Arc::clone(&region.file),
                    offset: region.offset + inside as u64,
                    length: bufs[at].len(),
                },
                // The usual case: the head of the response.
                (Some(head), _) if before.len() == 1 => Next::BeforeFile(head),
                _ => Next::Memory(before),
            }
        }
    }

    impl Next<'_> {
        /// Sends as much as the socket accepts now.
        pub(in crate::server) fn send(&self, stream: &TcpStream) -> io::Result<usize> {
            stream.try_io(Interest::WRITABLE, || match self {
                Next::Memory(bufs) => Ok(rustix::io::writev(stream, bufs)?),
                // The flag lets the head of a response share a packet with the first bytes of the file.
                Next::BeforeFile(head) => {
                    Ok(rustix::net::send(stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)?)
                }
                Next::File { file, offset, length } => {
                    match rustix::fs::sendfile(stream, file, Some(&mut offset.clone()), *length)? {
                        0 => Err(io::ErrorKind::UnexpectedEof.into()),
                        sent => Ok(sent),
                    }
                }
            })
        }
    }
}
