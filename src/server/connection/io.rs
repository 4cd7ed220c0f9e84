// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The socket as hyper sees it. It withholds hyper's own answers, sends file mappings without copying them, and keeps
//! the connection's state up to date.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::state::ConnectionState;
use crate::server::sendfile::Next;

/// hyper's side of a connection. It returns the socket to [`ConnectionState`] when hyper drops it.
pub(super) struct ConnectionIo {
    stream: Option<TcpStream>,
    shared: Arc<ConnectionState>,
}

impl ConnectionIo {
    pub(super) fn new(stream: TcpStream, shared: Arc<ConnectionState>) -> ConnectionIo {
        ConnectionIo { stream: Some(stream), shared }
    }

    /// The socket; absent only while `self` is being dropped.
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Makes one of the writes that bypass memory.
    #[cfg(target_os = "linux")]
    fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, next: &Next<'_>) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(stream.poll_write_ready(cx))?;
            match next.send(stream) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl Drop for ConnectionIo {
    fn drop(&mut self) {
        self.shared.give_back(self.stream.take());
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = self.stream()?.poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) {
            self.shared.received(buf.filled().len() - before);
        }
        result
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.shared.phase().awaits_head() {
            bufs.iter().for_each(|buf| self.shared.withhold(buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let next = self.shared.regions.next(bufs);
        let stream = self.stream()?;
        let result = match next {
            Next::Memory(bufs) => stream.poll_write_vectored(cx, bufs),
            #[cfg(target_os = "linux")]
            direct => Self::poll_send(&stream, cx, &direct),
        };
        self.shared.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        // This makes hyper pass the body's own memory instead of copies of it.
        true
    }

    /// hyper calls this when it has nothing left to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.flushed();
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the connection is closed later, see [`super::linger`].
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
