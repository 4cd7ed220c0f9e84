// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::Write;
use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use axum::{Extension, Router};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::server::connection::tests::TestServer;
use crate::server::limits::ServeConfig;

/// Returns bytes in which no two windows are equal, several windows long and not a multiple of one.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(length)
        .collect()
}

fn temporary(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Returns the body for a client on another host.
fn remote_body(file: &File, range: Range<u64>, handle: &ConnectionHandle) -> Body {
    let body = mapped_body(file, &range, handle);
    assert_eq!(body.is_some(), cfg!(target_os = "linux") && !range.is_empty());
    body.unwrap_or_else(|| file_body(file.try_clone().unwrap(), range, None).unwrap())
}

/// Answers `/mapped/START/END` as for a client on another host, and `/read/START/END` as for a client on this host.
async fn server(bytes: &[u8]) -> TestServer {
    let (mapped, read) = (Arc::new(temporary(bytes)), Arc::new(temporary(bytes)));
    let mapped = move |Path((start, end)): Path<(u64, u64)>,
                       Extension(handle): Extension<ConnectionHandle>| async move {
        remote_body(&mapped, start..end, &handle)
    };
    let read = move |Path((start, end)): Path<(u64, u64)>, Extension(handle): Extension<ConnectionHandle>| async move {
        file_body(read.try_clone().unwrap(), start..end, Some(&handle)).unwrap()
    };
    let routes =
        Router::new().route("/mapped/{start}/{end}", get(mapped)).route("/read/{start}/{end}", get(read));
    TestServer::with_routes(ServeConfig::default(), routes).await
}

async fn download(server: &TestServer, requests: &str) -> Vec<u8> {
    let mut stream = server.connect().await;
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

fn split_head(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), &answer[end + 4..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_range_arrives_as_it_is_in_the_file() {
    let bytes = pattern(9_000_001);
    let server = server(&bytes).await;
    for kind in ["mapped", "read"] {
        for range in [0..bytes.len(), 1..2, 4095..4097, 1_048_575..5_000_000, 9_000_000..9_000_001, 7..7] {
            let path = format!("/{kind}/{}/{}", range.start, range.end);
            let answer = download(&server, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
            let (head, body) = split_head(&answer);
            assert!(
                head.to_ascii_lowercase().contains(&format!("content-length: {}", range.len())),
                "{head}"
            );
            assert!(body == &bytes[range], "{path}: {} bytes", body.len());
        }
    }
}

#[tokio::test]
async fn files_and_other_answers_mix_on_one_connection() {
    let bytes = pattern(3_000_000);
    let server = server(&bytes).await;
    let end = bytes.len();
    let requests = format!(
        "HEAD /mapped/0/{end} HTTP/1.1\r\nHost: a\r\n\r\nGET /mapped/5/{end} HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /ping HTTP/1.1\r\nHost: a\r\n\r\nGET /mapped/0/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    let answer = download(&server, &requests).await;
    let (_, rest) = split_head(&answer);
    let (_, rest) = split_head(rest);
    assert!(rest[..end - 5] == bytes[5..]);
    let (_, rest) = split_head(&rest[end - 5..]);
    assert_eq!(&rest[..4], b"pong");
    let (_, rest) = split_head(&rest[4..]);
    assert_eq!(rest, &bytes[..10]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_that_are_not_in_memory_are_loaded_first() {
    let bytes = pattern(5_000_000);
    let file = Arc::new(temporary(&bytes));
    file.sync_all().unwrap();
    rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let routes = Router::new().route(
        "/cold",
        get(move |Extension(handle): Extension<ConnectionHandle>| async move {
            remote_body(&file, 0..5_000_000, &handle)
        }),
    );
    let server = TestServer::with_routes(ServeConfig::default(), routes).await;
    let answer = download(&server, "GET /cold HTTP/1.0\r\n\r\n").await;
    assert!(split_head(&answer).1 == bytes);
}

#[tokio::test]
async fn a_reader_other_than_the_connection_gets_the_right_bytes() {
    let bytes = pattern(3_000_000);
    let file = Arc::new(temporary(&bytes));
    let expected = bytes.clone();
    let routes = Router::new().route(
        "/check",
        get(move |Extension(handle): Extension<ConnectionHandle>| async move {
            let body = remote_body(&file, 0..3_000_000, &handle);
            (body.collect().await.unwrap().to_bytes() == expected).to_string()
        }),
    );
    let server = TestServer::with_routes(ServeConfig::default(), routes).await;
    assert!(server.exchange("GET /check HTTP/1.0\r\n\r\n".as_bytes()).await.ends_with("true"));
}

#[tokio::test]
async fn a_file_cut_by_hand_ends_the_download_and_not_the_process() {
    let file = Arc::new(temporary(&pattern(5_000_000)));
    let shared = Arc::clone(&file);
    let routes = Router::new().route(
        "/cut",
        get(move |Extension(handle): Extension<ConnectionHandle>| async move {
            let body = remote_body(&shared, 0..5_000_000, &handle);
            shared.set_len(10_000).unwrap();
            body
        }),
    );
    let server = TestServer::with_routes(ServeConfig::default(), routes).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /cut HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // The stream ends with a close or a reset, but before the announced length.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 5_000_000, "{}", answer.len());
    assert!(server.exchange(b"GET /ping HTTP/1.0\r\n\r\n").await.ends_with("pong"));
}

#[tokio::test]
async fn a_range_beyond_the_end_is_an_error() {
    let file = temporary(b"abc");
    for range in [0..4, 4..4, 5..9] {
        let error = file_body(file.try_clone().unwrap(), range, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
