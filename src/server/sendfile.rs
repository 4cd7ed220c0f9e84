// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads: files as response bodies, and the way of their bytes into the socket without copying them.
//!
//! On Linux a body is a sequence of slices of a read-only mapping of its file, which it registers with the
//! connection. The connection recognises such slices by their address and sends them with `sendfile(2)`, so that
//! nothing ever touches the mapped memory. Whatever else reads a slice (hyper, a middleware) reads the right bytes,
//! so correctness does not depend on being recognised.
//!
//! Elsewhere, and for a client on the same host, the body is read in pieces on blocking threads. There `sendfile`
//! saves no copy, it only leaves the whole of it to the client: measured on two cores over loopback, reading
//! costs the two together as much time on the CPU and is a quarter faster, because both work on it.

mod read;
mod regions;

#[cfg(target_os = "linux")]
mod mapped;

use std::fs::File;
use std::io;
use std::ops::Range;

use axum::body::Body;

use super::connection::state::ConnectionHandle;
use read::ReadBody;
pub(super) use regions::{Next, Regions};

/// A response body of the bytes `range` of a file, with an exact size hint.
///
/// With the handle of the connection (an extension of the request) the bytes go from the file to the socket
/// without a copy where that helps. The file must not be truncated while the body exists: see `mapped.rs`.
/// Memory per body is about 2 MiB at most, whatever the file's size.
///
/// # Errors
/// When the range does not lie within the file (`InvalidInput`), or the file has no length.
pub(super) fn file_body(
    file: File,
    range: Range<u64>,
    connection: Option<&ConnectionHandle>,
) -> io::Result<Body> {
    if range.start > range.end || range.end > file.metadata()?.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "range beyond the end of the file"));
    }
    let remote = connection.filter(|handle| !handle.0.is_local());
    Ok(match remote.and_then(|handle| mapped_body(&file, &range, handle)) {
        Some(body) => body,
        None => Body::new(ReadBody::new(file, range)),
    })
}

/// A body that is sent from the file itself; none where that is not possible.
#[cfg(target_os = "linux")]
fn mapped_body(file: &File, range: &Range<u64>, connection: &ConnectionHandle) -> Option<Body> {
    if range.is_empty() {
        return None;
    }
    mapped::MappedBody::new(file, range.clone(), &connection.0).map(Body::new)
}

#[cfg(not(target_os = "linux"))]
fn mapped_body(_: &File, _: &Range<u64>, _: &ConnectionHandle) -> Option<Body> {
    None
}

#[cfg(test)]
mod tests;
