//! Which memory belongs to which file, per connection, and writing to the socket with that knowledge.

use std::io::{self, IoSlice};

use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
pub(super) use linux::Region;
#[cfg(target_os = "linux")]
pub(in crate::server) use linux::Regions;

/// Knows of no mappings: there is no zero-copy path on this system.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(in crate::server) struct Regions;

#[cfg(not(target_os = "linux"))]
impl Regions {
    /// Writes some of the buffers.
    pub(in crate::server) fn write(&self, stream: &TcpStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        stream.try_write_vectored(bufs)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{IoSlice, TcpStream, io};

    use std::fs::File;
    use std::sync::{Arc, Mutex, PoisonError};

    use rustix::net::SendFlags;
    use tokio::io::Interest;

    /// Memory that shows a part of a file.
    pub(in crate::server::sendfile) struct Region {
        /// The address of its first byte.
        pub(in crate::server::sendfile) address: usize,
        pub(in crate::server::sendfile) length: usize,
        pub(in crate::server::sendfile) file: Arc<File>,
        /// Where the first byte is in the file.
        pub(in crate::server::sendfile) offset: u64,
    }

    /// The mappings whose slices may come by on a connection. Each is entered before its first slice exists and
    /// removed before it is unmapped, so an address in it cannot be anything else.
    #[derive(Default)]
    pub(in crate::server) struct Regions(Mutex<Vec<Region>>);

    impl Regions {
        pub(in crate::server::sendfile) fn enter(&self, region: Region) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(region);
        }

        pub(in crate::server::sendfile) fn remove(&self, address: usize) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|region| region.address != address);
        }

        /// The file and the place in it of a buffer that lies in a mapping.
        fn find(&self, buf: &[u8]) -> Option<(Arc<File>, u64)> {
            let address = buf.as_ptr() as usize;
            let regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            regions.iter().find_map(|region| {
                let inside = address.checked_sub(region.address)?;
                let fits = inside.checked_add(buf.len())? <= region.length;
                fits.then(|| (Arc::clone(&region.file), region.offset + inside as u64))
            })
        }

        /// Writes some of the buffers: mapped ones from their file, others from memory.
        pub(in crate::server) fn write(&self, stream: &TcpStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
            let Some(first) = filled.next() else { return Ok(0) };
            if let Some((file, offset)) = self.find(first) {
                return send_file(stream, &file, offset, first.len());
            }
            if filled.next().is_some_and(|second| self.find(second).is_some()) {
                // Lets the head of a response share a packet with the first bytes of the file.
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                return stream.try_io(Interest::WRITABLE, || Ok(rustix::net::send(stream, first, flags)?));
            }
            let mapped = bufs.iter().position(|buf| self.find(buf).is_some()).unwrap_or(bufs.len());
            stream.try_write_vectored(&bufs[..mapped])
        }
    }

    fn send_file(stream: &TcpStream, file: &File, mut offset: u64, length: usize) -> io::Result<usize> {
        stream.try_io(Interest::WRITABLE, || {
            match rustix::fs::sendfile(stream, file, Some(&mut offset), length)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                sent => Ok(sent),
            }
        })
    }
}
