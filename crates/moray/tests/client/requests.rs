// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests and answers on a connection without failures.

use std::time::Duration;

use futures_util::future::join_all;
use moray::fast::Version;
use moray::{
    Attribute, BucketConfig, CallOptions, Client, DeleteManyOptions, DeleteOptions, Error, Filter,
    FindOptions, Index, IndexType, Precondition, PutOptions, ServerErrorKind,
};
use serde_json::{Value, json};

use crate::support::{Call, Server, record, soon};

fn get(client: &Client, key: &str) -> tokio::task::JoinHandle<Result<moray::Object, Error>> {
    let (client, key) = (client.clone(), key.to_owned());
    tokio::spawn(async move { client.get_object("b", &key, &CallOptions::default()).await })
}

fn everything() -> Filter {
    Filter::present(Attribute::from_static("uuid"))
}

/// Asserts that the options of a call are an object with a request id and the expected members.
fn assert_options(options: &Value, expected: &Value) {
    let mut options = options.clone();
    let req_id = options.as_object_mut().unwrap().remove("req_id").unwrap();
    assert!(req_id.as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert_eq!(&options, expected);
}

#[tokio::test]
async fn answers_come_in_any_order_on_one_connection() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut gets = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    for number in 0..3 {
        gets.push(get(&client, &format!("k{number}")));
        calls.push(server.next().await);
    }
    for call in calls.iter().rev() {
        let key = call.args[1].as_str().unwrap();
        call.row(&record(key, &json!({"key": key})));
    }
    for (number, get) in gets.into_iter().enumerate() {
        let object = soon(get).await.unwrap().unwrap();
        assert_eq!(object.key, format!("k{number}"));
        assert_eq!(object.value_as::<Value>().unwrap(), json!({"key": object.key}));
        assert_eq!((object.id, object.mtime, object.count), (7, 1_700_000_000_123, None));
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn many_requests_never_share_an_id() {
    let mut server = Server::start().await;
    let client = server.client();
    let gets: Vec<_> = (0..300).map(|number| get(&client, &number.to_string())).collect();
    // The server fails the test if an id is used again before it is free.
    let mut calls = Vec::new();
    for _ in 0..gets.len() {
        calls.push(server.next().await);
    }
    for call in calls {
        call.row(&record(call.args[1].as_str().unwrap(), &json!({})));
    }
    for (number, object) in soon(join_all(gets)).await.into_iter().enumerate() {
        assert_eq!(object.unwrap().unwrap().key, number.to_string());
    }
}

#[tokio::test]
async fn rows_may_come_in_the_last_frame_and_many_at_a_time() {
    let mut server = Server::start().await;
    let client = server.client();
    let find =
        tokio::spawn(async move { client.find_all("b", &everything(), &FindOptions::default()).await });
    let call = server.next().await;
    let row = |key| record(key, &json!({}));
    call.data(&json!([]));
    call.data(&json!([row("1"), null, row("2")]));
    call.data(&json!([row("3")]));
    call.end_with(&json!([row("4"), row("5"), null]));
    let keys: Vec<_> = soon(find).await.unwrap().unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_dropped_request_keeps_its_id_until_its_answer() {
    let mut server = Server::start().await;
    let client = server.client();
    let dropped = get(&client, "dropped");
    let forgotten = server.next().await;
    dropped.abort();
    assert!(soon(dropped).await.unwrap_err().is_cancelled());
    let next = get(&client, "next");
    let call = server.next().await;
    assert_ne!(call.msgid, forgotten.msgid);
    forgotten.data(&json!([record("dropped", &json!({}))]));
    forgotten.error("InternalError", "late");
    call.row(&record("next", &json!({})));
    assert_eq!(soon(next).await.unwrap().unwrap().key, "next");
    assert_eq!(server.accepted(), 1, "late frames are no reason to give the connection up");
}

#[tokio::test]
async fn version_1_is_spoken_when_configured() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.version = Version::V1;
    let client = Client::new(config);
    let get = get(&client, "é😀");
    let call = server.next().await;
    assert_eq!(call.version, Version::V1);
    call.row(&record("é😀", &json!({"name": "€"})));
    assert_eq!(soon(get).await.unwrap().unwrap().key, "é😀");
}

#[tokio::test]
async fn arguments_are_in_the_order_that_moray_wants() {
    let mut server = Server::start().await;
    let client = server.client();
    let calls = tokio::spawn(async move {
        let call = CallOptions { req_id: Some(uuid::Uuid::nil()), deadline: None };
        client.ping(true, &call).await.unwrap();
        client.get_object("b", "k", &call).await.unwrap();
        let precondition = Precondition::Etag("A".to_owned());
        client.del_object("b", "k", &DeleteOptions { precondition, call: call.clone() }).await.unwrap();
        let options = DeleteManyOptions { limit: Some(5), no_limit: false, call: call.clone() };
        assert_eq!(client.delete_many("b", &everything(), &options).await.unwrap(), 4);
        let mut config = BucketConfig::default();
        config.index.insert("u".to_owned(), Index { index_type: IndexType::String, unique: true });
        client.create_bucket("b", &config, &call).await.unwrap();
        client.update_bucket("b", &config, &call).await.unwrap();
        assert_eq!(client.get_bucket("b", &call).await.unwrap().config, config);
    });
    let id = "00000000-0000-0000-0000-000000000000";
    let bucket = json!({"index": {"u": {"type": "string", "unique": true}}, "pre": [], "post": [],
        "options": {"version": 0, "guaranteeOrder": false, "syncUpdates": false}});
    let text = |member: &str| bucket[member].to_string();
    let row = json!({"name": "b", "index": text("index"), "pre": text("pre"), "post": text("post"),
        "options": text("options"), "mtime": "2026-01-01T00:00:00.000Z"});
    let expected = [
        ("ping", json!([{"req_id": id, "deep": true}]), json!([])),
        ("getObject", json!(["b", "k", {"req_id": id, "noCache": true}]), json!([record("k", &json!({}))])),
        ("delObject", json!(["b", "k", {"req_id": id, "etag": "A"}]), json!([{}])),
        ("deleteMany", json!(["b", "(uuid=*)", {"req_id": id, "limit": 5}]), json!([{"count": 4}])),
        ("createBucket", json!(["b", bucket, {"req_id": id}]), json!([null])),
        ("updateBucket", json!(["b", bucket, {"req_id": id}]), json!([])),
        ("getBucket", json!([{"req_id": id}, "b"]), json!([row])),
    ];
    for (method, args, answer) in expected {
        let call = server.next().await;
        assert_eq!((call.method.as_str(), json!(call.args)), (method, args));
        call.end_with(&answer);
    }
    soon(calls).await.unwrap();
}

#[tokio::test]
async fn a_put_tells_its_etag_and_its_precondition() {
    let mut server = Server::start().await;
    let client = server.client();
    let preconditions = [
        (Precondition::Any, json!({})),
        (Precondition::MustNotExist, json!({"etag": null})),
        (Precondition::Etag("0BAD".to_owned()), json!({"etag": "0BAD"})),
    ];
    for (precondition, options) in preconditions {
        let putting = client.clone();
        let put = tokio::spawn(async move {
            let options = PutOptions { precondition, ..PutOptions::default() };
            putting.put_object("b", "k", &json!({"name": "é"}), &options).await
        });
        let call = server.next().await;
        assert_eq!(call.args[..3], [json!("b"), json!("k"), json!({"name": "é"})]);
        assert_options(&call.args[3], &options);
        call.row(&json!({"etag": "12345678"}));
        assert_eq!(soon(put).await.unwrap().unwrap(), "12345678");
    }
    let error = client.put_object("b", "k", &[1], &PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Serialize(_)), "{error}");
}

/// Puts an object with a precondition, and sends the given answers until the put returns.
async fn put_answered(precondition: Precondition, answers: &[Option<(&str, &str)>]) -> Result<String, Error> {
    let mut server = Server::start().await;
    let client = server.client();
    let put = tokio::spawn(async move {
        let options = PutOptions { precondition, ..PutOptions::default() };
        client.put_object("b", "k", &json!({}), &options).await
    });
    for answer in answers {
        let call = server.next().await;
        match answer {
            Some((name, message)) => call.error(name, message),
            None => call.row(&json!({"etag": "12345678"})),
        }
    }
    let result = soon(put).await.unwrap();
    assert!(!server.has_calls());
    result
}

const LOST_INSERT: (&str, &str) =
    ("UniqueAttributeError", r#""_key" is a unique attribute; value "k" already exists"#);

#[tokio::test]
async fn a_put_that_lost_the_first_insert_is_done_again_or_a_conflict() {
    assert!(put_answered(Precondition::Any, &[Some(LOST_INSERT), None]).await.is_ok());
    let error = put_answered(Precondition::Any, &[Some(LOST_INSERT), Some(LOST_INSERT)]).await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::UniqueAttribute));
    let error = put_answered(Precondition::MustNotExist, &[Some(LOST_INSERT)]).await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::EtagConflict));
    let other = ("UniqueAttributeError", r#""urn" is a unique attribute; value "x" already exists"#);
    let error = put_answered(Precondition::MustNotExist, &[Some(other)]).await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::UniqueAttribute));
    assert!(error.is_conflict());
}

