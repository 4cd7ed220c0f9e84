// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The peer of requests for JSON: axum with handlers that return a constant, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::TcpListener;

use crate::Failure;
use crate::child::Peer;

/// As long as the answer of Ping, and of the same type.
const PONG: &str =
    "{\n  \"ping\": \"pong\",\n  \"version\": \"5.0.0\",\n  \"imgapi\": true,\n  \"pid\": 1234567\n}";

/// Longer than a list of 1,000 images.
const MAX_CONSTANT: usize = 16 << 20;

/// The running peer.
#[derive(Debug)]
pub(crate) struct BareAxum {
    pub(crate) address: SocketAddr,
    _process: Peer,
}

impl BareAxum {
    /// Runs this program again as the peer.
    pub(crate) fn start() -> Result<BareAxum, Failure> {
        let mut process = Peer::spawn(
            Command::new(std::env::current_exe()?)
                .arg("bare-axum")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let output = process.0.stdout.take().ok_or("the peer has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(BareAxum { address: line.trim().parse()?, _process: process })
    }

    /// The URL of a constant of so many bytes.
    pub(crate) fn constant(&self, bytes: usize) -> String {
        format!("http://{}/constant/{bytes}", self.address)
    }
}

/// Is the peer: prints its address, and serves until standard input ends, with this program's end at the latest.
pub(crate) async fn serve() -> Result<(), Failure> {
    let pong = async || ([(CONTENT_TYPE, "application/json")], PONG);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let router = Router::new().route("/ping", get(pong)).route("/constant/{bytes}", get(constant));
    let serving = axum::serve(listener, router);
    tokio::select! {
        ended = serving => Ok(ended?),
        _ = parent => Ok(()),
    }
}

async fn constant(Path(bytes): Path<usize>) -> impl axum::response::IntoResponse {
    static LONGEST: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'x'; MAX_CONSTANT]));
    ([(CONTENT_TYPE, "application/json")], LONGEST.slice(..bytes.min(MAX_CONSTANT)))
}
