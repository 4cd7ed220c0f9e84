//! Connections that fall silent.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use moray::{CallOptions, Client};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{Server, config, connected, record, soon};

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
    let options = CallOptions { deadline: Some(Duration::from_millis(20)), ..CallOptions::default() };
    client.get_object("b", "k", &options).await.unwrap_err();
    let _unanswered = server.next().await;
    connected(&client, 0).await;
    server.shared.mute.store(false, SeqCst);
    let getting = client.clone();
    let get = tokio::spawn(async move { getting.get_object("b", "k", &CallOptions::default()).await });
    server.next().await.row(&record("k", &json!({})));
    soon(get).await.unwrap().unwrap();
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
