// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests as bytes, for those that no HTTP library would send.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// The bytes that a client sends, and its action after that.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The pieces, which are written one by one.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// Whether the client closes its sending side after the pieces.
    pub(crate) half_close: bool,
    /// Whether the method is HEAD. Its answers have no body, unless the parser rejects the request.
    pub(crate) head: bool,
}

/// An answer as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Returns the `code` of an error body; `None` if the body is not a complete error.
    pub(crate) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let message = body["message"].as_str()?;
        let is_json = self.content_type.starts_with("application/json");
        body["code"].as_str().filter(|_| is_json && !message.is_empty()).map(str::to_owned)
    }
}

impl Exchange {
    /// Creates an exchange of one piece, after which the client closes its sending side.
    pub(crate) fn of(bytes: impl Into<Vec<u8>>) -> Exchange {
        Exchange { pieces: vec![bytes.into()], half_close: true, head: false }
    }

    /// Splits the same bytes into pieces of one byte.
    pub(crate) fn byte_by_byte(mut self) -> Exchange {
        self.pieces = self.pieces.concat().into_iter().map(|byte| vec![byte]).collect();
        self
    }

    /// Keeps the sending side open: the answer must come without its end.
    pub(crate) fn kept_open(mut self) -> Exchange {
        self.half_close = false;
        self
    }

    /// Sends the pieces and reads answers: all until the server closes, or the first one if the client keeps its side open.
    pub(crate) async fn run(&self, address: SocketAddr) -> Result<Vec<Response>, String> {
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut reader, mut writer) = stream.split();
            // The server may answer with an error and close the connection before everything is sent.
            let send = async {
                for piece in &self.pieces {
                    writer.write_all(piece).await?;
                    writer.flush().await?;
                }
                if self.half_close { writer.shutdown().await } else { Ok(()) }
            };
            let (_, received) = tokio::join!(send, self.read(&mut reader));
            received
        };
        let received = timeout(PATIENCE, exchange).await.map_err(|_| "no end of the answer".to_owned())?;
        let mut rest = &received.map_err(|error| error.to_string())?[..];
        let mut responses = Vec::new();
        while !rest.is_empty() {
            let (response, end) = parse(rest, self.head).ok_or_else(|| {
                format!("no whole answer: {:?}", String::from_utf8_lossy(&rest[..rest.len().min(400)]))
            })?;
            // An interim answer does not count.
            if response.status >= 200 {
                responses.push(response);
            }
            rest = &rest[end..];
        }
        Ok(responses)
    }

    async fn read(&self, reader: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
        let mut received = Vec::new();
        loop {
            match reader.read_buf(&mut received).await {
                Ok(0) => return Ok(received),
                Ok(_) => {}
                // After its answer, the server may reset the connection of a client that continues to send.
                Err(_) if parse(&received, self.head).is_some() => return Ok(received),
                Err(error) => return Err(error),
            }
            let is_final = |(response, _): (Response, usize)| response.status >= 200;
            if !self.half_close && parse(&received, self.head).is_some_and(is_final) {
                return Ok(received);
            }
        }
    }
}

/// Returns the response at the beginning of `bytes` and its length, if it is complete.
fn parse(bytes: &[u8], head: bool) -> Option<(Response, usize)> {
    parse_with(bytes, false).or_else(|| parse_with(bytes, head))
}

/// Parses a response if it is known whether it has no body regardless of its length header.
fn parse_with(bytes: &[u8], is_bodiless: bool) -> Option<(Response, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let content_type = header("content-type").map(|(_, value)| (*value).to_owned()).unwrap_or_default();
    let bodiless = is_bodiless || status < 200 || matches!(status, 204 | 304);
    let length = match header("content-length") {
        _ if bodiless => 0,
        Some((_, length)) => length.parse().ok()?,
        None => return None,
    };
    let body = bytes.get(end..end + length)?.to_vec();
    Some((Response { status, content_type, body }, end + length))
}
