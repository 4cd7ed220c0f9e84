// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Lost answers and broken connections.

use std::time::Duration;

use moray::fast::{ProtocolError, Status};
use moray::{
    BucketConfig, CallOptions, Client, DeleteOptions, Error, Precondition, PutOptions, TransportError,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Call, Server, config, deserted_address, failed, jump, record, soon};

fn get(client: &Client) -> JoinHandle<Result<moray::Object, Error>> {
    let client = client.clone();
    tokio::spawn(async move { client.get_object("b", "k", &CallOptions::default()).await })
}

fn put(client: &Client, precondition: Precondition, call: CallOptions) -> JoinHandle<Result<String, Error>> {
    let client = client.clone();
    let options = PutOptions { precondition, call };
    tokio::spawn(async move { client.put_object("b", "k", &json!({}), &options).await })
}

fn within(time: Duration) -> CallOptions {
    CallOptions { deadline: Some(time), ..CallOptions::default() }
}

#[tokio::test]
async fn unavailable_when_nobody_listens() {
    let mut config = config(deserted_address().await);
    config.unavailable_wait = Duration::from_millis(100);
    let client = Client::new(config);
    failed(&client).await;
    for error in [
        soon(get(&client)).await.unwrap().unwrap_err(),
        soon(put(&client, Precondition::MustNotExist, CallOptions::default())).await.unwrap().unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Unavailable { last: Some(_) }), "{error:?}");
        assert!(error.is_transient() && !error.is_outcome_unknown());
    }
    assert!(!client.state().is_connected());
}

#[tokio::test]
async fn calls_succeed_when_the_server_appears() {
    let address = deserted_address().await;
    let client = Client::new(config(address));
    failed(&client).await;
    let get = get(&client);
    let mut server = Server::on(address).await;
    server.next().await.row(&record("k", &json!({})));
    soon(get).await.unwrap().unwrap();
    assert_eq!(client.state().connections, 1);
}

#[tokio::test]
async fn a_server_that_accepts_and_hangs_up_is_not_a_connection() {
    let server = Server::start().await;
    server.shared.closed.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut config = server.config();
    config.unavailable_wait = Duration::from_millis(100);
    let client = Client::new(config);
    failed(&client).await;
    let error = soon(get(&client)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(server.accepted() > 0);
}

#[tokio::test]
async fn a_read_without_an_answer_ends_at_its_deadline() {
    let mut server = Server::start().await;
    let client = server.client();
    let read = get(&client);
    let late = server.next().await;
    jump(Duration::from_secs(11)).await;
    let error = soon(read).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { method: "getObject", .. }), "{error:?}");
    // The connection stays usable.
    let get = get(&client);
    let call = server.next().await;
    late.row(&record("late", &json!({})));
    call.row(&record("k", &json!({})));
    assert_eq!(soon(get).await.unwrap().unwrap().key, "k");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_write_without_an_answer_has_an_unknown_outcome() {
    let mut server = Server::start().await;
    let client = server.client();
    for precondition in [Precondition::Any, Precondition::MustNotExist] {
        let put = put(&client, precondition, within(Duration::from_secs(20)));
        let _unanswered = server.next().await;
        jump(Duration::from_secs(21)).await;
        let error = soon(put).await.unwrap().unwrap_err();
        let Error::OutcomeUnknown { method: "putObject", source } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, Error::Timeout { .. }));
        assert!(error.is_outcome_unknown());
    }
}

#[tokio::test]
async fn a_write_that_was_never_sent_has_a_known_outcome() {
    let mut config = config(deserted_address().await);
    config.unavailable_wait = Duration::from_secs(30);
    let client = Client::new(config);
    let put = put(&client, Precondition::MustNotExist, within(Duration::from_millis(50)));
    let error = soon(put).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn lost_reads_are_sent_again_up_to_three_times() {
    let mut server = Server::start().await;
    let client = server.client();
    let read = get(&client);
    server.next().await.hang_up();
    server.next().await.hang_up();
    server.next().await.row(&record("k", &json!({})));
    soon(read).await.unwrap().unwrap();
    assert_eq!(server.accepted(), 3);

    let read = get(&client);
    for _ in 0..3 {
        server.next().await.hang_up();
    }
    let error = soon(read).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Transport(TransportError::ClosedByPeer)), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn lost_writes_are_sent_again_only_when_that_is_the_same_as_once() {
    let mut server = Server::start().await;
    let client = server.client();
    let unconditional = put(&client, Precondition::Any, CallOptions::default());
    server.next().await.hang_up();
    server.next().await.row(&json!({"etag": "12345678"}));
    assert_eq!(soon(unconditional).await.unwrap().unwrap(), "12345678");

    for precondition in [Precondition::MustNotExist, Precondition::Etag("A".to_owned())] {
        let conditional = put(&client, precondition, CallOptions::default());
        server.next().await.hang_up();
        let error = soon(conditional).await.unwrap().unwrap_err();
        let Error::OutcomeUnknown { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, Error::Transport(_)));
    }
    assert!(!server.has_calls());
}