#[tokio::test]
async fn what_the_server_refuses_is_typed_and_not_repeated() {
    for (name, message, kind) in [
        ("ObjectNotFoundError", "b::k does not exist", ServerErrorKind::ObjectNotFound),
        ("Error", "connect ECONNREFUSED", ServerErrorKind::DatabaseDown),
        ("NoDatabasePeersError", "none", ServerErrorKind::NoDatabasePeers),
        ("SomethingNewError", "new", ServerErrorKind::Other),
    ] {
        let mut server = Server::start().await;
        let client = server.client();
        let get = get(&client, "k");
        server.next().await.error(name, message);
        let error = soon(get).await.unwrap().unwrap_err();
        assert_eq!(error.server_kind(), Some(kind));
        assert_eq!(error.is_not_found(), kind == ServerErrorKind::ObjectNotFound);
        assert_eq!(
            error.is_transient(),
            matches!(kind, ServerErrorKind::DatabaseDown | ServerErrorKind::NoDatabasePeers)
        );
        assert!(!server.has_calls());
    }
}

#[tokio::test]
async fn answers_of_another_shape_fail_their_call_only() {
    let mut server = Server::start().await;
    let client = server.client();
    for answer in [json!([]), json!([{"bucket": "b"}]), json!([7]), json!([{}, {}])] {
        let get = get(&client, "k");
        server.next().await.end_with(&answer);
        let error = soon(get).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::BadReply { method: "getObject", .. }), "{error}");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_request_over_the_limit_is_not_sent() {
    let server = Server::start().await;
    let mut config = server.config();
    config.max_payload = 1000;
    let client = Client::new(config);
    let value = json!({"text": "x".repeat(1000)});
    let error = client.put_object("b", "k", &value, &PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::RequestTooLarge { limit: 1000, .. }), "{error}");
    assert!(!server.has_calls());
}

