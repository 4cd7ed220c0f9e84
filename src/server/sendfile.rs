//! Downloads without copying: files as response bodies, and the way of their bytes into the socket.
//!
//! On Linux a body is a sequence of slices of a read-only mapping of its file, which it registers with the
//! connection. The connection recognises such slices by their address and sends them with `sendfile(2)`, so that
//! nothing ever touches the mapped memory. Whatever else reads a slice (hyper, a middleware) reads the right bytes,
//! so correctness does not depend on being recognised. Elsewhere the body is read in pieces on blocking threads.

mod read;
mod regions;

#[cfg(target_os = "linux")]
mod mapped;

use std::fs::File;
use std::io;
use std::ops::Range;

use axum::body::Body;

use super::connection::ConnectionHandle;
use read::ReadBody;
pub(super) use regions::{Next, Regions};

/// A response body of the bytes `range` of a file, with an exact size hint.
///
/// With the handle of the connection (an extension of the request) the bytes go from the file to the socket
/// without a copy where the system can. The file must not be truncated while the body exists: see
/// `mapped.rs`. Memory per body is at most 512 KiB, whatever the file's size.
///
/// # Errors
/// When the range does not lie within the file (`InvalidInput`), or the file has no length.
pub fn file_body(file: File, range: Range<u64>, connection: Option<&ConnectionHandle>) -> io::Result<Body> {
    if range.start > range.end || range.end > file.metadata()?.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "range beyond the end of the file"));
    }
    #[cfg(target_os = "linux")]
    if let Some(handle) = connection
        && range.start < range.end
        && let Some(body) = mapped::MappedBody::new(&file, range.clone(), &handle.0)
    {
        return Ok(Body::new(body));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = connection;
    Ok(Body::new(ReadBody::new(file, range)))
}

#[cfg(test)]
mod tests;
