// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sends one request unchanged on a connection of its own. Client libraries would correct the errors that some rows test.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::answer::Answer;

/// Maximum time without received data.
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends a whole request to `authority` and reads the whole answer.
pub(crate) fn exchange(authority: &str, request: &[u8]) -> Result<Answer, String> {
    let exchange = || {
        let mut stream = connect(authority)?;
        stream.write_all(request)?;
        read(&mut stream, request.starts_with(b"HEAD "))
    };
    exchange().map_err(|error: std::io::Error| format!("no answer: {error}"))
}

fn connect(authority: &str) -> std::io::Result<TcpStream> {
    let address = authority.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn read(stream: &mut TcpStream, is_head: bool) -> std::io::Result<Answer> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => fill(stream, &mut buffer)?,
            }
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let mut answer = Answer::of_head(&String::from_utf8_lossy(&head));
        if answer.status < 200 {
            continue;
        }
        if !is_head && answer.status != 204 && answer.status != 304 {
            answer.body = read_body(stream, &answer, buffer)?;
        }
        return Ok(answer);
    }
}

fn read_body(stream: &mut TcpStream, head: &Answer, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if let Some(length) = head.header("content-length").and_then(|length| length.parse().ok()) {
        while buffer.len() < length {
            fill(stream, &mut buffer)?;
        }
        buffer.truncate(length);
        return Ok(buffer);
    }
    let mut body = Vec::new();
    if head.header("transfer-encoding").is_none() {
        stream.read_to_end(&mut buffer)?;
        return Ok(buffer);
    }
    loop {
        let end = loop {
            match buffer.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end,
                None => fill(stream, &mut buffer)?,
            }
        };
        let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        while buffer.len() < end + 2 + size + 2 {
            fill(stream, &mut buffer)?;
        }
        body.extend_from_slice(&buffer[end + 2..end + 2 + size]);
        buffer.drain(..end + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut chunk = [0; 16 << 10];
    match stream.read(&mut chunk)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        length => {
            buffer.extend_from_slice(&chunk[..length]);
            Ok(())
        }
    }
}
