// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Closes a connection on which the client may still be sending.
//!
//! If a socket is closed with unread input, the system sends a reset, and on a reset the client's system discards an
//! answer that it has received but not yet read: an upload refused early would look like a network failure. So the
//! sending side is closed first, and input is read and discarded until the client closes too, within limits: 64 MiB, 30
//! seconds, and 5 seconds (half a second during a shutdown) without a byte.

use std::io;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MAX_BYTES: usize = 64 << 20;
const MAX_TIME: Duration = Duration::from_secs(30);
const MAX_SILENCE: Duration = Duration::from_secs(5);
const MAX_SILENCE_IN_SHUTDOWN: Duration = Duration::from_millis(500);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes all bytes. Returns false if the client does not take them in time.
pub(super) async fn write_all(stream: &TcpStream, bytes: &[u8]) -> bool {
    matches!(timeout(WRITE_TIMEOUT, try_write_all(stream, bytes)).await, Ok(Ok(())))
}

async fn try_write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Closes the sending side and discards input until the client closes or a limit is reached.
pub(super) async fn close(stream: &TcpStream, shutdown: &CancellationToken) {
    if rustix::net::shutdown(stream, Shutdown::Write).is_ok() {
        let _ = timeout(MAX_TIME, discard(stream, shutdown)).await;
    }
}

async fn discard(stream: &TcpStream, shutdown: &CancellationToken) {
    let mut scratch = vec![0; 64 << 10];
    let mut total = 0;
    while total < MAX_BYTES {
        let silence = if shutdown.is_cancelled() { MAX_SILENCE_IN_SHUTDOWN } else { MAX_SILENCE };
        if !matches!(timeout(silence, stream.readable()).await, Ok(Ok(()))) {
            return;
        }
        match stream.try_read(&mut scratch) {
            Ok(0) => return,
            Ok(bytes) => total += bytes,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
