// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads over one connection, and answers that are not as they should be.

use bytes::Bytes;
use futures_util::TryStreamExt;
use manta::{ByteRange, Client, Error, GetOptions, Object};

use crate::support::{Exchange, Peer, both, path, soon};

const TARGET: &str = "/admin/stor/f";
/// The MD5 of `abc`.
const MD5: &str = "content-md5: kAFQmDzST7DWlj99KOF/cg==";

async fn asked(
    client: &Client,
    peer: &mut Peer,
    options: &GetOptions,
) -> (Exchange, impl Future<Output = Result<Object, Error>> + use<>) {
    let (client, options) = (client.clone(), options.clone());
    let task = tokio::spawn(async move { client.get(&path(TARGET), &options).await });
    (peer.next().await, async { task.await.unwrap() })
}

async fn got(peer: &mut Peer, status: &str, headers: &[&str], body: &str) -> Result<Vec<Bytes>, Error> {
    let (exchange, object) = asked(&peer.impatient(), peer, &GetOptions::default()).await;
    exchange.reply(status, headers, body).await;
    soon(async { object.await?.body.try_collect().await }).await
}

#[tokio::test]
async fn an_object_is_verified() {
    let mut peer = Peer::start().await;
    let parts = got(&mut peer, "200 OK", &[MD5, "etag: e"], "abc").await.unwrap();
    assert_eq!(parts.concat(), b"abc");
    let other = got(&mut peer, "200 OK", &[MD5, "etag: e"], "abd").await;
    assert!(matches!(other, Err(Error::Md5)), "{other:?}");
    let unknown = got(&mut peer, "200 OK", &[], "abd").await.unwrap();
    assert_eq!(unknown.concat(), b"abd");
    assert_eq!(got(&mut peer, "200 OK", &["etag: e"], "").await.unwrap().concat(), b"");
}

/// The etag would allow the download to continue, but there is only one attempt.
#[tokio::test]
async fn an_object_that_ends_early_is_an_error() {
    let mut peer = Peer::start().await;
    for headers in [&["content-length: 5", "etag: e"][..], &["content-length: 5"]] {
        let (mut exchange, object) = asked(&peer.impatient(), &mut peer, &GetOptions::default()).await;
        exchange.send(format!("HTTP/1.1 200 OK\r\n{}\r\n\r\nabc", headers.join("\r\n"))).await;
        drop(exchange);
        let cut: Result<Vec<Bytes>, Error> = soon(async { object.await?.body.try_collect().await }).await;
        assert!(matches!(cut, Err(Error::Connection(_) | Error::Connect(_))), "{cut:?}");
    }
}

#[tokio::test]
async fn an_object_that_does_not_come_is_given_up() {
    let mut peer = Peer::start().await;
    let (mut exchange, object) = asked(&peer.impatient(), &mut peer, &GetOptions::default()).await;
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc").await;
    let stalled: Result<Vec<Bytes>, Error> = soon(async { object.await?.body.try_collect().await }).await;
    assert!(matches!(stalled, Err(Error::Stalled { .. })), "{stalled:?}");
    soon(exchange.until_closed()).await;
    let (mut exchange, object) = asked(&peer.impatient(), &mut peer, &GetOptions::default()).await;
    assert!(matches!(soon(object).await, Err(Error::Stalled { .. })));
    soon(exchange.until_closed()).await;
}

#[tokio::test]
async fn a_part_is_the_one_that_was_asked_for() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let options = GetOptions { range: Some(ByteRange { first: 5, last: None }), ..GetOptions::default() };
    let part = ["content-range: bytes 5-7/8", MD5];
    let (exchange, object) = asked(&client, &mut peer, &options).await;
    assert_eq!(exchange.header("range"), Some("bytes=5-"));
    // The MD5 does not match, and is ignored for a part.
    exchange.reply("206 Partial Content", &part, "xyz").await;
    let parts: Vec<Bytes> = soon(object).await.unwrap().body.try_collect().await.unwrap();
    assert_eq!(parts.concat(), b"xyz");
    for (status, headers) in [
        ("200 OK", &[][..]),
        ("206 Partial Content", &[]),
        ("206 Partial Content", &["content-range: bytes 4-6/8"]),
        ("206 Partial Content", &["content-range: bytes 7-5/8"]),
    ] {
        let (exchange, object) = asked(&client, &mut peer, &options).await;
        exchange.reply(status, headers, "xyz").await;
        assert!(matches!(soon(object).await, Err(Error::Protocol(_))), "{status} {headers:?}");
    }
    let (exchange, object) = asked(&client, &mut peer, &GetOptions::default()).await;
    exchange.reply("206 Partial Content", &part, "xyz").await;
    assert!(matches!(soon(object).await, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_directory_is_seen_to_be_one() {
    let mut peer = Peer::start().await;
    let (exchange, object) = asked(&peer.client(), &mut peer, &GetOptions::default()).await;
    exchange.reply("200 OK", &["content-type: application/x-json-stream; type=directory"], "").await;
    assert!(soon(object).await.unwrap().metadata.is_directory());
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let mut peer = Peer::start().await;
    let (mut exchange, object) = asked(&peer.client(), &mut peer, &GetOptions::default()).await;
    exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\nabc").await;
    drop(soon(object).await.unwrap());
    both(async {}, exchange.until_closed()).await;
}
