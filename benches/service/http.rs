// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A client that costs little beside the server it measures: plain sockets, one request a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;
use crate::payload::{FILE_SIZE, Payload};

/// A peer that does nothing for this long has failed.
const DEADLINE: Duration = Duration::from_secs(120);
/// Bytes per read.
const BUFFER: usize = 1 << 20;
/// Bytes of a response's head.
const MAX_HEAD: usize = 64 << 10;

/// Gets `path` and throws it away; fails unless it is 200 and [`FILE_SIZE`] bytes long.
pub(crate) fn download(server: SocketAddr, path: &str) -> Result<(), Failure> {
    let mut stream = connect(server)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut buffer = vec![0; BUFFER];
    let mut received = read_head(&mut stream, &mut buffer)?;
    loop {
        match stream.read(&mut buffer)? {
            0 if received == FILE_SIZE => return Ok(()),
            0 => return Err(format!("{received} bytes came").into()),
            bytes => received += bytes as u64,
        }
    }
}

/// Puts the payload to `path`; fails unless the answer is 200.
pub(crate) fn upload(server: SocketAddr, path: &str, payload: &Payload) -> Result<(), Failure> {
    let mut stream = connect(server)?;
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {FILE_SIZE}\r\n\r\n"
    )?;
    payload.write_to(&stream)?;
    let mut buffer = vec![0; BUFFER];
    read_head(&mut stream, &mut buffer)?;
    Ok(())
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Reads to the end of a head with status 200, and returns how many bytes of the body came along.
fn read_head(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u64, Failure> {
    let mut filled = 0;
    while filled < MAX_HEAD {
        let bytes = stream.read(&mut buffer[filled..])?;
        filled += bytes;
        let end = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
        match end {
            Some(end) if buffer.starts_with(b"HTTP/1.1 200 ") => return Ok((filled - end - 4) as u64),
            None if bytes > 0 => {}
            _ => return Err(String::from_utf8_lossy(&buffer[..filled.min(1000)]).into()),
        }
    }
    Err("the head of the answer is too long".into())
}
