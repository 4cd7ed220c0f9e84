// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The faults of Moray.

use coal::moray::{Fault, FaultRule, Location, MorayServer};
use moray::fast::Status;
use serde_json::json;

use crate::wire::{connect, content, fill, receive, request, send};
use crate::{FREE_PORT, moray_server, within};

#[tokio::test]
async fn a_lost_database_has_two_names() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    server.faults().set(FaultRule::new(Fault::Refuse).times(1));
    server.faults().set(FaultRule::new(Fault::NoDatabasePeers).times(1));
    let error = request(&mut connection, "ping", json!([{}])).await.unwrap_err();
    assert_eq!(error, json!({"name": "Error", "message": "connect ECONNREFUSED"}));
    let error = request(&mut connection, "ping", json!([{}])).await.unwrap_err();
    assert_eq!(error["name"], "NoDatabasePeersError");
    request(&mut connection, "ping", json!([{}])).await.unwrap();
}

#[tokio::test]
async fn a_stalled_request_is_overtaken() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    fill(&mut connection, 1).await;
    server.faults().set(FaultRule::new(Fault::Stall).method("findObjects"));
    send(&mut connection, 1, "findObjects", &json!(["b", "(name=x)", {}])).await;
    send(&mut connection, 2, "ping", &json!([{}])).await;
    assert_eq!(receive(&mut connection).await.unwrap().msgid, 2);
    within(server.faults().wait_applied(1)).await;
    server.faults().clear();
    let frame = receive(&mut connection).await.unwrap();
    assert_eq!((frame.msgid, content(&frame).1.len()), (1, 1));
}

#[tokio::test]
async fn a_write_may_be_applied_and_its_answer_lost() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    fill(&mut connection, 0).await;
    server.faults().set(FaultRule::new(Fault::HangUpAfterWrite).times(1));
    request(&mut connection, "ping", json!([{}])).await.unwrap();
    send(&mut connection, 1, "putObject", &json!(["b", "k", {"name": "x"}, {}])).await;
    assert!(receive(&mut connection).await.is_none());
    let mut connection = connect(server.address()).await;
    let found = request(&mut connection, "getObject", json!(["b", "k", {}])).await.unwrap();
    assert_eq!(found[0]["value"], json!({"name": "x"}));
}

#[tokio::test]
async fn a_reply_may_break_off_or_end_with_its_objects() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    fill(&mut connection, 2).await;
    let find = json!(["b", "(name=x)", {"sort": {"attribute": "_id"}}]);
    server.faults().set(FaultRule::new(Fault::ErrorAfterData).times(1));
    server.faults().set(FaultRule::new(Fault::RowsInEnd).times(1));
    send(&mut connection, 1, "findObjects", &find).await;
    let (status, objects) = content(&receive(&mut connection).await.unwrap());
    assert_eq!((status, objects.len()), (Status::Data, 1));
    assert_eq!(receive(&mut connection).await.unwrap().status, Status::Error);
    send(&mut connection, 1, "findObjects", &find).await;
    let (status, objects) = content(&receive(&mut connection).await.unwrap());
    assert_eq!((status, objects.len()), (Status::End, 2));
}

#[tokio::test]
async fn a_stopped_server_comes_back_on_its_port_with_its_data() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("moray.sqlite");
    let server = MorayServer::bind(FREE_PORT, Location::File(file.clone())).await.unwrap();
    let mut connection = connect(server.address()).await;
    fill(&mut connection, 1).await;
    within(server.stop()).await;
    assert!(receive(&mut connection).await.is_none());
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err());
    server.start().await.unwrap();
    let mut connection = connect(server.address()).await;
    request(&mut connection, "getObject", json!(["b", "k0", {}])).await.unwrap();
    drop(server);
    let server = MorayServer::bind(FREE_PORT, Location::File(file)).await.unwrap();
    let mut connection = connect(server.address()).await;
    request(&mut connection, "getObject", json!(["b", "k0", {}])).await.unwrap();
}
