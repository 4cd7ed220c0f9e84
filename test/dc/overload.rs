// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! More requests than the server can handle: it reports that, and continues with the others. These tests start their own service.

use std::fs;
use std::path::PathBuf;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::support::{LUKE, TestApp, small_record, tests, wait_until, within};

tests! {
    downloads_leave_descriptors_to_others,
    answers_that_nobody_reads_take_bounded_memory,
    bodies_that_do_not_end_take_bounded_memory,
    others_are_answered_while_a_large_body_is_read,
}

/// Opens a connection whose receive buffer is very small, and sends a request.
async fn slow_client(app: &TestApp, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = within("connect", socket.connect(app.address())).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Returns the beginning of the answer; empty if the connection was closed without an answer.
async fn begin(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    match within("answer", stream.read_exact(&mut head)).await {
        Ok(_) => String::from_utf8_lossy(&head).into_owned(),
        Err(_) => String::new(),
    }
}

/// Returns the peak memory of the service, in KiB.
fn peak_memory(app: &TestApp) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", app.dc.imgapi_pid().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim_end_matches("kB").trim().parse().unwrap()
}

async fn downloads_leave_descriptors_to_others(_shared: &TestApp) {
    let command = ["sh", "-c", r#"ulimit -n 256 && exec "$@""#, "sh", env!("CARGO_BIN_EXE_imgapi")];
    let app = TestApp::start_with(|dc| dc.imgapi_command(command.map(PathBuf::from).into())).await;
    let pid = app.dc.imgapi_pid();
    let uuid = app.luke().has_image(json!({})).await;
    let upload = app.luke().call(Method::PUT, &format!("/images/{uuid}/file?compression=none"));
    upload.body("x".repeat(16 << 20)).send().await.ok();
    let target = format!("/images/{uuid}/file?account={LUKE}");
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(slow_client(&app, &target).await);
    }
    let answers = join_all(clients.iter_mut().map(begin)).await;
    let count = |wanted: &str| answers.iter().filter(|answer| *answer == wanted).count();
    let (served, refused, closed) = (count("HTTP/1.1 200"), count("HTTP/1.1 503"), count(""));
    assert_eq!(served + refused + closed, 200, "{answers:?}");
    assert!(served >= 30 && refused > 0, "{served} {refused}");
    drop(clients);
    wait_until("others are served", async || {
        let answer = app.http.get(format!("http://{}/ping", app.address())).send().await;
        answer.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    assert_eq!(app.dc.imgapi_pid(), pid, "it is still the same process");
    let lacking = |record: &serde_json::Value| record["msg"] == "cannot accept connections";
    assert!(!app.log().iter().any(lacking), "there were always descriptors left");
    app.stop().await;
}

async fn answers_that_nobody_reads_take_bounded_memory(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| dc.imgapi_config("maxAnswerBytes", 12 << 20)).await;
    let large = || small_record(json!({"tagsObj": {"a": "x".repeat(90 << 10)}, "tags": ["a=x"]}));
    let records: Vec<_> = (0..100).map(|_| large()).collect();
    for part in records.chunks(20) {
        app.store_all(part).await;
    }
    // About 9 MiB, more than the system buffers for a connection.
    let mut first = slow_client(&app, "/images?limit=100").await;
    assert_eq!(begin(&mut first).await, "HTTP/1.1 200");
    let before = peak_memory(&app);
    let mut others: Vec<_> = Vec::new();
    for limit in 40..100 {
        others.push(slow_client(&app, &format!("/images?limit={limit}")).await);
    }
    let refused = join_all(others.iter_mut().map(begin)).await;
    assert!(refused.iter().all(|answer| answer == "HTTP/1.1 503"), "{refused:?}");
    let growth = peak_memory(&app) - before;
    assert!(growth <= 160 << 10, "{growth} KiB for 60 lists of which each has up to 9 MiB");
    let answer = app.operator().call(Method::GET, "/images?limit=99").send().await;
    answer.refused(503, "ServiceUnavailableError");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Small requests are answered all the time.
    app.operator().call(Method::GET, "/images?limit=1&name=nothing").send().await.ok();
    drop(first);
    wait_until("the memory is free again", async || {
        let answer = app.operator().call(Method::GET, "/images?limit=99").send().await;
        (answer.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}

/// Slow senders do not block others: the oldest are closed to make room.
async fn bodies_that_do_not_end_take_bounded_memory(_shared: &TestApp) {
    const LENGTH: usize = 4 << 20;
    let app = TestApp::start_empty().await;
    let before = peak_memory(&app);
    let (almost_all, mut clients) = (vec![b' '; LENGTH - 1], Vec::new());
    for _ in 0..30 {
        let mut client = app.connect().await;
        let head = format!(
            "POST /images?account={LUKE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {LENGTH}\r\n\r\n"
        );
        client.send(head).await;
        client.send(&almost_all).await;
        clients.push(client);
    }
    let large = app.luke().call(Method::POST, "/images").header("content-type", "application/json");
    large.body(format!("{}[]", " ".repeat(LENGTH - 2))).send().await.refused(422, "ValidationFailed");
    let growth = peak_memory(&app) - before;
    assert!(growth <= 110 << 10, "{growth} KiB for 30 bodies of 4 MiB");
    let oldest = clients[0].read_answer().await;
    oldest.refused(503, "ServiceUnavailableError");
    assert_eq!(oldest.header("retry-after"), Some("1"));
    let youngest = clients.last_mut().unwrap();
    youngest.send("1").await;
    youngest.read_answer().await.refused(422, "ValidationFailed");
    drop(clients);
    app.stop().await;
}

/// The body takes long to parse and check, and is sent on more connections than there are threads.
async fn others_are_answered_while_a_large_body_is_read(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    let body = format!("[{}1]", "1,".repeat(150_000));
    let large = async || {
        let call = app.luke().call(Method::POST, "/images").header("content-type", "application/json");
        call.body(body.clone()).send().await.refused(422, "ValidationFailed");
    };
    let small = async || app.operator().call(Method::GET, "/ping").send().await.ok();
    tokio::join!(join_all((0..8).map(|_| large())), join_all((0..8).map(|_| small())));
    let text = app.operator().call(Method::GET, "/images").header("accept", "text/plain").send().await;
    assert_eq!((text.status, text.text()), (200, "[]"));
    app.stop().await;
}
