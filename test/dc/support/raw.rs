// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! HTTP by hand, for requests that a client library would not send and answers that it would hide.

use std::net::SocketAddr;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, within};

/// A connection, and the received bytes that were not taken yet.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Connection {
        let stream = within("connect", TcpStream::connect(address)).await.unwrap();
        Connection { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("send", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends a request with these lines, without the blank line at the end, and reads its answer.
    pub(crate) async fn exchange(&mut self, lines: &[&str]) -> Answer {
        self.send(lines.join("\r\n") + "\r\n\r\n").await;
        let is_head = lines[0].starts_with("HEAD ");
        let mut answer = self.read_head().await;
        answer.what = lines[0].to_owned();
        if !is_head {
            answer.body = self.read_body(&answer).await;
        }
        answer
    }

    /// Reads a response with its body.
    pub(crate) async fn read_answer(&mut self) -> Answer {
        let mut answer = self.read_head().await;
        answer.body = self.read_body(&answer).await;
        answer
    }

    /// Reads a response without its body.
    pub(crate) async fn read_head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill().await, "closed within a head: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let (status_line, lines) = head.trim_end().split_once("\r\n").unwrap_or((head.trim_end(), ""));
        let headers: HeaderMap = lines
            .lines()
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
                (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
            })
            .collect();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { what: status_line.to_owned(), status, headers, body: Bytes::new() }
    }

    /// Reads a body of the length in the head, or until the end.
    pub(crate) async fn read_body(&mut self, head: &Answer) -> Bytes {
        if head.status == 204 || head.status == 304 {
            return Bytes::new();
        }
        let length = head.header("content-length").map(|length| length.parse::<usize>().unwrap());
        assert_eq!(head.header("transfer-encoding"), None, "every body has a length");
        while length.is_none_or(|length| self.buffer.len() < length) && self.fill().await {}
        let length = length.unwrap_or(self.buffer.len());
        assert!(self.buffer.len() >= length, "closed after {} of {length} bytes", self.buffer.len());
        self.buffer.drain(..length).collect::<Vec<_>>().into()
    }

    /// Returns whether the other side has closed the connection without sending anything more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Reads until the other side closes the connection, and returns the number of bytes.
    pub(crate) async fn read_to_end(&mut self) -> usize {
        while self.fill().await {}
        self.buffer.len()
    }

    /// Closes the sending side.
    pub(crate) async fn finish(&mut self) {
        within("shutdown", self.stream.shutdown()).await.unwrap();
    }

    async fn fill(&mut self) -> bool {
        within("receive", self.stream.read_buf(&mut self.buffer)).await.is_ok_and(|length| length > 0)
    }
}
