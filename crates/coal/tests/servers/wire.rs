// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! FAST frames on the wire.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use moray::fast::{Envelope, ErrorPayload, Frame, FrameCodec, Status, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use crate::{moray_server, within};

type Connection = Framed<TcpStream, FrameCodec>;

pub(crate) async fn connect(address: SocketAddr) -> Connection {
    Framed::new(TcpStream::connect(address).await.unwrap(), FrameCodec::default())
}

pub(crate) async fn send(connection: &mut Connection, msgid: u32, method: &str, arguments: &Value) {
    connection.send(Frame::data(Version::V2, msgid, method, arguments).unwrap()).await.unwrap();
}

/// Returns the next frame; `None` if the server closed the connection.
pub(crate) async fn receive(connection: &mut Connection) -> Option<Frame> {
    within(connection.next()).await.map(Result::unwrap)
}

/// Returns the status and the objects of a frame.
pub(crate) fn content(frame: &Frame) -> (Status, Vec<Value>) {
    if frame.status == Status::Error {
        let error = ErrorPayload::parse(&frame.payload).unwrap();
        return (frame.status, vec![json!({"name": error.name, "message": error.message})]);
    }
    let objects = Envelope::parse(&frame.payload).unwrap().into_objects();
    (frame.status, objects.map(|object| serde_json::from_str(object.get()).unwrap()).collect())
}

/// Sends a request and returns the objects of its reply, or the error.
pub(crate) async fn request(
    connection: &mut Connection,
    method: &str,
    arguments: Value,
) -> Result<Vec<Value>, Value> {
    send(connection, 1, method, &arguments).await;
    let mut objects = Vec::new();
    loop {
        let (status, mut more) = content(&receive(connection).await.expect("the server hung up"));
        match status {
            Status::Error => return Err(more.remove(0)),
            Status::Data => objects.append(&mut more),
            Status::End => {
                objects.append(&mut more);
                return Ok(objects);
            }
        }
    }
}

/// Creates a bucket `b` with the objects `k0`, `k1` and so on, all named `x`.
pub(crate) async fn fill(connection: &mut Connection, objects: usize) {
    let config = json!({"index": {"name": {"type": "string"}}});
    request(connection, "createBucket", json!(["b", config, {}])).await.unwrap();
    for i in 0..objects {
        let arguments = json!(["b", format!("k{i}"), {"name": "x"}, {}]);
        request(connection, "putObject", arguments).await.unwrap();
    }
}

#[tokio::test]
async fn every_version_is_answered_in_kind() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    for version in [Version::V1, Version::V2, Version::V1] {
        connection.send(Frame::data(version, 7, "ping", &json!([{}])).unwrap()).await.unwrap();
        let frame = receive(&mut connection).await.unwrap();
        assert_eq!((frame.version, frame.status, frame.msgid), (version, Status::End, 7));
    }
}

#[tokio::test]
async fn a_recorded_request_of_the_node_client_is_answered() {
    // node-fast 3.1.3: ping, version 2, msgid 1.
    let payload = br#"{"m":{"uts":1700000000000000,"name":"ping"},"d":[{"deep":false,"req_id":"3f9ba7ba-8c33-4b76-8f0a-cd4ac32e0bf1"}]}"#;
    let header = [2, 1, 1, 0, 0, 0, 1, 0, 0, 0x3a, 0xda, 0, 0, 0, 0x71];
    let server = moray_server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(&header).await.unwrap();
    stream.write_all(payload).await.unwrap();
    let mut answer = [0; 15];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[..7], [2, 1, 2, 0, 0, 0, 1]);
}

