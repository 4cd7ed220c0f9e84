// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Encrypted connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manta::{Client, Error, ErrorCode, NewObject};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::{Peer, both, noise, path, soon};

fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn client(peer: &Peer, insecure: bool) -> Client {
    let mut config = peer.config();
    config.url = format!("https://{}", peer.address);
    config.insecure = insecure;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_refused() {
    let mut peer = Peer::encrypted(acceptor()).await;
    let refused = soon(client(&peer, false).head(&path("/admin/stor/x"))).await.unwrap_err();
    let Error::Connect(reason) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("certificate"), "{reason}");
    assert!(!peer.has_more());
}

#[tokio::test]
async fn an_insecure_client_takes_any_certificate() {
    let mut peer = Peer::encrypted(acceptor()).await;
    let (client, target) = (client(&peer, true), path("/admin/stor/x"));
    let (known, ()) = both(client.head(&target), async {
        peer.next().await.reply("200 OK", &["content-length: 7"], "").await;
    })
    .await;
    assert_eq!(known.unwrap().length, Some(7));
}

#[tokio::test]
async fn an_answer_in_the_middle_of_an_encrypted_body_is_told() {
    let mut peer = Peer::encrypted(acceptor()).await;
    let (client, target) = (client(&peer, true), path("/admin/stor/x"));
    for _ in 0..20 {
        let object = NewObject::default();
        let (upload, mut exchange) = both(client.put(&target, &object), async {
            let mut exchange = peer.next().await;
            exchange.go_on().await;
            exchange
        })
        .await;
        let mut upload = upload.unwrap();
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
                exchange.send("HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n").await;
                drop(exchange);
            },
        )
        .await;
        assert_eq!(error.code(), Some(ErrorCode::NotEnoughSpace), "{error}");
    }
}

/// The server accepts the connection and sends nothing.
#[tokio::test]
async fn a_server_that_does_not_shake_hands_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::start().await;
    let mut config = peer.config();
    config.url = format!("https://{}", listener.local_addr().unwrap());
    config.insecure = true;
    config.attempts = 1;
    config.connect_timeout = Duration::from_millis(200);
    let client = Client::new(config).unwrap();
    let refused = soon(client.head(&path("/admin/stor/x"))).await.unwrap_err();
    assert!(matches!(refused, Error::Connect(_)), "{refused:?}");
}
