// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A FAST server that answers pings by itself and passes every other request to the test.

mod dns;

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use dns::DnsServer;
use futures_util::{SinkExt, StreamExt};
use moray::fast::{Envelope, ErrorPayload, Frame, FrameCodec, Status, Version};
use moray::{Client, Config};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Waits for something that must happen. The limit is generous enough for a slow machine.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("not within 30 s")
}

/// Advances the clock, so that deadlines pass regardless of the machine's speed.
pub(crate) async fn jump(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Waits until an attempt to connect has failed.
pub(crate) async fn failed(client: &Client) {
    let mut state = client.watch_state();
    soon(state.wait_for(|state| state.last_error.is_some())).await.unwrap();
}

/// Waits until the client has this many connections.
pub(crate) async fn connected(client: &Client, connections: usize) {
    let mut state = client.watch_state();
    soon(state.wait_for(|state| state.connections == connections)).await.unwrap();
}

/// A listener, and the requests that its connections received.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    pub(crate) shared: Arc<ServerState>,
    _stop: DropGuard,
}

#[derive(Default)]
pub(crate) struct ServerState {
    pub(crate) accepted: AtomicUsize,
    pub(crate) pings: AtomicUsize,
    /// Whether pings stay unanswered.
    pub(crate) mute: AtomicBool,
    /// Whether connections are closed at once, as by a load balancer without backends.
    pub(crate) closed: AtomicBool,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::on("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let shared = Arc::<ServerState>::default();
        let stop = CancellationToken::new();
        let accepting = accept(listener, Arc::clone(&shared), sender, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self { address, calls, shared, _stop: stop.drop_guard() }
    }

    /// Returns settings with one connection and short waits between attempts.
    pub(crate) fn config(&self) -> Config {
        config(self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.config())
    }

    /// Returns the next request that is not a ping.
    pub(crate) async fn next(&mut self) -> Call {
        soon(self.calls.recv()).await.unwrap()
    }

    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

/// Returns the settings of [`Server::config`] for any address, even one where no server listens.
pub(crate) fn config(address: SocketAddr) -> Config {
    let mut config = Config::direct(address.ip().to_string(), address.port());
    config.connections = 1;
    config.backoff_initial = Duration::from_millis(5);
    config.backoff_max = Duration::from_millis(20);
    config.unavailable_wait = Duration::from_secs(30);
    config
}

/// Returns an address where no server listens.
pub(crate) async fn deserted_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn accept(
    listener: TcpListener,
    shared: Arc<ServerState>,
    calls: mpsc::UnboundedSender<Call>,
    stop: CancellationToken,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if !shared.closed.load(Ordering::SeqCst) {
            let serving = serve(stream, Arc::clone(&shared), calls.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<ServerState>, calls: mpsc::UnboundedSender<Call>) {
    let (reader, writer) = stream.into_split();
    let mut frames = FramedRead::new(reader, FrameCodec::default());
    let (output, mut outputs) = mpsc::unbounded_channel();
    let write = async {
        let mut sink = FramedWrite::new(writer, FrameCodec::default());
        while let Some(output) = outputs.recv().await {
            let sent = match output {
                Output::Frame(frame) => sink.send(frame).await.is_ok(),
                Output::Bytes(bytes) => sink.get_mut().write_all(&bytes).await.is_ok(),
                Output::HangUp => false,
            };
            if !sent {
                return;
            }
        }
    };
    let open = Arc::<Mutex<HashSet<u32>>>::default();
    let read = async {
        while let Some(Ok(frame)) = frames.next().await {
            let call = Call::new(frame, output.clone(), Arc::clone(&open));
            if call.method != "ping" || call.args[0]["deep"] == json!(true) {
                let _ = calls.send(call);
            } else {
                shared.pings.fetch_add(1, Ordering::SeqCst);
                if !shared.mute.load(Ordering::SeqCst) {
                    call.end();
                }
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

enum Output {
    Frame(Frame),
    Bytes(Vec<u8>),
    HangUp,
}

/// One request, and the connection on which to answer it.
pub(crate) struct Call {
    pub(crate) msgid: u32,
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) args: Vec<Value>,
    output: mpsc::UnboundedSender<Output>,
    open: Arc<Mutex<HashSet<u32>>>,
}

impl Call {
    fn new(frame: Frame, output: mpsc::UnboundedSender<Output>, open: Arc<Mutex<HashSet<u32>>>) -> Self {
        assert_eq!(frame.status, Status::Data, "a client sends only DATA");
        assert!(open.lock().unwrap().insert(frame.msgid), "message id {} is in use", frame.msgid);
        let envelope = Envelope::parse(&frame.payload).unwrap();
        let args = envelope.items.iter().map(|arg| serde_json::from_str(arg.get()).unwrap()).collect();
        let method = envelope.method.unwrap();
        Self { msgid: frame.msgid, version: frame.version, method, args, output, open }
    }

    fn send(&self, frame: Frame) {
        if frame.status != Status::Data {
            self.open.lock().unwrap().remove(&self.msgid);
        }
        let _ = self.output.send(Output::Frame(frame));
    }

    /// Builds a frame with the given status and `d`.
    pub(crate) fn frame(&self, status: Status, d: &Value) -> Frame {
        let frame = Frame::data(self.version, self.msgid, &self.method, d).unwrap();
        Frame { status, ..frame }
    }

    pub(crate) fn data(&self, d: &Value) {
        self.send(self.frame(Status::Data, d));
    }

    pub(crate) fn end(&self) {
        self.send(self.frame(Status::End, &json!([])));
    }

    pub(crate) fn end_with(&self, d: &Value) {
        self.send(self.frame(Status::End, d));
    }

    /// Answers with one row and the end.
    pub(crate) fn row(&self, row: &Value) {
        self.data(&json!([row]));
        self.end();
    }

    pub(crate) fn error(&self, name: &str, message: &str) {
        let error = ErrorPayload::new(name, message);
        self.send(Frame::error(self.version, self.msgid, &self.method, &error).unwrap());
    }

    pub(crate) fn bytes(&self, bytes: Vec<u8>) {
        let _ = self.output.send(Output::Bytes(bytes));
    }

    pub(crate) fn hang_up(&self) {
        let _ = self.output.send(Output::HangUp);
    }
}

/// Builds a record as Moray sends it.
pub(crate) fn record(key: &str, value: &Value) -> Value {
    json!({"bucket": "b", "key": key, "value": value, "_id": 7, "_etag": "5DAE9F3A", "_mtime": 1_700_000_000_123_i64,
        "_txn_snap": null, "_count": null})
}
