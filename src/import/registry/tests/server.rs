// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A server whose answers are written down in the test.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::import::registry::Digest;

/// A request as it came. Names of headers are in lower case.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query; the whole URL in a request to a proxy.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first byte that is asked for.
    pub(super) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// An answer, and what becomes of the connection.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// How many bytes of the body are sent before the fault.
    fault: Option<(Fault, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is closed.
    Cut,
    /// Nothing happens any more.
    Stall,
    /// The connection is closed before the answer begins.
    Closed,
    /// The answer never begins.
    Silent,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), fault: None }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn fault(self, fault: Fault, after: usize) -> Answer {
        Answer { fault: Some((fault, after)), ..self }
    }

    /// Answers with the part of the body that is asked for.
    pub(super) fn part(self, request: &Request) -> Answer {
        match request.start() {
            None => self,
            Some(start) if start < self.body.len() => {
                let range = format!("bytes {start}-{}/{}", self.body.len() - 1, self.body.len());
                Answer { status: 206, body: self.body[start..].to_vec(), ..self }
                    .header("content-range", range)
            }
            // Docker's registry announces the length of the whole blob here, and sends none of it.
            Some(_) => Answer { status: 416, ..self }.fault(Fault::Cut, 0),
        }
    }

    pub(super) fn flip_first_byte(mut self) -> Answer {
        self.body.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        self
    }

    pub(super) fn flip_last_byte(mut self) -> Answer {
        self.body.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        self
    }

    pub(super) fn shortened(mut self) -> Answer {
        self.body.truncate(self.body.len() / 2);
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", self.status);
        if self.status != 204 {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// Answers requests for as long as it lives, and notes them.
pub(super) struct Server {
    /// Host and port.
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _task: JoinSet<()>,
}

impl Server {
    /// Starts a server. `answer` gets each request, and how many there were before it.
    pub(super) async fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&requests));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                connections.spawn(async move { serve(stream, &*answer, &noted).await });
            }
        });
        Server { address, requests, _task: task }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns methods and targets of all requests so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Request, usize) -> Answer + Send + Sync),
    noted: &Mutex<Vec<Request>>,
) {
    let Some(request) = read(&mut stream).await else { return };
    let answer = {
        let mut noted = noted.lock().unwrap();
        noted.push(request.clone());
        answer(&request, noted.len() - 1)
    };
    let is_head = request.method == "HEAD";
    let end = match answer.fault {
        Some((Fault::Closed, _)) => return,
        Some((Fault::Silent, _)) => return std::future::pending().await,
        Some((_, after)) => after.min(answer.body.len()),
        None if is_head => 0,
        None => answer.body.len(),
    };
    let sent = [answer.head().as_bytes(), &answer.body[..end]].concat();
    let _ = stream.write_all(&sent).await;
    if let Some((Fault::Stall, _)) = answer.fault {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
    // Until the client has read it all: a closed socket with unread bytes would take back what was sent.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request { method, target, headers, body: bytes[end + 4..].to_vec() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

/// An image with one layer, as a registry has it.
pub(super) struct Stored {
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) layer: Vec<u8>,
}

impl Stored {
    /// Makes an image of this layer, whose uncompressed bytes are `tar`.
    pub(super) fn new(layer: Vec<u8>, tar: &[u8]) -> Stored {
        let config = format!(
            r#"{{"os":"linux","architecture":"amd64","history":[{{"created_by":"x"}}],"rootfs":{{"diff_ids":["{}"]}}}}"#,
            Digest::of(tar)
        );
        let descriptor =
            |bytes: &[u8]| format!(r#"{{"digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len());
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(config.as_bytes()),
            descriptor(&layer)
        );
        Stored { manifest, config, layer }
    }

    /// Answers as a registry without authentication does.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        let is_blob = |bytes: &[u8]| request.target.ends_with(&format!("/blobs/{}", Digest::of(bytes)));
        let is_manifest = request.target.contains("/manifests/");
        match request.target.as_str() {
            "/v2/" => Answer::new(200, "{}"),
            _ if is_manifest => Answer::new(200, self.manifest.clone()),
            _ if is_blob(self.config.as_bytes()) => Answer::new(200, self.config.clone()),
            _ if is_blob(&self.layer) => Answer::new(200, self.layer.clone()).part(request),
            _ => Answer::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#),
        }
    }
}
