// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Raw sockets against a real server: input that no well-behaved client sends, and the ways a connection can end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api::Peer;
use crate::config::{Stalled, TransferLimits};
use crate::server::events::ConnectionEvents;
use crate::server::http_refusal::Refusal;
use crate::server::limits::ConnectionConfig;
use crate::server::limits::ServeConfig;
use crate::server::listener::{ShutdownOutcome, serve};

/// Nothing here takes long. A test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Events {
    open: watch::Sender<usize>,
    refusals: Mutex<Vec<Refusal>>,
    stalls: Mutex<Vec<Stalled>>,
}

impl ConnectionEvents for Events {
    fn opened(&self) {
        self.open.send_modify(|open| *open += 1);
    }
    fn closed(&self) {
        self.open.send_modify(|open| *open -= 1);
    }
    fn refused(&self, _: SocketAddr, refusal: &Refusal) {
        self.refusals.lock().unwrap().push(refusal.clone());
    }
    fn stalled(&self, _: SocketAddr, stalled: Stalled) {
        self.stalls.lock().unwrap().push(stalled);
    }
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    leave: Notify,
}

pub(in crate::server) struct TestServer {
    pub(in crate::server) address: SocketAddr,
    events: Arc<Events>,
    gate: Arc<Gate>,
    shutdown: CancellationToken,
    running: JoinHandle<ShutdownOutcome>,
}

impl TestServer {
    async fn start(config: ServeConfig) -> TestServer {
        TestServer::with_routes(config, Router::new()).await
    }

    pub(in crate::server) async fn with_routes(config: ServeConfig, more: Router) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, gate, shutdown) = <(Arc<Events>, Arc<Gate>, CancellationToken)>::default();
        let routes = Router::new()
            .route("/ping", get(|| async { "pong" }).post(|| async { "pong" }))
            .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
            .route("/peer", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }))
            .route("/upload", put(upload))
            .route("/refuse", put(|| async { (StatusCode::CONFLICT, "refused early") }))
            .route("/endless", get(|| async { Body::new(Endless) }))
            .route("/gate", get(wait_at_gate).with_state(Arc::clone(&gate)))
            .merge(more);
        let serving = serve(vec![listener], routes, config, events.clone(), shutdown.clone());
        TestServer { address, events, gate, shutdown, running: tokio::spawn(serving) }
    }

    pub(in crate::server) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, leaves the sending side open, and reads until the server closes.
    pub(in crate::server) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn until_open(&self, count: usize) {
        let mut open = self.events.open.subscribe();
        timeout(DEADLINE, open.wait_for(|open| *open == count)).await.unwrap().unwrap();
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.events.refusals.lock().unwrap().clone()
    }

    fn stalls(&self) -> Vec<Stalled> {
        self.events.stalls.lock().unwrap().clone()
    }
}

fn transfer(transfer: TransferLimits) -> ConnectionConfig {
    ConnectionConfig { transfer, ..ConnectionConfig::default() }
}

async fn upload(request: Request) -> Response {
    let mut body = request.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => total += frame.data_ref().map_or(0, Bytes::len),
            Err(e) => {
                return Response::builder().status(400).body(format!("bad body: {e}").into()).unwrap();
            }
        }
    }
    Response::new(total.to_string().into())
}

async fn wait_at_gate(State(gate): State<Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.leave.notified().await;
    "through the gate"
}

struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 65536])))))
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Checks that an answer is one complete refusal.
fn check_refusal(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(
        head.contains("Content-Type: application/json\r\n") && head.contains("Connection: close"),
        "{answer}"
    );
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], code, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_parser_refuses_gets_a_json_answer() {
    let server = TestServer::start(ServeConfig::default()).await;
    let huge = format!("GET /ping HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET /ping HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(500));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65_600));
    let bad = "BadRequestError";
    let cases: [(&[u8], u16, &str); 15] = [
        (b"nonsense\r\n\r\n", 400, bad),
        (b"GET  /ping HTTP/1.1\r\n\r\n", 400, bad),
        (b"GET /ping\r\n\r\n", 400, bad),
        (b"GET /ping HTTP/9.9\r\n\r\n", 400, bad),
        (b"GET /ping HTTP/1.1\r\nHost: a\r\nbad header: x\r\n\r\n", 400, bad),
        (b"GET /ping HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400, bad),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", 400, bad),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello", 400, bad),
        (b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, bad),
        (b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, bad),
        (b"POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, bad),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 505, "HttpVersionNotSupportedError"),
        (huge.as_bytes(), 431, "RequestHeaderFieldsTooLargeError"),
        (many.as_bytes(), 431, "RequestHeaderFieldsTooLargeError"),
        (long.as_bytes(), 431, "RequestHeaderFieldsTooLargeError"),
    ];
    for (index, (request, status, code)) in cases.into_iter().enumerate() {
        let answer = server.exchange(request).await;
        check_refusal(&answer, status, code);
        let refusals = server.refusals();
        assert_eq!((refusals.len(), refusals[index].code), (index + 1, code));
    }
    assert!(server.exchange(b"GET /ping HTTP/1.0\r\n\r\n").await.ends_with("\r\n\r\npong"));
    server.until_open(0).await;
}

#[tokio::test]
async fn broken_bodies_are_the_services_to_answer() {
    let server = TestServer::start(ServeConfig::default()).await;
    let request = b"PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad body"), "{answer}");
    let mut stream = server.connect().await;
    stream.write_all(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(server.refusals().is_empty());
}

#[tokio::test]
async fn one_byte_at_a_time_is_served() {
    let server = TestServer::start(ServeConfig::default()).await;
    let mut stream = server.connect().await;
    stream.set_nodelay(true).unwrap();
    let request = b"PUT /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for byte in request {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n3"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_and_garbage_after_them_are_all_answered() {
    let server = TestServer::start(ServeConfig::default()).await;
    let two =
        b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(two).await;
    assert!(answer.contains("\r\n\r\npongHTTP/1.1 204 "), "{answer}");
    let answer = server.exchange(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\nno request\r\n\r\n").await;
    let (first, second) = answer.split_once("pong").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 "));
    check_refusal(second, 400, "BadRequestError");
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_answer() {
    let server = TestServer::start(ServeConfig::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /gate HTTP/1.0\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    server.gate.entered.notified().await;
    server.gate.leave.notify_one();
    assert!(read_to_end(&mut stream).await.ends_with("through the gate"));
    let mut stream = server.connect().await;
    stream.write_all(b"GET /ping HTTP/1.1\r\nHo").await.unwrap();
    stream.shutdown().await.unwrap();
    check_refusal(&read_to_end(&mut stream).await, 400, "BadRequestError");
    let mut stream = server.connect().await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn requests_know_their_peer() {
    let server = TestServer::start(ServeConfig::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /peer HTTP/1.0\r\n\r\n").await.unwrap();
    let local = stream.local_addr().unwrap().to_string();
    assert!(read_to_end(&mut stream).await.ends_with(&local));
}

#[tokio::test]
async fn a_slow_head_is_answered_408_and_an_idle_connection_closed_silently() {
    let connection = ConnectionConfig {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(300),
        ..ConnectionConfig::default()
    };
    let server = TestServer::start(ServeConfig { connection, ..ServeConfig::default() }).await;
    check_refusal(&server.exchange(b"GET /ping HTTP/1.1\r\nHost").await, 408, "RequestTimeoutError");
    assert_eq!(server.exchange(b"").await, "");
    let answer = server.exchange(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("pong"), "kept alive, then closed without a word: {answer}");
    assert_eq!(server.refusals().len(), 1);
}

#[tokio::test]
async fn deadlines_do_not_touch_a_request_being_served() {
    let connection = ConnectionConfig {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..ConnectionConfig::default()
    };
    let server = TestServer::start(ServeConfig { connection, ..ServeConfig::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /gate HTTP/1.0\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    // Another connection exceeds its deadline in the meantime.
    assert_eq!(server.exchange(b"").await, "");
    server.gate.leave.notify_one();
    assert!(read_to_end(&mut stream).await.ends_with("through the gate"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_refused_early_still_shows_its_answer() {
    let server = TestServer::start(ServeConfig::default()).await;
    let mut stream = server.connect().await;
    let length = 24 << 20;
    let head = format!("PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // This client sends everything before it reads the answer.
    stream.write_all(&vec![0; length]).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.ends_with("refused early"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_only_if_its_body_is_wanted() {
    let server = TestServer::start(ServeConfig::default()).await;
    let head = |path| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
    };
    let answer = server.exchange(head("/refuse").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    let mut stream = server.connect().await;
    stream.write_all(head("/upload").as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    timeout(DEADLINE, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n3"), "{answer}");
}

/// Generates requests with a few bytes changed, cut or doubled; the same ones in every run.
fn damaged_requests(count: u64) -> impl Iterator<Item = Vec<u8>> {
    let whole = b"PUT /upload?x=%41 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
    (1..=count).map(move |seed| {
        let mut state = seed;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut request = whole.to_vec();
        for _ in 0..=random(4) {
            let at = random(request.len() - 1) + 1;
            match random(3) {
                0 => request[at] = u8::try_from(random(256)).unwrap(),
                1 => request.truncate(at + 1),
                _ => request.extend_from_within(..at),
            }
        }
        request
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_requests_are_all_answered() {
    let server = TestServer::start(ServeConfig::default()).await;
    for request in damaged_requests(1000) {
        let mut stream = server.connect().await;
        stream.write_all(&request).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1."), "{:?} got {answer:?}", request.escape_ascii().to_string());
    }
    server.until_open(0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let connection = transfer(TransferLimits { idle: Duration::from_millis(200), min_rate: 0 });
    let server = TestServer::start(ServeConfig { connection, ..ServeConfig::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.until_open(1).await;
    server.until_open(0).await;
    assert_eq!(server.stalls(), [Stalled::Idle(Duration::from_millis(200))]);
    drop(stream);
}

#[tokio::test]
async fn a_client_that_takes_too_little_is_cut_off() {
    let connection = transfer(TransferLimits { idle: Duration::from_secs(3), min_rate: 1 << 30 });
    let server = TestServer::start(ServeConfig { connection, ..ServeConfig::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.until_open(1).await;
    // The client goes on taking some bytes, but far less than a gigabyte a second.
    let mut pieces = tokio::time::interval(Duration::from_millis(10));
    let mut piece = vec![0; 64 << 10];
    let end = timeout(DEADLINE, async {
        loop {
            pieces.tick().await;
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    });
    end.await.unwrap();
    assert_eq!(server.stalls(), [Stalled::Slow(1 << 30)]);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_running_and_closes_the_rest() {
    let server = TestServer::start(ServeConfig::default()).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    server.until_open(2).await;
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    drop(idle);
    server.until_open(1).await;
    server.gate.leave.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("through the gate"), "{answer}");
    drop(busy);
    assert_eq!(timeout(DEADLINE, server.running).await.unwrap().unwrap(), ShutdownOutcome { cut: 0 });
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_the_rest_of_a_head() {
    let long = Duration::from_secs(3600);
    let connection = ConnectionConfig { header_timeout: long, ..ConnectionConfig::default() };
    let config = ServeConfig { drain_limit: long, connection, ..ServeConfig::default() };
    let server = TestServer::start(config).await;
    let mut half = server.connect().await;
    half.write_all(b"GET /").await.unwrap();
    server.until_open(1).await;
    server.shutdown.cancel();
    check_refusal(&read_to_end(&mut half).await, 408, "RequestTimeoutError");
    drop(half);
    assert_eq!(timeout(DEADLINE, server.running).await.unwrap().unwrap(), ShutdownOutcome { cut: 0 });
}

#[tokio::test]
async fn a_shutdown_cuts_what_takes_too_long() {
    let config = ServeConfig { drain_limit: Duration::from_millis(100), ..ServeConfig::default() };
    let server = TestServer::start(config).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    server.shutdown.cancel();
    assert_eq!(timeout(DEADLINE, server.running).await.unwrap().unwrap(), ShutdownOutcome { cut: 1 });
    assert_eq!(read_to_end(&mut busy).await, "");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so() {
    let server = TestServer::start(ServeConfig { max_connections: 1, ..ServeConfig::default() }).await;
    let first = server.connect().await;
    server.until_open(1).await;
    check_refusal(
        &server.exchange(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await,
        503,
        "ServiceUnavailableError",
    );
    drop(first);
    server.until_open(0).await;
    assert!(server.exchange(b"GET /ping HTTP/1.0\r\n\r\n").await.ends_with("pong"));
}
