// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Streams of rows.

use std::time::Duration;

use futures_util::StreamExt;
use moray::{Attribute, CallOptions, Client, Error, Filter, FindOptions, ObjectStream, ServerErrorKind};
use serde_json::json;

use crate::support::{Call, Server, jump, record, soon};

fn find(client: &Client) -> ObjectStream {
    let filter = Filter::present(Attribute::from_static("uuid"));
    client.find_objects("b", &filter, &FindOptions::default())
}

/// Polls a stream in a task until the request reaches the server.
async fn started(
    server: &mut Server,
    mut stream: ObjectStream,
) -> (Call, ObjectStream, Result<String, Error>) {
    let first = tokio::spawn(async move {
        let first = stream.next().await.unwrap().map(|object| object.key);
        (first, stream)
    });
    let call = server.next().await;
    call.data(&json!([record("first", &json!({}))]));
    let (first, stream) = soon(first).await.unwrap();
    (call, stream, first)
}

#[tokio::test]
async fn an_error_after_rows_ends_the_stream() {
    let mut server = Server::start().await;
    let client = server.client();
    let (call, mut stream, first) = started(&mut server, find(&client)).await;
    assert_eq!(first.unwrap(), "first");
    call.data(&json!([record("second", &json!({}))]));
    call.error("InternalError", "in the middle");
    assert_eq!(soon(stream.next()).await.unwrap().unwrap().key, "second");
    let error = soon(stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::Internal));
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_stream_begins_again_only_before_its_first_row() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut stream = find(&client);
    let rows = tokio::spawn(async move {
        let first = stream.next().await.unwrap().unwrap().key;
        (first, stream.next().await.unwrap(), stream.next().await.is_none())
    });
    server.next().await.hang_up();
    let call = server.next().await;
    call.data(&json!([record("first", &json!({}))]));
    call.hang_up();
    let (first, lost, ended) = soon(rows).await.unwrap();
    assert_eq!(first, "first");
    assert!(matches!(lost, Err(Error::Transport(_))), "{lost:?}");
    assert!(ended);
    assert!(!server.has_calls());
}

#[tokio::test]
async fn a_collected_result_begins_again_after_any_row() {
    let mut server = Server::start().await;
    let client = server.client();
    let filter = Filter::present(Attribute::from_static("uuid"));
    let all = tokio::spawn(async move { client.find_all("b", &filter, &FindOptions::default()).await });
    let call = server.next().await;
    call.data(&json!([record("lost", &json!({}))]));
    call.hang_up();
    server.next().await.row(&record("kept", &json!({})));
    let keys: Vec<_> = soon(all).await.unwrap().unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["kept"]);
}

#[tokio::test]
async fn a_collected_result_is_limited() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.max_result = 1000;
    let client = Client::new(config);
    let filter = Filter::present(Attribute::from_static("uuid"));
    let all = tokio::spawn(async move { client.find_all("b", &filter, &FindOptions::default()).await });
    let call = server.next().await;
    call.data(&json!([record("k", &json!({"text": "x".repeat(1000)}))]));
    let error = soon(all).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ResultTooLarge { limit: 1000 }), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_is_not_read_fails_and_others_go_on() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.row_buffer = 2000;
    config.stall_limit = Duration::from_millis(50);
    let client = Client::new(config);
    let (call, mut stream, _) = started(&mut server, find(&client)).await;
    for number in 0..100 {
        call.data(&json!([record(&number.to_string(), &json!({}))]));
    }
    let getting = client.clone();
    let get = tokio::spawn(async move { getting.get_object("b", "k", &CallOptions::default()).await });
    server.next().await.row(&record("k", &json!({})));
    soon(get).await.unwrap().unwrap();

    let mut rows = 0;
    let error = loop {
        match soon(stream.next()).await.unwrap() {
            Ok(_) => rows += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::SlowConsumer), "{error:?}");
    assert!((1..10).contains(&rows), "{rows} rows fit into the buffer");
    call.end();
    assert!(soon(stream.next()).await.is_none());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_small_buffer_is_enough_for_a_stream_that_is_read() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.row_buffer = 1;
    config.stall_limit = Duration::from_secs(30);
    let client = Client::new(config);
    let (call, mut stream, _) = started(&mut server, find(&client)).await;
    for number in 0..1000 {
        call.data(&json!([record(&number.to_string(), &json!({}))]));
    }
    call.end();
    for number in 0..1000 {
        assert_eq!(soon(stream.next()).await.unwrap().unwrap().key, number.to_string());
    }
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_dropped_stream_lets_the_connection_go_on() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.row_buffer = 1;
    config.stall_limit = Duration::from_secs(3600);
    let client = Client::new(config);
    let (call, stream, _) = started(&mut server, find(&client)).await;
    for number in 0..10 {
        call.data(&json!([record(&number.to_string(), &json!({}))]));
    }
    let getting = client.clone();
    let get = tokio::spawn(async move { getting.get_object("b", "k", &CallOptions::default()).await });
    server.next().await.row(&record("k", &json!({})));
    drop(stream);
    soon(get).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let mut server = Server::start().await;
    let client = server.client();
    let (call, mut stream, _) = started(&mut server, find(&client)).await;
    jump(Duration::from_secs(31)).await;
    let error = soon(stream.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { method: "findObjects", .. }), "{error:?}");
    assert!(soon(stream.next()).await.is_none());
    call.end();
}
