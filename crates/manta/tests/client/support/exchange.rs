// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::UnboundedSender;

/// A connection, encrypted or not.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A request whose head was read, and its connection.
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    body_read: bool,
    io: BufReader<Box<dyn Io>>,
    back: UnboundedSender<Exchange>,
}

impl Exchange {
    /// Reads a head and passes it to the test, unless the connection ends.
    pub(crate) async fn read(io: Box<dyn Io>, back: UnboundedSender<Exchange>) {
        Exchange::read_buffered(BufReader::new(io), back).await;
    }

    async fn read_buffered(mut io: BufReader<Box<dyn Io>>, back: UnboundedSender<Exchange>) {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            match io.read_line(&mut line).await {
                Ok(length) if length > 0 => {}
                _ => return,
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut first = lines[0].split(' ');
        let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
        let header =
            |line: &String| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        let headers = lines[1..].iter().map(header).collect();
        // The test may have ended.
        let _ = back.clone().send(Exchange { method, target, headers, body_read: false, io, back });
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the sorted headers, without those that vary or that every request has.
    pub(crate) fn own_headers(&self) -> Vec<String> {
        const COMMON: [&str; 6] =
            ["accept-version", "authorization", "date", "host", "user-agent", "x-request-id"];
        for name in COMMON {
            assert!(self.header(name).is_some(), "{name}");
        }
        let own = self.headers.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
        let mut own: Vec<String> = own.map(|(name, value)| format!("{name}: {value}")).collect();
        own.sort();
        own
    }

    /// Reads the whole body.
    pub(crate) async fn body(&mut self) -> io::Result<Vec<u8>> {
        self.body_read = true;
        let mut body = Vec::new();
        if let Some(length) = self.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.io.read_exact(&mut body).await?;
            return Ok(body);
        }
        assert_eq!(self.header("transfer-encoding"), Some("chunked"));
        loop {
            let mut line = String::new();
            self.io.read_line(&mut line).await?;
            let Ok(length) = usize::from_str_radix(line.trim_end(), 16) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let start = body.len();
            body.resize(start + length + 2, 0);
            self.io.read_exact(&mut body[start..]).await?;
            body.truncate(start + length);
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads everything until the client closes the connection.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset counts as an end as well.
        let _ = self.io.read_to_end(&mut rest).await;
        rest
    }

    /// Reads this many bytes of the body.
    pub(crate) async fn some(&mut self, length: usize) {
        let mut bytes = vec![0; length];
        self.io.read_exact(&mut bytes).await.unwrap();
    }

    /// Sends bytes unchanged. The client may be gone.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.io.write_all(bytes.as_ref()).await;
        let _ = self.io.flush().await;
    }

    pub(crate) async fn go_on(&mut self) {
        self.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    }

    /// Sends an answer and keeps the connection. A body that the client sends without waiting for `100 Continue` is read first.
    pub(crate) async fn reply(mut self, status: &str, headers: &[&str], body: impl AsRef<[u8]>) {
        let comes = self.header("content-length").is_some() && self.header("expect").is_none();
        if comes && !self.body_read {
            self.body().await.unwrap();
        }
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for header in headers {
            head.push_str(&format!("{header}\r\n"));
        }
        let has_length = headers.iter().any(|header| header.starts_with("content-length"));
        if !has_length && !status.starts_with("204") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.send(format!("{head}\r\n")).await;
        if self.method != "HEAD" {
            self.send(body).await;
        }
        tokio::spawn(Exchange::read_buffered(self.io, self.back));
    }

    pub(crate) async fn no_content(self) {
        self.reply("204 No Content", &[], "").await;
    }

    /// Answers with an error as Manta does.
    pub(crate) async fn refuse(self, status: &str, code: &str) {
        let body = format!(r#"{{"code":"{code}","message":"because"}}"#);
        self.reply(status, &["content-type: application/json", "x-request-id: r-1"], body).await;
    }
}
