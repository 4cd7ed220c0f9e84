// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, BufRead, Read};

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// A buffered source that can look ahead, and knows how many bytes were taken from it.
pub(super) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// The part of `buffer` that has not been taken.
    start: usize,
    end: usize,
    /// Bytes that the source has given.
    read: u64,
    /// The error of the source, which decoders would mix up with errors of the data.
    failure: Option<io::Error>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Input<R> {
        Input { source, buffer: vec![0; BUFFER], start: 0, end: 0, read: 0, failure: None }
    }

    /// Returns how many bytes were taken.
    pub(super) fn position(&self) -> u64 {
        self.read.saturating_sub((self.end - self.start) as u64)
    }

    /// Returns so many of the next bytes, without taking them; fewer at the end.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < count.min(BUFFER) && self.fill()? > 0 {}
        Ok(&self.buffer[..self.end.min(count)])
    }

    /// Returns the number of bytes of the source, and its error.
    pub(super) fn finish(self) -> (u64, Option<io::Error>) {
        (self.read, self.failure)
    }

    /// Reads into the free part of the buffer.
    fn fill(&mut self) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the source has failed"));
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    self.read = self.read.saturating_add(length as u64);
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::Error::other("the source has failed"));
                }
            }
        }
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
