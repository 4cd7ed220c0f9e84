// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Acknowledging at once what the server sends.
//!
//! Moray writes the rows of an answer and its end one after the other, on a socket that holds back what is small until the
//! packet before it is acknowledged. An acknowledgement that waits for data to go along with keeps the end for 40 ms on
//! Linux.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// The reading half of a connection. What was read is acknowledged, where the system can be told to.
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

/// Linux falls back to waiting by itself, so it is told again each time. Without it everything works, only later.
#[cfg(target_os = "linux")]
fn acknowledge(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Other systems have no such option; illumos has one for the whole machine.
#[cfg(not(target_os = "linux"))]
fn acknowledge(_stream: &TcpStream) {}
