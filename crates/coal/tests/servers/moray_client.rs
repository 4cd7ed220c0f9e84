// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Moray with the client of this workspace.

use coal::moray::MorayServer;
use moray::{
    Attribute, BucketConfig, CallOptions, Client, Config, DeleteManyOptions, DeleteOptions, Filter,
    FindOptions, Index, IndexType, Order, Precondition, PutOptions, ServerErrorKind, Sort,
};
use serde_json::{Value, json};

use crate::{moray_server, within};

const NAME: Attribute = Attribute::from_static("name");
const SIZE: Attribute = Attribute::from_static("size");

async fn client(server: &MorayServer) -> Client {
    let client = Client::new(Config::direct("127.0.0.1", server.address().port()));
    let index = |index_type, unique| Index { index_type, unique };
    let config = BucketConfig {
        index: [
            ("name".to_owned(), index(IndexType::String, false)),
            ("code".to_owned(), index(IndexType::String, true)),
            ("size".to_owned(), index(IndexType::Number, false)),
        ]
        .into(),
        ..BucketConfig::default()
    };
    client.create_bucket("b", &config, &CallOptions::default()).await.unwrap();
    client
}

async fn put(
    client: &Client,
    key: &str,
    value: Value,
    precondition: Precondition,
) -> Result<String, moray::Error> {
    let options = PutOptions { precondition, ..PutOptions::default() };
    within(client.put_object("b", key, &value, &options)).await
}

#[tokio::test]
async fn an_object_lives_and_dies() {
    let server = moray_server().await;
    let client = client(&server).await;
    let value = json!({"name": "é(*)\\", "size": 1.5, "free": [null, {"a": true}]});
    let etag = put(&client, "k", value.clone(), Precondition::MustNotExist).await.unwrap();
    let object = client.get_object("b", "k", &CallOptions::default()).await.unwrap();
    assert_eq!(object.value_as::<Value>().unwrap(), value);
    assert_eq!(object.etag, etag);
    let conflict = put(&client, "k", json!({}), Precondition::MustNotExist).await.unwrap_err();
    assert!(conflict.is_conflict(), "{conflict}");
    put(&client, "k", json!({"size": 2}), Precondition::Etag(etag.clone())).await.unwrap();
    let conflict = put(&client, "k", json!({}), Precondition::Etag(etag)).await.unwrap_err();
    assert_eq!(conflict.server_kind(), Some(ServerErrorKind::EtagConflict));
    client.del_object("b", "k", &DeleteOptions::default()).await.unwrap();
    let missing = client.get_object("b", "k", &CallOptions::default()).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
}

#[tokio::test]
async fn a_unique_value_is_taken_once() {
    let server = moray_server().await;
    let client = client(&server).await;
    put(&client, "a", json!({"code": "x"}), Precondition::Any).await.unwrap();
    let error = put(&client, "b", json!({"code": "x"}), Precondition::Any).await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::UniqueAttribute));
    put(&client, "c", json!({}), Precondition::Any).await.unwrap();
    put(&client, "d", json!({}), Precondition::Any).await.unwrap();
}

#[tokio::test]
async fn searches_are_filtered_sorted_and_counted() {
    let server = moray_server().await;
    let client = client(&server).await;
    for (key, name, size) in [("a", "x(1)", 3), ("b", "x*2", 1), ("c", "y", 2)] {
        put(&client, key, json!({"name": name, "size": size}), Precondition::Any).await.unwrap();
    }
    put(&client, "d", json!({"name": "x"}), Precondition::Any).await.unwrap();
    let find = async |filter: Filter, limit, order| {
        let options =
            FindOptions { limit, sort: vec![Sort { attribute: SIZE, order }], ..FindOptions::default() };
        let found = within(client.find_all("b", &filter, &options)).await.unwrap();
        let count = found.first().and_then(|object| object.count);
        (found.into_iter().map(|object| object.key).collect::<Vec<_>>(), count)
    };
    let starts = || Filter::starts_with(NAME, "x");
    assert_eq!(find(starts(), Some(2), Order::Ascending).await, (vec!["b".into(), "a".into()], Some(3)));
    assert_eq!(find(starts(), Some(1), Order::Descending).await, (vec!["d".into()], Some(3)));
    assert_eq!(find(Filter::eq(NAME, "x(1)"), None, Order::Ascending).await.0, ["a"]);
    assert_eq!(find(Filter::contains(NAME, "*"), None, Order::Ascending).await.0, ["b"]);
    assert_eq!(find(Filter::not(Filter::present(SIZE)), None, Order::Ascending).await.0, ["d"]);
    let both = Filter::all_of([Filter::ge(SIZE, "2"), Filter::le(SIZE, "2")]).unwrap();
    assert_eq!(find(both, None, Order::Ascending).await.0, ["c"]);
    let deleted = client.delete_many("b", &starts(), &DeleteManyOptions::default()).await.unwrap();
    assert_eq!(deleted, 3);
}

#[tokio::test]
async fn a_filter_with_thousands_of_operands_is_answered() {
    let server = moray_server().await;
    let client = client(&server).await;
    put(&client, "k", json!({"name": "n2999"}), Precondition::Any).await.unwrap();
    let filter = Filter::any_of((0..3000).map(|i| Filter::eq(NAME, format!("n{i}")))).unwrap();
    let found = within(client.find_all("b", &filter, &FindOptions::default())).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn the_client_finds_a_server_that_was_away() {
    let server = moray_server().await;
    let client = client(&server).await;
    put(&client, "k", json!({}), Precondition::Any).await.unwrap();
    server.stop().await;
    let error = client.get_object("b", "k", &CallOptions::default()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.start().await.unwrap();
    within(async {
        while client.get_object("b", "k", &CallOptions::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn of_many_that_create_one_object_one_succeeds() {
    let server = moray_server().await;
    let client = client(&server).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..20 {
        let client = client.clone();
        writers.spawn(
            async move { put(&client, "k", json!({"size": writer}), Precondition::MustNotExist).await },
        );
    }
    let outcomes = within(writers.join_all()).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(moray::Error::is_conflict));
}
