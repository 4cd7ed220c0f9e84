// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, Write};

use zfs_stream::{Error, Parser, Reason, Summary, Sums};

/// First bytes that are kept, to tell what data is that is no ZFS stream.
const KEPT: usize = 512;

/// Where a tar archive has its magic number.
const TAR_AT: usize = 257;

/// Decompressed data.
#[derive(Debug)]
pub struct Data {
    /// Its length in bytes.
    pub size: u64,
    /// What it is.
    pub kind: DataKind,
    /// The ZFS stream, if it is one.
    pub stream: Option<Stream>,
}

/// A kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// No bytes at all.
    Empty,
    /// A stream of `zfs send`.
    ZfsStream,
    /// A tar archive, as layers of Docker are.
    Tar,
    /// An HTML page, such as the error page of a proxy.
    Html,
    /// Something else.
    Unknown,
}

/// A ZFS stream.
#[derive(Debug)]
pub struct Stream {
    /// What it is, as far as it could be read; `None` if not even its first record could.
    pub summary: Option<Summary>,
    /// Why `zfs receive` would not take it.
    pub failure: Option<Error>,
    /// Bytes after its end, which `zfs receive` does not read.
    pub bytes_after: u64,
}

/// Takes data, and finds out what it is.
pub(super) struct Probe {
    begin: Vec<u8>,
    size: u64,
    parser: Parser,
    failure: Option<Error>,
    bytes_after: u64,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe { begin: Vec::new(), size: 0, parser: Parser::new(Sums::Check), failure: None, bytes_after: 0 }
    }
}

impl Probe {
    /// Says what the data is. If it is not whole, because it could not be decompressed, its end is no mistake of the stream.
    pub(super) fn finish(self, is_whole: bool) -> Data {
        let summary = self.parser.summary().cloned();
        let failure = self.failure.or_else(|| self.parser.finish().err());
        let is_cut_off = |error: &Error| matches!(error.reason, Reason::CutOff(_));
        let kind = match &failure {
            Some(error) if error.reason == Reason::NoStream => kind_of(&self.begin),
            _ => DataKind::ZfsStream,
        };
        let stream = (kind == DataKind::ZfsStream).then(|| Stream {
            summary,
            failure: failure.filter(|error| is_whole || !is_cut_off(error)),
            bytes_after: self.bytes_after,
        });
        Data { size: self.size, kind, stream }
    }
}

impl Write for Probe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        let kept = (KEPT - self.begin.len()).min(bytes.len());
        self.begin.extend_from_slice(&bytes[..kept]);
        if self.failure.is_none() {
            match self.parser.feed(bytes, |_| ()) {
                Ok(taken) => self.bytes_after = self.bytes_after.saturating_add((bytes.len() - taken) as u64),
                Err(failure) => self.failure = Some(failure),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kind_of(begin: &[u8]) -> DataKind {
    let text = begin.trim_ascii_start();
    let begins_like =
        |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
    match begin {
        [] => DataKind::Empty,
        _ if begin.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) => DataKind::Tar,
        _ if begins_like("<html") || begins_like("<!doctype html") => DataKind::Html,
        _ => DataKind::Unknown,
    }
}
