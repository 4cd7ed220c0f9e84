// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Acknowledges received data at once.
//!
//! Moray writes the rows of an answer and its end separately, to a socket with Nagle's algorithm: a small packet is held back
//! until the one before it is acknowledged. On Linux a delayed acknowledgement holds back the end of the answer for 40 ms.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// The reading half of a connection. Received data is acknowledged at once where the system supports that.
#[derive(Debug)]
pub(super) struct QuickAck(pub(super) OwnedReadHalf);

impl AsyncRead for QuickAck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        acknowledge(self.0.as_ref());
        Poll::Ready(Ok(()))
    }
}

/// Linux returns to delayed acknowledgements by itself, so the option is set after every read. A failure only costs time.
#[cfg(target_os = "linux")]
fn acknowledge(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Other systems have no such socket option; illumos has a setting for the whole machine.
#[cfg(not(target_os = "linux"))]
fn acknowledge(_stream: &TcpStream) {}
