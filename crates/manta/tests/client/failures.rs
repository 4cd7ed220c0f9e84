// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which requests are retried, and how unusual answers are treated.

use std::time::Duration;

use bytes::Bytes;
use manta::{Client, Config, Error, ErrorCode, GetOptions, NewObject, Precondition};
use tokio::net::TcpListener;

use crate::support::{Peer, both, path, private_key, soon};

#[tokio::test]
async fn a_server_in_trouble_is_asked_three_times() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    let (known, ids) = both(client.head(&target), async {
        let mut ids = Vec::new();
        for status in ["500 Internal Server Error", "503 Service Unavailable", "200 OK"] {
            let request = peer.next().await;
            ids.push(request.header("x-request-id").unwrap().to_owned());
            request.reply(status, &[], "").await;
        }
        ids
    })
    .await;
    known.unwrap();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let (refused, ()) = both(client.delete(&target, None), async {
        for _ in 0..3 {
            peer.next().await.refuse("503 Service Unavailable", "ThrottledError").await;
        }
    })
    .await;
    let error = refused.unwrap_err();
    assert_eq!((error.code(), error.request_id()), (Some(ErrorCode::Throttled), Some("r-1")));
    assert!(!peer.has_more());
}

#[tokio::test]
async fn two_requests_that_met_are_repeated() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    let (made, ()) = both(client.put_directory(&target), async {
        peer.next().await.refuse("409 Conflict", "ConcurrentRequest").await;
        peer.next().await.no_content().await;
    })
    .await;
    made.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_peace_for_long_gets_it() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    let (refused, ()) = both(client.head(&target), async {
        peer.next().await.reply("503 Service Unavailable", &["retry-after: 30"], "").await;
    })
    .await;
    assert_eq!(refused.unwrap_err().retry_after(), Some(Duration::from_secs(30)));
    assert!(!peer.has_more());
}

#[tokio::test]
async fn what_stays_wrong_is_not_repeated() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    for (status, code) in [
        ("400 Bad Request", "DirectoryNotEmpty"),
        ("403 Forbidden", "KeyDoesNotExist"),
        ("404 Not Found", "ResourceNotFound"),
        ("412 Precondition Failed", "PreconditionFailed"),
        ("501 Not Implemented", "NotImplemented"),
        ("507 Insufficient Storage", "NotEnoughSpace"),
    ] {
        let (refused, ()) = both(client.delete(&target, None), async {
            peer.next().await.refuse(status, code).await;
        })
        .await;
        let error = refused.unwrap_err();
        assert_eq!(format!("{:?}", error.code().unwrap()), code);
        assert!(error.to_string().contains("because") && !error.is_retriable(), "{error}");
        assert!(!peer.has_more(), "{code}");
    }
}

#[tokio::test]
async fn what_is_gone_after_a_lost_answer_was_deleted() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    for (etag, status, code) in [
        (None, "404 Not Found", "ResourceNotFound"),
        (Some("e"), "412 Precondition Failed", "PreconditionFailed"),
    ] {
        let (deleted, ()) = both(client.delete(&target, etag), async {
            drop(peer.next().await);
            peer.next().await.refuse(status, code).await;
        })
        .await;
        deleted.unwrap();
    }
}

/// The first attempt may have stored the object, which would make the second one fail its precondition.
#[tokio::test]
async fn a_conditional_put_is_repeated_only_if_it_was_not_done() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    let bytes = Bytes::from("abc");
    let object = NewObject { precondition: Precondition::Absent, ..NewObject::default() };
    let (unknown, ()) = both(client.put_bytes(&target, bytes.clone(), &object), async {
        drop(peer.next().await);
    })
    .await;
    assert!(matches!(unknown, Err(Error::Connection(_))), "{unknown:?}");
    assert!(!peer.has_more());
    let (stored, ()) = both(client.put_bytes(&target, bytes.clone(), &object), async {
        peer.next().await.refuse("503 Service Unavailable", "ServiceUnavailable").await;
        peer.next().await.no_content().await;
    })
    .await;
    stored.unwrap();
    let (stored, ()) = both(client.put_bytes(&target, bytes, &NewObject::default()), async {
        drop(peer.next().await);
        peer.next().await.no_content().await;
    })
    .await;
    stored.unwrap();
}

#[tokio::test]
async fn bytes_that_arrived_wrong_are_sent_again() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    let (stored, ()) = both(client.put_bytes(&target, Bytes::from("abc"), &NewObject::default()), async {
        peer.next().await.refuse("400 Bad Request", "ContentMD5Mismatch").await;
        let mut second = peer.next().await;
        second.body().await.unwrap();
        second.reply("204 No Content", &["computed-md5: AAAAAAAAAAAAAAAAAAAAAA=="], "").await;
        let mut third = peer.next().await;
        assert_eq!(third.body().await.unwrap(), b"abc");
        third.no_content().await;
    })
    .await;
    stored.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.client(), path("/admin/stor/x"));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{}/elsewhere", peer.address);
        let (refused, ()) = both(client.get(&target, &GetOptions::default()), async {
            peer.next().await.reply(status, &[&location], "").await;
        })
        .await;
        assert!(matches!(refused, Err(Error::Redirect(_))), "{refused:?}");
        assert!(!peer.has_more());
    }
}

#[tokio::test]
async fn a_load_balancer_is_understood() {
    let mut peer = Peer::start().await;
    let mut config = peer.config();
    config.attempts = 1;
    let (client, target) = (Client::new(config).unwrap(), path("/admin/stor/x"));
    for status in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Time-out"] {
        // The page is longer than the part that is read.
        let page = format!("<html>{}</html>", "x".repeat(100_000));
        let (refused, ()) = both(client.get(&target, &GetOptions::default()), async {
            peer.next().await.reply(status, &["content-type: text/html"], page).await;
        })
        .await;
        let error = refused.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ServiceUnavailable));
        assert!(error.is_unavailable() && error.to_string().len() < 100, "{error}");
    }
}

#[tokio::test]
async fn garbage_is_an_error() {
    let mut peer = Peer::start().await;
    let target = path("/admin/stor/x");
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    for garbage in
        ["nonsense\r\n\r\n", "HTTP/1.1 999999 X\r\n\r\n", "\0\0\0\0", "SSH-2.0-OpenSSH\r\n", &long, &many]
    {
        let client = peer.impatient();
        let (refused, ()) = both(client.get(&target, &GetOptions::default()), async {
            let mut exchange = peer.next().await;
            exchange.send(garbage).await;
            exchange.until_closed().await;
        })
        .await;
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::Connection(_) | Error::Stalled { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_that_does_not_end_is_told_by_its_status() {
    let mut peer = Peer::start().await;
    let (client, target) = (peer.impatient(), path("/admin/stor/x"));
    let (refused, ()) = both(client.get(&target, &GetOptions::default()), async {
        let mut exchange = peer.next().await;
        exchange.send("HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n{\"code\":").await;
        exchange.until_closed().await;
    })
    .await;
    assert!(refused.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_server_that_is_away_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = Config::new(format!("http://{address}"), "admin", private_key("ed25519"));
    config.backoff_initial = Duration::from_millis(1);
    let (client, target) = (Client::new(config).unwrap(), path("/admin/stor/x"));
    let refused = soon(client.head(&target)).await.unwrap_err();
    assert!(matches!(refused, Error::Connect(_)) && refused.is_unavailable(), "{refused:?}");
    let put = soon(client.put(&target, &NewObject::default())).await.unwrap_err();
    assert!(matches!(put, Error::Connect(_)), "{put:?}");
}
