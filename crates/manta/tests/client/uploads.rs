// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Uploads whose body is sent while it is produced: when it begins, how it ends, and early answers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use manta::{Client, Error, ErrorCode, NewObject, Upload};

use crate::support::{Exchange, Peer, both, noise, path, soon};

const TARGET: &str = "/admin/stor/f";

async fn begun(client: &Client, peer: &mut Peer, object: &NewObject) -> (Upload, Exchange) {
    let target = path(TARGET);
    let (upload, exchange) = both(client.put(&target, object), async {
        let mut exchange = peer.next().await;
        exchange.go_on().await;
        exchange
    })
    .await;
    (upload.unwrap(), exchange)
}

fn of_length(length: u64) -> NewObject {
    NewObject { length: Some(length), ..NewObject::default() }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_in_chunks() {
    let mut peer = Peer::start().await;
    let object = NewObject { max_length: Some(1 << 20), ..NewObject::default() };
    let (mut upload, mut exchange) = begun(&peer.client(), &mut peer, &object).await;
    let own = [
        "accept: application/json",
        "content-type: application/octet-stream",
        "expect: 100-continue",
        "max-content-length: 1048576",
        "transfer-encoding: chunked",
    ];
    assert_eq!(exchange.own_headers(), own);
    let bytes = noise(700_000);
    let (stored, ()) = both(
        async {
            for part in bytes.chunks(300_001) {
                upload.write(Bytes::copy_from_slice(part)).await?;
            }
            upload.finish().await
        },
        async {
            assert!(exchange.body().await.unwrap() == bytes);
            let headers = ["etag: e-1", "computed-md5: AAAAAAAAAAAAAAAAAAAAAA=="];
            exchange.reply("204 No Content", &headers, "").await;
        },
    )
    .await;
    let stored = stored.unwrap();
    assert_eq!((stored.etag.as_deref(), stored.md5), (Some("e-1"), Some([0; 16])));
}

#[tokio::test]
async fn a_body_of_known_length_is_sent_as_it_is() {
    let mut peer = Peer::start().await;
    let (bytes, client) = (noise(1_000_000), peer.client());
    for part in [1_000_000, 333_333] {
        let (mut upload, mut exchange) = begun(&client, &mut peer, &of_length(1_000_000)).await;
        assert_eq!(exchange.header("content-length"), Some("1000000"));
        assert_eq!(exchange.header("transfer-encoding"), None);
        let (stored, ()) = both(
            async {
                for part in bytes.chunks(part) {
                    upload.write(Bytes::copy_from_slice(part)).await?;
                }
                assert_eq!(upload.sent(), 1_000_000);
                upload.finish().await
            },
            async {
                assert!(exchange.body().await.unwrap() == bytes);
                exchange.no_content().await;
            },
        )
        .await;
        stored.unwrap();
    }
    assert_eq!(peer.accepted(), 1, "the connection is used again");
}

#[tokio::test]
async fn nothing_is_stored_as_nothing() {
    let mut peer = Peer::start().await;
    let (upload, mut exchange) = begun(&peer.client(), &mut peer, &of_length(0)).await;
    let (stored, ()) = both(upload.finish(), async {
        assert_eq!(exchange.body().await.unwrap(), b"");
        exchange.no_content().await;
    })
    .await;
    stored.unwrap();
}

#[tokio::test]
async fn a_refusal_costs_no_byte() {
    let mut peer = Peer::start().await;
    for (status, code, kind) in [
        ("404 Not Found", "DirectoryDoesNotExist", ErrorCode::DirectoryDoesNotExist),
        ("403 Forbidden", "AuthorizationFailed", ErrorCode::AuthorizationFailed),
        ("507 Insufficient Storage", "NotEnoughSpace", ErrorCode::NotEnoughSpace),
        ("412 Precondition Failed", "PreconditionFailed", ErrorCode::PreconditionFailed),
    ] {
        let (client, target) = (peer.client(), path(TARGET));
        let (refused, rest) = both(client.put(&target, &of_length(10)), async {
            let mut exchange = peer.next().await;
            let body = format!(r#"{{"code":"{code}","message":""}}"#);
            let length = body.len();
            exchange.send(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            exchange.until_closed().await
        })
        .await;
        assert_eq!(refused.unwrap_err().code(), Some(kind));
        assert_eq!(rest, b"");
    }
}

/// Nothing can have been stored before the body began.
#[tokio::test]
async fn a_server_in_trouble_is_asked_again_before_the_body_begins() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path(TARGET));
    let (upload, mut exchange) = both(client.put(&target, &of_length(3)), async {
        peer.next().await.refuse("503 Service Unavailable", "ServiceUnavailable").await;
        drop(peer.next().await);
        let mut exchange = peer.next().await;
        exchange.go_on().await;
        exchange
    })
    .await;
    let mut upload = upload.unwrap();
    upload.write(Bytes::from("abc")).await.unwrap();
    let (stored, ()) = both(upload.finish(), async {
        assert_eq!(exchange.body().await.unwrap(), b"abc");
        exchange.no_content().await;
    })
    .await;
    stored.unwrap();
}

#[tokio::test]
async fn a_server_that_never_says_continue_gets_the_body() {
    let mut peer = Peer::start().await;
    let mut config = peer.config();
    config.continue_timeout = Duration::from_millis(10);
    let (client, target) = (Client::new(config).unwrap(), path(TARGET));
    let mut upload = soon(client.put(&target, &NewObject::default())).await.unwrap();
    upload.write(Bytes::from("abc")).await.unwrap();
    let (stored, ()) = both(upload.finish(), async {
        let mut exchange = peer.next().await;
        assert_eq!(exchange.body().await.unwrap(), b"abc");
        exchange.no_content().await;
    })
    .await;
    stored.unwrap();
}

/// Other informational answers do not allow the body.
#[tokio::test]
async fn only_continue_means_continue() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path(TARGET));
    let (refused, rest) = both(client.put(&target, &NewObject::default()), async {
        let mut exchange = peer.next().await;
        exchange.send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await;
        exchange.send("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        exchange.until_closed().await
    })
    .await;
    assert!(refused.unwrap_err().is_not_found());
    assert_eq!(rest, b"");
}

