// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections on which the server falls silent.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moray::fast::{Frame, FrameCodec};
use moray::{CallOptions, Client, Precondition, PutOptions};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_util::codec::Framed;

use crate::support::{Server, config, connected, jump, record, soon};

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_pinged_and_kept() {
    let server = Server::start().await;
    let mut config = server.config();
    config.idle_ping = Duration::from_millis(20);
    config.ping_limit = Duration::from_secs(30);
    let client = Client::new(config);
    until(|| server.shared.pings.load(SeqCst) >= 4).await;
    assert_eq!((server.accepted(), client.state().connections), (1, 1));
}

#[tokio::test]
async fn an_idle_connection_that_answers_no_ping_is_replaced() {
    let server = Server::start().await;
    let mut config = server.config();
    config.idle_ping = Duration::from_millis(20);
    config.ping_limit = Duration::from_millis(50);
    let client = Client::new(config);
    connected(&client, 1).await;
    server.shared.mute.store(true, SeqCst);
    connected(&client, 0).await;
    let mut state = client.watch_state();
    let told = |state: &moray::State| {
        state.last_error.as_ref().is_some_and(|error| error.contains("ping not answered"))
    };
    soon(state.wait_for(told)).await.unwrap();
    server.shared.mute.store(false, SeqCst);
    connected(&client, 1).await;
    assert!(server.accepted() >= 2);
}

#[tokio::test]
async fn an_unanswered_request_makes_the_client_ping_at_once() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.ping_limit = Duration::from_millis(50);
    let client = Client::new(config);
    connected(&client, 1).await;
    server.shared.mute.store(true, SeqCst);
    let get = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { client.get_object("b", "k", &CallOptions::default()).await })
    };
    let unanswered = get(&client);
    let _call = server.next().await;
    jump(Duration::from_secs(11)).await;
    soon(unanswered).await.unwrap().unwrap_err();
    connected(&client, 0).await;
    server.shared.mute.store(false, SeqCst);
    let get = get(&client);
    server.next().await.row(&record("k", &json!({})));
    soon(get).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_bytes_loses_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap());
    config.idle_ping = Duration::from_secs(365 * 24 * 3600);
    let client = Client::new(config);
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let mut server = Framed::new(stream, FrameCodec::default());
    let ping = soon(server.next()).await.unwrap().unwrap();
    server.send(Frame::end(ping.version, ping.msgid, "ping").unwrap()).await.unwrap();
    connected(&client, 1).await;
    let put = tokio::spawn(async move {
        let call =
            CallOptions { deadline: Some(Duration::from_secs(7 * 24 * 3600)), ..CallOptions::default() };
        let options = PutOptions { precondition: Precondition::MustNotExist, call };
        client.put_object("b", "k", &json!({"text": "x".repeat(48 << 20)}), &options).await
    });
    // Nothing reports that the socket is full, so the clock is advanced until the writer has waited too long.
    while !put.is_finished() {
        jump(Duration::from_secs(31)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = soon(put).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("takes no data"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_ends_what_was_given_up_loses_the_connection() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut given_up = 0;
    while server.accepted() == 1 || given_up == 0 {
        let gets = [(); 500].map(|()| {
            let client = client.clone();
            tokio::spawn(async move { client.get_object("b", "k", &CallOptions::default()).await })
        });
        for _ in 0..gets.len() {
            let _unanswered = server.next().await;
        }
        for get in gets {
            get.abort();
            assert!(soon(get).await.unwrap_err().is_cancelled());
            given_up += 1;
        }
    }
    assert!(given_up > 4096, "{given_up}");
    let reason = client.state().last_error.unwrap();
    assert!(reason.contains("never ended by the server"), "{reason}");
}

#[tokio::test]
async fn connections_end_with_the_last_clone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(config(listener.local_addr().unwrap()));
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let clone = client.clone();
    drop(client);
    drop(clone);
    let mut received = Vec::new();
    soon(stream.read_to_end(&mut received)).await.unwrap();
}