#[tokio::test]
async fn a_repeated_delete_or_create_succeeds_when_the_first_one_did() {
    let mut server = Server::start().await;
    let client = server.client();
    let deleting = client.clone();
    let delete = tokio::spawn(async move { deleting.del_object("b", "k", &DeleteOptions::default()).await });
    server.next().await.hang_up();
    server.next().await.error("ObjectNotFoundError", "b::k does not exist");
    soon(delete).await.unwrap().unwrap();

    let creating = client.clone();
    let create = tokio::spawn(async move {
        creating.create_bucket("b", &BucketConfig::default(), &CallOptions::default()).await
    });
    server.next().await.hang_up();
    server.next().await.error("BucketConflictError", "b already exists");
    soon(create).await.unwrap().unwrap();

    let delete = tokio::spawn(async move { client.del_object("b", "k", &DeleteOptions::default()).await });
    server.next().await.error("ObjectNotFoundError", "b::k does not exist");
    assert!(soon(delete).await.unwrap().unwrap_err().is_not_found(), "the first answer counts");
}

#[tokio::test]
async fn a_transient_refusal_of_a_repeated_write_does_not_hide_the_first_one() {
    let mut server = Server::start().await;
    let client = server.client();
    let write = put(&client, Precondition::Any, CallOptions::default());
    server.next().await.hang_up();
    server.next().await.error("NoDatabasePeersError", "none");
    assert!(matches!(soon(write).await.unwrap().unwrap_err(), Error::OutcomeUnknown { .. }));
    let write = put(&client, Precondition::Any, CallOptions::default());
    server.next().await.error("NoDatabasePeersError", "none");
    assert!(!soon(write).await.unwrap().unwrap_err().is_outcome_unknown());
}

/// Answers that Moray lost its connection to the database.
fn lose_database(call: &Call) {
    call.error("VError", "Postgres client failed: Connection terminated unexpectedly");
}

#[tokio::test]
async fn a_lost_database_is_as_a_lost_connection() {
    let mut server = Server::start().await;
    let client = server.client();
    let read = get(&client);
    lose_database(&server.next().await);
    lose_database(&server.next().await);
    server.next().await.row(&record("k", &json!({})));
    soon(read).await.unwrap().unwrap();

    let read = get(&client);
    for _ in 0..3 {
        lose_database(&server.next().await);
    }
    let error = soon(read).await.unwrap().unwrap_err();
    assert!(error.is_transient() && !error.is_outcome_unknown(), "{error:?}");

    let deleting = client.clone();
    let delete = tokio::spawn(async move { deleting.del_object("b", "k", &DeleteOptions::default()).await });
    lose_database(&server.next().await);
    server.next().await.error("ObjectNotFoundError", "b::k does not exist");
    soon(delete).await.unwrap().unwrap();

    let conditional = put(&client, Precondition::MustNotExist, CallOptions::default());
    lose_database(&server.next().await);
    let error = soon(conditional).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    assert!(!server.has_calls());
    assert_eq!(server.accepted(), 1, "the connection to Moray is as good as ever");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_has_done_nothing() {
    let mut server = Server::start().await;
    let client = server.client();
    let write = put(&client, Precondition::MustNotExist, CallOptions::default());
    server.next().await.error("error", "cannot execute SELECT FOR UPDATE in a read-only transaction");
    let error = soon(write).await.unwrap().unwrap_err();
    assert!(error.is_transient() && !error.is_outcome_unknown(), "{error:?}");
    assert!(!server.has_calls());
}

/// Starts two writes, lets `answer` break the protocol on one of them, and returns both errors. The client must reconnect.
async fn break_protocol(answer: impl Fn(&Call)) -> Vec<Error> {
    let mut server = Server::start().await;
    let client = server.client();
    let writes = [(); 2].map(|()| put(&client, Precondition::MustNotExist, CallOptions::default()));
    let calls = [server.next().await, server.next().await];
    answer(&calls[0]);
    let mut errors = Vec::new();
    for write in writes {
        match soon(write).await.unwrap().unwrap_err() {
            Error::OutcomeUnknown { source, .. } => errors.push(*source),
            other => panic!("{other:?}"),
        }
    }
    let get = get(&client);
    server.next().await.row(&record("k", &json!({})));
    soon(get).await.unwrap().unwrap();
    assert_eq!(server.accepted(), 2);
    errors
}

fn encoded(call: &Call, damage: impl Fn(&mut [u8])) -> Vec<u8> {
    use moray::fast::FrameCodec;
    use tokio_util::codec::Encoder;
    let mut bytes = bytes::BytesMut::new();
    FrameCodec::default().encode(call.frame(Status::End, &json!([])), &mut bytes).unwrap();
    damage(&mut bytes);
    bytes.to_vec()
}

#[tokio::test]
async fn a_bad_checksum_fails_all_that_wait_and_the_client_connects_again() {
    for error in break_protocol(|call| call.bytes(encoded(call, |bytes| bytes[10] ^= 1))).await {
        assert!(matches!(error, Error::Protocol(ProtocolError::BadCrc { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_to_nothing_fails_all_that_wait() {
    for error in break_protocol(|call| call.bytes(encoded(call, |bytes| bytes[5] = 9))).await {
        assert!(matches!(error, Error::Protocol(ProtocolError::UnknownMsgid(_))), "{error:?}");
    }
}

#[tokio::test]
async fn half_a_frame_and_the_end_fail_all_that_wait() {
    let errors = break_protocol(|call| {
        call.bytes(encoded(call, |_| {})[..20].to_vec());
        call.hang_up();
    });
    for error in errors.await {
        assert!(matches!(error, Error::Protocol(ProtocolError::IncompleteMessage(20))), "{error:?}");
    }
}

#[tokio::test]
async fn envelopes_that_are_none_fail_all_that_wait() {
    for error in break_protocol(|call| call.data(&json!({"not": "an array"}))).await {
        assert!(matches!(error, Error::Protocol(ProtocolError::BadData(_))), "{error:?}");
    }
}
