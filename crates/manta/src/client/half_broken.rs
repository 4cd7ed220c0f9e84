// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A connection that can still be read when it can no longer be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// A server that rejects an upload midway answers and closes the connection, so a write may fail before the answer was read. HTTP
/// libraries then end the exchange. Here such a write stays pending for ever instead, so that the next read decides: it returns
/// the answer or the end of the connection.
#[derive(Debug)]
pub(super) struct HalfBroken<T> {
    inner: T,
    broken: bool,
}

impl<T: Unpin> HalfBroken<T> {
    pub(super) fn new(inner: T) -> HalfBroken<T> {
        HalfBroken { inner, broken: false }
    }

    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        match write(Pin::new(&mut self.inner)) {
            Poll::Ready(Err(error)) if is_end_of_peer(&error) => {
                self.broken = true;
                Poll::Pending
            }
            other => other,
        }
    }
}

fn is_end_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl<T: Read + Unpin> Read for HalfBroken<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for HalfBroken<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|inner| inner.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = |inner: Pin<&mut T>| inner.poll_flush(context).map_ok(|()| 0);
        self.write(flush).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|inner| inner.poll_write_vectored(context, buffers))
    }
}

impl<T: Connection> Connection for HalfBroken<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}