#[tokio::test]
async fn refusals_keep_the_connection() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    let error = request(&mut connection, "nonsense", json!([])).await.unwrap_err();
    assert_eq!(error, json!({"name": "FastError", "message": "unsupported RPC method: \"nonsense\""}));
    let error = request(&mut connection, "putObject", json!(["b", "k", {}])).await.unwrap_err();
    assert_eq!(error, json!({"name": "InvocationError", "message": "putObject expects 4 arguments"}));
    let error = request(&mut connection, "getObject", json!(["b", "", {}])).await.unwrap_err();
    assert_eq!(error["name"], "InvocationError");
    let payload = br#"{"m":{"uts":1},"d":[]}"#.to_vec().into();
    let frame = Frame { version: Version::V2, status: Status::Data, msgid: 9, payload };
    connection.send(frame).await.unwrap();
    let (_, error) = content(&receive(&mut connection).await.unwrap());
    assert_eq!(error, [json!({"name": "FastError", "message": "RPC request is not well-formed"})]);
    request(&mut connection, "ping", json!([{}])).await.unwrap();
}

#[tokio::test]
async fn breaches_of_the_protocol_close_the_connection() {
    let server = moray_server().await;
    let data = |payload: &[u8]| Frame {
        version: Version::V2,
        status: Status::Data,
        msgid: 1,
        payload: payload.to_vec().into(),
    };
    let frames = [
        data(b"{\"d\":[]}"),
        data(b"{\"m\":{\"name\":\"ping\"},\"d\":{}}"),
        data(b"not json"),
        Frame { status: Status::End, ..data(b"{\"m\":{\"name\":\"ping\"},\"d\":[]}") },
    ];
    for frame in frames {
        let mut connection = connect(server.address()).await;
        connection.send(frame.clone()).await.unwrap();
        assert!(receive(&mut connection).await.is_none(), "{frame:?}");
    }
    // Version, type, status, message id and checksum.
    for (at, byte) in [(0, 3), (1, 2), (2, 4), (3, 0x80), (10, 0)] {
        let mut header = [2, 1, 1, 0, 0, 0, 1, 0, 0, 0xd1, 0xe2, 0, 0, 0, 2];
        header[at] = byte;
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(&header).await.unwrap();
        stream.write_all(b"{}").await.unwrap();
        let mut rest = Vec::new();
        // A reset counts as an end as well.
        let _ = within(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "byte {at}");
    }
}

#[tokio::test]
async fn a_message_id_in_use_closes_the_connection() {
    let server = moray_server().await;
    server.faults().set(coal::moray::Fault::Stall);
    let mut connection = connect(server.address()).await;
    send(&mut connection, 5, "ping", &json!([{}])).await;
    send(&mut connection, 5, "ping", &json!([{}])).await;
    assert!(receive(&mut connection).await.is_none());
}

#[tokio::test]
async fn requests_of_a_client_that_has_said_all_are_still_answered() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    fill(&mut connection, 3).await;
    send(&mut connection, 2, "findObjects", &json!(["b", "(name=x)", {}])).await;
    connection.get_mut().shutdown().await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = receive(&mut connection).await {
        frames.push(frame.status);
    }
    assert_eq!(frames, [Status::Data, Status::Data, Status::Data, Status::End]);
}

#[tokio::test]
async fn an_index_may_have_the_name_of_anything_in_sql() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    let names = ["value", "type", "key", "path", "order", "rowid", "t", "element"];
    let index: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "[string]"}))).collect();
    let config = json!({"index": index});
    request(&mut connection, "createBucket", json!(["group", config, {}])).await.unwrap();
    for name in names {
        let object = json!({name: [name, "x"]});
        request(&mut connection, "putObject", json!(["group", name, object, {}])).await.unwrap();
        let find = json!(["group", format!("({name}={name})"), {"sort": {"attribute": name}}]);
        let found = request(&mut connection, "findObjects", find).await.unwrap();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0]["value"], object);
    }
    let delete = json!(["group", "(!(type=none))", {}]);
    let deleted = request(&mut connection, "deleteMany", delete).await.unwrap();
    assert_eq!(deleted, [json!({"count": 1})], "a missing array is neither a match nor none");
}

#[tokio::test]
async fn garbage_harms_only_its_own_connection() {
    let server = moray_server().await;
    let mut connection = connect(server.address()).await;
    let mut seed: u32 = 1;
    for length in 0..64 {
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            // A linear congruential generator: the same bytes in every run.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(length * 8)
        .collect();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = within(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty());
    }
    request(&mut connection, "ping", json!([{}])).await.unwrap();
}
