// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A file body that reads the file on blocking threads.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// The bytes of one read. The next read runs while the previous piece is being sent.
const PIECE: u64 = 512 << 10;

/// Reads a range of a file piece by piece, one piece ahead.
pub(super) struct ReadBody {
    file: Arc<File>,
    /// The range that has not been read yet.
    rest: Range<u64>,
    /// The bytes that have not been returned yet.
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Pieces that may still be in transmission, the oldest first.
    sent: VecDeque<Bytes>,
}

impl ReadBody {
    pub(super) fn new(file: File, range: Range<u64>) -> ReadBody {
        let left = range.end - range.start;
        ReadBody { file: Arc::new(file), left, rest: range, reading: None, sent: VecDeque::new() }
    }

    fn read_ahead(&mut self) {
        let (start, length) = (self.rest.start, PIECE.min(self.rest.end - self.rest.start));
        if length > 0 {
            let file = Arc::clone(&self.file);
            self.rest.start += length;
            let buffer = self.buffer();
            self.reading = Some(spawn_blocking(move || read_piece(&file, start, length, buffer)));
        }
    }

    /// Reuses the buffer of the oldest piece once that has been sent: for fresh memory the system has a page fault and
    /// a page to clear for every page.
    fn buffer(&mut self) -> BytesMut {
        let done = self.sent.front().is_some_and(Bytes::is_unique);
        let oldest = if done { self.sent.pop_front() } else { None };
        oldest.and_then(|piece| piece.try_into_mut().ok()).unwrap_or_default()
    }
}

fn read_piece(file: &File, start: u64, length: u64, mut buffer: BytesMut) -> io::Result<Bytes> {
    buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer.freeze())
}

impl Body for ReadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            self.read_ahead();
        }
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let piece = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten();
        self.reading = None;
        match piece {
            Ok(piece) => {
                self.left -= piece.len() as u64;
                self.sent.push_back(piece.clone());
                self.read_ahead();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(e) => {
                // The stream ends here: hyper closes the connection before the announced length.
                self.rest.start = self.rest.end;
                self.left = 0;
                Poll::Ready(Some(Err(e)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
