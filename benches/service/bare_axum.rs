//! The peer of small requests: axum with one handler that returns a constant, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::Failure;
use crate::child::Peer;

/// As long as the answer of Ping, and of the same type.
const PONG: &str =
    "{\n  \"ping\": \"pong\",\n  \"version\": \"0.1.0\",\n  \"imgapi\": true,\n  \"pid\": 1234567\n}";

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
    let serving = axum::serve(listener, Router::new().route("/ping", get(pong)));
    tokio::select! {
        ended = serving => Ok(ended?),
        _ = parent => Ok(()),
    }
}
