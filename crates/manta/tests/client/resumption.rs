// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads that break and continue.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use manta::{ByteRange, Client, Error, GetOptions};

use crate::support::{Exchange, Numbers, Peer, both, noise, path, soon};

const TARGET: &str = "/admin/stor/f";

/// Returns the head of an answer with the whole object or the requested rest.
fn head(exchange: &Exchange, length: usize, etag: &str) -> (usize, String) {
    let Some(range) = exchange.header("range") else {
        return (0, format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\netag: {etag}\r\n\r\n"));
    };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    assert_eq!(last.parse(), Ok(length - 1));
    assert_eq!(exchange.header("if-match"), Some("e-1"));
    let (rest, last) = (length - first, length - 1);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {rest}\r\ncontent-range: bytes {first}-{last}/{length}\r\netag: {etag}\r\n\r\n"
    );
    (first, head)
}

/// Answers once with this many bytes of the body, then breaks the connection.
async fn cut(mut exchange: Exchange, bytes: &[u8], sent: usize) {
    let (first, head) = head(&exchange, bytes.len(), "e-1");
    exchange.send(head).await;
    exchange.send(&bytes[first..bytes.len().min(first + sent)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_cuts_do_not_show() {
    const CUTS: usize = 200;
    let bytes = Arc::new(noise(64 << 20));
    let mut peer = Peer::start().await;
    let client = peer.client();
    let sent = Arc::clone(&bytes);
    let server = tokio::spawn(async move {
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
        for _ in 0..CUTS {
            let length = numbers.below(sent.len() / CUTS);
            cut(peer.next().await, &sent, length).await;
        }
        let last = peer.next().await;
        cut(last, &sent, sent.len()).await;
        peer.accepted()
    });
    let mut body = soon(client.get(&path(TARGET), &GetOptions::default())).await.unwrap().body;
    let mut position = 0;
    while let Some(part) = soon(body.try_next()).await.unwrap() {
        assert!(part == bytes[position..position + part.len()], "at {position}");
        position += part.len();
    }
    assert_eq!(position, bytes.len());
    assert_eq!(soon(server).await.unwrap(), CUTS + 1);
}

async fn read(client: &Client, options: &GetOptions) -> Result<Vec<u8>, Error> {
    let parts: Vec<Bytes> = client.get(&path(TARGET), options).await?.body.try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn a_part_goes_on_to_its_end() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions { range: Some(ByteRange { first: 2, last: Some(7) }), ..GetOptions::default() };
    let (bytes, ()) = both(read(&client, &options), async {
        let mut first = peer.next().await;
        let head = "HTTP/1.1 206 Partial Content\r\ncontent-length: 6\r\ncontent-range: bytes 2-7/10\r\netag: e-1\r\n\r\n";
        first.send(format!("{head}cd")).await;
        drop(first);
        let second = peer.next().await;
        assert_eq!(second.header("range"), Some("bytes=4-7"));
        second.reply("206 Partial Content", &["content-range: bytes 4-7/10", "etag: e-1"], "efgh").await;
    })
    .await;
    assert_eq!(bytes.unwrap(), b"cdefgh");
}

#[tokio::test]
async fn another_object_is_not_taken_for_the_rest() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions::default();
    for answer in
        ["412 Precondition Failed", "404 Not Found", "416 Range Not Satisfiable", "206 Partial Content"]
    {
        let (refused, ()) = both(read(&client, &options), async {
            cut(peer.next().await, b"abcdef", 3).await;
            let again = peer.next().await;
            let headers = ["content-range: bytes 3-5/6", "etag: e-2"];
            again.reply(answer, &headers, "xyz").await;
        })
        .await;
        assert!(matches!(refused, Err(Error::Changed)), "{answer}: {refused:?}");
    }
}

#[tokio::test]
async fn a_rest_is_the_one_that_was_asked_for() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions::default();
    for (status, range) in [
        ("200 OK", "x-no: range"),
        ("206 Partial Content", "content-range: bytes 2-5/6"),
        ("206 Partial Content", "content-range: bytes 3-4/6"),
    ] {
        let (refused, ()) = both(read(&client, &options), async {
            cut(peer.next().await, b"abcdef", 3).await;
            peer.next().await.reply(status, &[range, "etag: e-1"], "xyz").await;
        })
        .await;
        assert!(matches!(refused, Err(Error::Protocol(_))), "{status} {range}: {refused:?}");
    }
}

#[tokio::test]
async fn attempts_in_a_row_that_bring_nothing_are_counted() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions::default();
    let (refused, ()) = both(read(&client, &options), async {
        cut(peer.next().await, b"abcdef", 1).await;
        // Progress resets the count of attempts.
        cut(peer.next().await, b"abcdef", 0).await;
        cut(peer.next().await, b"abcdef", 1).await;
        cut(peer.next().await, b"abcdef", 0).await;
        peer.next().await.refuse("503 Service Unavailable", "ServiceUnavailable").await;
    })
    .await;
    assert!(refused.unwrap_err().is_unavailable());
    assert!(!peer.has_more());
}

#[tokio::test]
async fn the_whole_is_verified_after_it_went_on() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions::default();
    for (end, right) in [("c", true), ("d", false)] {
        let (result, ()) = both(read(&client, &options), async {
            let mut first = peer.next().await;
            let md5 = "content-md5: kAFQmDzST7DWlj99KOF/cg==";
            first.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{md5}\r\netag: e-1\r\n\r\nab")).await;
            drop(first);
            let headers = ["content-range: bytes 2-2/3", "etag: e-1"];
            peer.next().await.reply("206 Partial Content", &headers, end).await;
        })
        .await;
        assert_eq!(result.is_ok(), right, "{result:?}");
        assert!(right || matches!(result, Err(Error::Md5)));
    }
}
