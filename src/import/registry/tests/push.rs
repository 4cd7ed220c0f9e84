// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;

use super::server::{Answer, Fault, Server};
use super::*;
use crate::import::FetchError;

type IsRight = fn(&RegistryError) -> bool;

fn pusher(server: &Server) -> Registry {
    pusher_with(clients(&json!({}), None), server)
}

fn pusher_with(clients: Clients, server: &Server) -> Registry {
    let text = format!("{}/aa/b", server.address);
    registry_with(clients, &text, Some(("u", "p")), Access::Push)
}

fn upload(location: &str) -> Answer {
    Answer::new(202, "").header("location", location)
}

/// Sends `hello`, and returns how often the bytes were read.
async fn send_hello(registry: &Registry) -> Result<usize, RegistryError> {
    let opened = AtomicUsize::new(0);
    let open = async || {
        opened.fetch_add(1, Ordering::Relaxed);
        let chunks: [Result<_, RegistryError>; 2] = [Ok(Bytes::from("hel")), Ok(Bytes::from("lo"))];
        Ok(stream::iter(chunks))
    };
    registry.upload_blob(Digest::of(b"hello"), 5, open).await?;
    Ok(opened.into_inner())
}

#[tokio::test]
async fn a_blob_is_sent_in_one_piece() {
    for location in
        ["/v2/aa/b/blobs/uploads/1?_state=x%3D", "http://HOST/v2/aa/b/blobs/uploads/1?_state=x%3D"]
    {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "POST" => upload(&location.replace("HOST", request.header("host").unwrap())),
            _ => Answer::new(201, ""),
        })
        .await;
        assert_eq!(send_hello(&pusher(&server)).await.unwrap(), 1);
        let requests = server.requests();
        assert_eq!(
            (requests[0].target.as_str(), requests[0].header("content-length")),
            ("/v2/aa/b/blobs/uploads/", Some("0"))
        );
        let digest = Digest::of(b"hello").to_string().replace(':', "%3A");
        let put = &requests[1];
        assert_eq!(put.target, format!("/v2/aa/b/blobs/uploads/1?_state=x%3D&digest={digest}"));
        assert_eq!((put.method.as_str(), put.body.as_slice()), ("PUT", &b"hello"[..]));
        assert_eq!(put.header("content-type"), Some("application/octet-stream"));
        assert_eq!((put.header("content-length"), put.header("transfer-encoding")), (Some("5"), None));
    }
}

#[tokio::test]
async fn an_upload_that_needs_another_token_is_sent_again() {
    let server = Server::start(|request, count| match (request.method.as_str(), request.target.as_str()) {
        ("GET", _) => Answer::new(200, format!(r#"{{"token":"t{count}"}}"#)),
        ("PUT", _) if count > 5 => Answer::new(201, ""),
        ("POST", _) if request.header("authorization").is_some() => upload("/upload"),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            Answer::new(401, "").header("www-authenticate", realm)
        }
    })
    .await;
    assert_eq!(send_hello(&pusher(&server)).await.unwrap(), 2);
    let methods: Vec<String> = server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "GET", "POST", "PUT", "GET", "POST", "PUT"]);
    assert!(server.seen()[1].contains("scope=repository%3Aaa%2Fb%3Apull%2Cpush"), "{:?}", server.seen());
    assert_eq!(server.requests()[6].header("authorization"), Some("Bearer t4"));
}

#[tokio::test]
async fn the_bytes_go_elsewhere_without_credentials() {
    let store = Server::start(|_, _| Answer::new(201, "")).await;
    let address = store.address.clone();
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some(_) => upload(&format!("http://{address}/x")),
        None => Answer::new(401, "").header("www-authenticate", "Basic realm=x"),
    })
    .await;
    send_hello(&pusher(&server)).await.unwrap();
    assert_eq!(store.requests()[0].header("authorization"), None);
    let denied = Server::start(|_, _| upload("http://127.0.0.2/x")).await;
    let error = send_hello(&pusher(&denied)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connection(FetchError::Denied { .. })), "{error}");
}

