// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests that are sent byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Manta;
use crate::within;

/// A connection on which a request has begun.
pub(super) struct Raw(TcpStream);

impl Raw {
    /// Sends the head of a signed PUT, with these additional header lines.
    pub(super) async fn put(manta: &Manta, path: &str, lines: &str) -> Self {
        let mut head = format!("PUT {path} HTTP/1.1\r\nhost: manta\r\n{lines}");
        for (name, value) in &manta.signature() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head.push_str("\r\n");
        let mut raw = Self(TcpStream::connect(manta.server().address()).await.unwrap());
        raw.send(&head).await;
        raw
    }

    pub(super) async fn send(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads the next head, up to its blank line.
    pub(super) async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(within(self.0.read_u8()).await.unwrap()));
        }
        head
    }
}
