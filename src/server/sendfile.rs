// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads: files as response bodies, and how their bytes reach the socket without being copied.
//!
//! On Linux a body is a sequence of slices of a read-only mapping of its file, which it registers with the connection.
//! The connection recognises such slices by their address and sends them with `sendfile(2)`, so that the mapped memory
//! is never touched. Anything else that reads a slice (hyper, a middleware) reads the right bytes, so correctness does
//! not depend on the slice being recognised.
//!
//! On other systems, and for a client on the same host, the body is read in pieces on blocking threads. For a local
//! client `sendfile` saves no copy, but moves all of it to the client: measured on two cores over loopback, reading
//! costs the same total CPU time and is a quarter faster, because both processes share the work.

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

/// Returns a response body with the bytes `range` of a file and an exact size hint.
///
/// With the handle of the connection (an extension of the request) the bytes go from the file to the socket without a
/// copy where that helps. The file must not be truncated while the body exists: see `mapped.rs`. A body uses at most
/// about 2 MiB of memory, regardless of the file's size.
///
/// # Errors
/// The range does not lie within the file (`InvalidInput`), or the file has no length.
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

/// Returns a body that is sent from the file itself, or `None` if that is not possible.
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
