// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A SAPI that answers GetConfig as the test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// How SAPI answers.
#[derive(Clone)]
pub(crate) enum Answer {
    /// With manifests and metadata, or with 304 if the client names this `ETag`.
    Config { etag: String, body: String },
    /// With an error.
    Error(u16),
    /// With 200 and this text.
    Text(String),
    /// SAPI closes the connection without an answer.
    Nothing,
}

/// A request that SAPI received.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) if_none_match: Option<String>,
}

struct State {
    answer: Answer,
    requests: Vec<Request>,
}

pub(crate) struct Sapi {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Sapi {
    pub(crate) fn start() -> Sapi {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { answer: Answer::Nothing, requests: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A killed client closes its connection.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &shared)));
            }
        });
        Sapi { url, state }
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// Answers with manifests and metadata, and this `ETag`.
    pub(crate) fn has(&self, etag: &str, manifests: &Value, metadata: &Value) {
        let body = json!({"manifests": manifests, "metadata": metadata}).to_string();
        self.answers(Answer::Config { etag: etag.to_owned(), body });
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut if_none_match = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("if-none-match") {
            if_none_match = Some(value.trim().to_owned());
        }
    }
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut state = state.lock().unwrap();
        state.requests.push(Request { target, if_none_match: if_none_match.clone() });
        state.answer.clone()
    };
    let mut send = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    match answer {
        Answer::Nothing => Ok(()),
        Answer::Config { etag, .. } if if_none_match.as_ref() == Some(&etag) => send(304, "", ""),
        Answer::Config { etag, body } => {
            send(200, &format!("etag: {etag}\r\ncontent-type: application/json\r\n"), &body)
        }
        Answer::Error(status) => {
            send(status, "content-type: application/json\r\n", r#"{"code": "Trouble", "message": "no luck"}"#)
        }
        Answer::Text(text) => send(200, "content-type: application/json\r\n", &text),
    }
}
