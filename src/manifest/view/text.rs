// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Derives other forms of a manifest's rendered text without decoding it.
//!
//! This relies on the layout of [`crate::manifest::json::pretty`]: a raw line break always ends a line and never occurs
//! within a string, and the depth of a line is the number of its leading spaces.

use memchr::{memchr_iter, memmem};

use crate::manifest::file::ImageFile;

const CHANNELS: &[u8] = b",\n  \"channels\": [";
const FILES: &[u8] = b"\n  \"files\": [";
const END_OF_ENTRY: &[u8] = b"\n    }";

/// Returns the position at which the member `channels` begins, including the comma before it. It is the last member.
pub(super) fn channels_start<T>(text: &[u8], channels: Option<&[T]>) -> Option<usize> {
    channels.and_then(|_| memmem::rfind(text, CHANNELS))
}

/// Closes an object whose last members were cut off.
pub(super) fn closed(members: &[u8]) -> Vec<u8> {
    [members, b"\n}"].concat()
}

/// Returns the text with the member `stor` added at the end of every entry of `files`.
pub(super) fn with_stor(text: &[u8], files: &[ImageFile]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 32 * files.len());
    let Some(mut done) = memmem::find(text, FILES) else { return text.to_vec() };
    out.extend_from_slice(&text[..done]);
    for file in files {
        let Some(end) = memmem::find(&text[done..], END_OF_ENTRY) else { break };
        out.extend_from_slice(&text[done..done + end]);
        out.extend_from_slice(b",\n      \"stor\": \"");
        out.extend_from_slice(file.stor.as_str().as_bytes());
        out.push(b'"');
        out.extend_from_slice(END_OF_ENTRY);
        done += end + END_OF_ENTRY.len();
    }
    out.extend_from_slice(&text[done..]);
    out
}

/// Appends the text, indented by one more level.
pub(super) fn append_indented(text: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr_iter(b'\n', text).chain([text.len().saturating_sub(1)]) {
        out.extend_from_slice(b"  ");
        out.extend_from_slice(&text[start..=end]);
        start = end + 1;
    }
}

/// Returns the text as `JSON.stringify` without indentation gives it: without the white space outside strings.
pub(super) fn compacted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_start();
        match name_end(line) {
            // `"name": value`
            Some(end) => {
                out.extend_from_slice(&line[..end + 1]);
                out.extend_from_slice(&line[end + 2..]);
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Returns the position of the colon after a member's name, if the line has one.
fn name_end(line: &[u8]) -> Option<usize> {
    if line.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return (line.get(at + 1..at + 3) == Some(b": ")).then_some(at + 1),
            _ => at += 1,
        }
    }
    None
}