#[tokio::test]
async fn an_upload_ends_when_the_registry_refuses_it() {
    let answers: [(Answer, IsRight); 3] = [
        (Answer::new(201, "").fault(Fault::Closed, 0), |error| matches!(error, RegistryError::Connection(_))),
        (Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"x"}]}"#), |error| {
            error.to_string().ends_with(": DIGEST_INVALID x")
        }),
        (Answer::new(401, ""), |error| matches!(error, RegistryError::Unauthorized { .. })),
    ];
    for (answer, is_right) in answers {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "POST" => upload("/upload"),
            _ => answer.clone(),
        })
        .await;
        let error = send_hello(&pusher(&server)).await.unwrap_err();
        assert!(is_right(&error), "{error:?}");
    }
    for answer in [Answer::new(202, ""), Answer::new(404, ""), Answer::new(201, "")] {
        let server = Server::start(move |_, _| answer.clone()).await;
        send_hello(&pusher(&server)).await.unwrap_err();
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_ends_when_nothing_moves() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "POST" => upload("/upload"),
        _ => Answer::new(201, "").fault(Fault::Silent, 0),
    })
    .await;
    let error = send_hello(&pusher_with(impatient(), &server)).await.unwrap_err();
    assert!(error.to_string().ends_with("within 1 s"), "{error}");
}

#[tokio::test]
async fn bytes_that_cannot_be_read_end_an_upload() {
    let server = Server::start(|_, _| upload("/upload")).await;
    let registry = pusher(&server);
    let broken = || RegistryError::Invalid("no disk".to_owned());
    let cannot_open = async || Err::<stream::Empty<Result<Bytes, RegistryError>>, _>(broken());
    let error = registry.upload_blob(Digest::of(b"hello"), 5, cannot_open).await.unwrap_err();
    assert_eq!(error.to_string(), "no disk");
    let breaks_off = async || Ok(stream::iter([Ok(Bytes::from("hel")), Err(broken())]));
    assert!(registry.upload_blob(Digest::of(b"hello"), 5, breaks_off).await.is_err());
}

#[tokio::test]
async fn a_registry_says_whether_it_has_a_blob() {
    let server = Server::start(|_, count| Answer::new([200, 404, 500][count], "")).await;
    let registry = pusher(&server);
    assert!(registry.has_blob(Digest::of(b"x")).await.unwrap());
    assert!(!registry.has_blob(Digest::of(b"x")).await.unwrap());
    assert!(matches!(registry.has_blob(Digest::of(b"x")).await, Err(RegistryError::Refused { .. })));
    assert_eq!(server.seen()[0], format!("HEAD /v2/aa/b/blobs/{}", Digest::of(b"x")));
}

#[tokio::test]
async fn a_manifest_is_stored_under_a_tag() {
    let server = Server::start(|request, count| match (count, request.method.as_str()) {
        (0, _) => Answer::new(401, "").header("www-authenticate", "Basic realm=x"),
        (1, _) => Answer::new(429, "").header("retry-after", 0),
        (2, _) => Answer::new(201, ""),
        _ => Answer::new(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"no"}]}"#),
    })
    .await;
    let registry = pusher(&server);
    registry.put_manifest(&tag(), "application/x", "{ }".to_owned()).await.unwrap();
    let requests = server.requests();
    let put = &requests[2];
    assert_eq!((put.method.as_str(), put.target.as_str()), ("PUT", "/v2/aa/b/manifests/latest"));
    assert_eq!((put.header("content-type"), put.body.as_slice()), (Some("application/x"), &b"{ }"[..]));
    assert_eq!(put.header("authorization"), Some("Basic dTpw"));
    let error = registry.put_manifest(&tag(), "application/x", "{}".to_owned()).await.unwrap_err();
    assert!(error.to_string().ends_with(": MANIFEST_BLOB_UNKNOWN no"), "{error}");
    assert!(registry.put_manifest(&tag(), "a\nb", "{}".to_owned()).await.is_err());
}