/// The server stops reading, answers and closes the connection, so that writing fails.
#[tokio::test]
async fn an_answer_in_the_middle_of_the_body_is_told() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    for _ in 0..50 {
        let (mut upload, mut exchange) = begun(&client, &mut peer, &NewObject::default()).await;
        let piece = Bytes::from(noise(64 << 10));
        let (error, ()) = both(
            async {
                loop {
                    if let Err(error) = upload.write(piece.clone()).await {
                        break error;
                    }
                }
            },
            async {
                exchange.some(100_000).await;
                exchange
                    .send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 35\r\n\r\n{\"code\":\"MaxContentLengthExceeded\"}")
                    .await;
                drop(exchange);
            },
        )
        .await;
        assert_eq!(error.code(), Some(ErrorCode::MaxContentLengthExceeded), "{error}");
        assert!(matches!(upload.write(piece).await, Err(Error::UploadFailed)));
        assert!(matches!(upload.finish().await, Err(Error::UploadFailed)));
    }
}

#[tokio::test]
async fn success_before_the_end_is_none() {
    let mut peer = Peer::start().await;
    let (mut upload, exchange) = begun(&peer.client(), &mut peer, &NewObject::default()).await;
    exchange.no_content().await;
    let error = soon(async {
        loop {
            if let Err(error) = upload.write(Bytes::from("abc")).await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(error, Error::Protocol(_)), "{error}");
}

#[tokio::test]
async fn an_upload_that_is_dropped_ends_before_its_end() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    for object in [NewObject::default(), of_length(1000), of_length(500), of_length(0)] {
        for written in [0, 1, 500] {
            if object.length.is_some_and(|length| length < written) {
                continue;
            }
            let (mut upload, mut exchange) = begun(&client, &mut peer, &object).await;
            upload.write(Bytes::from(noise(usize::try_from(written).unwrap()))).await.unwrap();
            drop(upload);
            // A body of 500 bytes was written completely, but not finished.
            assert!(soon(exchange.body()).await.is_err(), "{object:?} {written}");
        }
    }
}

/// This happens when a client has hung up while Manta accepts no data.
#[tokio::test]
async fn an_upload_that_is_dropped_while_nobody_reads_is_closed() {
    let mut peer = Peer::start().await;
    let mut config = peer.config();
    config.idle_timeout = Duration::from_millis(200);
    let client = Client::new(config).unwrap();
    let (mut upload, mut exchange) = begun(&client, &mut peer, &NewObject::default()).await;
    let error = soon(async {
        loop {
            if let Err(error) = upload.write(Bytes::from(noise(1 << 20))).await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
    drop(upload);
    let rest = soon(exchange.until_closed()).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

/// It is unknown whether the bytes of a dropped write were sent, so the body must not look complete.
#[tokio::test]
async fn a_write_that_is_given_up_ends_the_upload() {
    let mut peer = Peer::start().await;
    let (mut upload, mut exchange) = begun(&peer.client(), &mut peer, &NewObject::default()).await;
    // The bytes exceed every buffer, so this waits for the server.
    assert!(upload.write(Bytes::from(noise(64 << 20))).now_or_never().is_none());
    assert!(matches!(upload.finish().await, Err(Error::UploadFailed)));
    assert!(soon(exchange.body()).await.is_err());
}

#[tokio::test]
async fn another_length_than_announced_is_an_error() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let (mut upload, mut exchange) = begun(&client, &mut peer, &of_length(3)).await;
    upload.write(Bytes::from("ab")).await.unwrap();
    assert!(matches!(upload.write(Bytes::from("cd")).await, Err(Error::Length { expected: 3, actual: 4 })));
    assert!(matches!(upload.finish().await, Err(Error::Length { .. } | Error::UploadFailed)));
    assert!(soon(exchange.body()).await.is_err());
    let (mut upload, mut exchange) = begun(&client, &mut peer, &of_length(3)).await;
    upload.write(Bytes::from("ab")).await.unwrap();
    assert!(matches!(upload.finish().await, Err(Error::Length { expected: 3, actual: 2 })));
    assert!(soon(exchange.body()).await.is_err());
}

#[tokio::test]
async fn another_md5_than_announced_is_an_error() {
    let mut peer = Peer::start().await;
    let object = NewObject { md5: Some([0; 16]), ..of_length(1) };
    let (mut upload, mut exchange) = begun(&peer.client(), &mut peer, &object).await;
    assert_eq!(exchange.header("content-md5"), Some("AAAAAAAAAAAAAAAAAAAAAA=="));
    upload.write(Bytes::from("a")).await.unwrap();
    let (stored, ()) = both(upload.finish(), async {
        exchange.body().await.unwrap();
        exchange.reply("204 No Content", &["computed-md5: kAFQmDzST7DWlj99KOF/cg=="], "").await;
    })
    .await;
    assert!(matches!(stored, Err(Error::Md5)));
}

#[tokio::test]
async fn a_server_that_stores_for_ever_is_given_up() {
    let mut peer = Peer::start().await;
    let (mut upload, mut exchange) = begun(&peer.impatient(), &mut peer, &NewObject::default()).await;
    upload.write(Bytes::from("abc")).await.unwrap();
    let (stored, _) = both(upload.finish(), exchange.until_closed()).await;
    assert!(matches!(stored, Err(Error::Stalled { .. })), "{stored:?}");
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_is_told() {
    let mut peer = Peer::start().await;
    let (mut upload, exchange) = begun(&peer.client(), &mut peer, &NewObject::default()).await;
    drop(exchange);
    let error = soon(async {
        loop {
            if let Err(error) = upload.write(Bytes::from("abc")).await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(error, Error::Connection(_)) && error.is_retriable(), "{error}");
}