#[tokio::test]
async fn more_requests_than_allowed_fail_at_once() {
    let mut server = Server::start().await;
    let mut config = server.config();
    config.max_in_flight = 2;
    let client = Client::new(config);
    let gets = [get(&client, "1"), get(&client, "2")];
    let calls = [server.next().await, server.next().await];
    let error = soon(get(&client, "3")).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Overloaded) && error.is_transient());
    for call in calls {
        call.row(&record("k", &json!({})));
    }
    for get in gets {
        soon(get).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_refuses_the_rest() {
    let mut server = Server::start().await;
    let client = server.client();
    let under_way = get(&client, "k");
    let call = server.next().await;
    let closing = client.clone();
    let close = tokio::spawn(async move { closing.close(Duration::from_secs(30)).await });
    // Calls are rejected as soon as the close has begun.
    let refused = async {
        loop {
            match client.ping(false, &CallOptions::default()).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    assert!(matches!(soon(refused).await, Error::Closed));
    call.row(&record("k", &json!({})));
    soon(under_way).await.unwrap().unwrap();
    soon(close).await.unwrap();
    assert_eq!(client.state().connections, 0);
}

/// The END frame may arrive 40 ms after the only object of an answer, and adds nothing to it.
#[tokio::test]
async fn an_answer_of_one_object_does_not_wait_for_its_end() {
    let mut server = Server::start().await;
    let client = server.client();
    let got = get(&client, "k");
    let getting = server.next().await;
    getting.data(&json!([record("k", &json!({}))]));
    assert_eq!(soon(got).await.unwrap().unwrap().key, "k");

    let putting = client.clone();
    let put =
        tokio::spawn(async move { putting.put_object("b", "k", &json!({}), &PutOptions::default()).await });
    let call = server.next().await;
    call.data(&json!([{"etag": "A"}]));
    assert_eq!(soon(put).await.unwrap().unwrap(), "A");

    let writing = client.clone();
    let batch = tokio::spawn(async move { writing.batch(&[], &CallOptions::default()).await });
    let last = server.next().await;
    last.data(&json!([{"etags": []}]));
    assert!(soon(batch).await.unwrap().unwrap().is_empty());

    // The late END frames still belong to their requests.
    for call in [getting, call, last] {
        call.end();
    }
    let again = get(&client, "again");
    server.next().await.row(&record("again", &json!({})));
    assert_eq!(soon(again).await.unwrap().unwrap().key, "again");
    assert_eq!(server.accepted(), 1);
}
