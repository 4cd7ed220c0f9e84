// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The head of every request, compared with the Node.js client's, and the result of the answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use manta::{ByteRange, ContentRange, Error, GetOptions, NewObject, Precondition};

use crate::support::{Peer, both, path};

#[tokio::test]
async fn a_directory_is_put() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let (made, ()) = both(client.put_directory(&path("/admin/stor/imgapi/dc")), async {
        let request = peer.next().await;
        assert_eq!(request.line(), "PUT /admin/stor/imgapi/dc");
        let own = [
            "accept: application/json",
            "content-length: 0",
            "content-type: application/json; type=directory",
        ];
        assert_eq!(request.own_headers(), own);
        assert_eq!(request.header("accept-version"), Some("~1.0"));
        assert_eq!(request.header("host"), Some(peer.address.to_string().as_str()));
        request.no_content().await;
    })
    .await;
    made.unwrap();
}

#[tokio::test]
async fn an_object_is_deleted() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    for (etag, own) in [
        (None, vec!["accept: application/json", "content-length: 0"]),
        (Some("e-1"), vec!["accept: application/json", "content-length: 0", "if-match: e-1"]),
    ] {
        let (deleted, ()) = both(client.delete(&path("/admin/stor/imgapi/x"), etag), async {
            let request = peer.next().await;
            assert_eq!(request.line(), "DELETE /admin/stor/imgapi/x");
            assert_eq!(request.own_headers(), own);
            request.no_content().await;
        })
        .await;
        deleted.unwrap();
    }
}

#[tokio::test]
async fn a_head_tells_what_is_known() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let (known, ()) = both(client.head(&path("/admin/stor/imgapi/x")), async {
        let request = peer.next().await;
        assert_eq!(request.line(), "HEAD /admin/stor/imgapi/x");
        assert_eq!(request.own_headers(), ["accept: application/json, */*"]);
        let headers = [
            "content-length: 3",
            "content-md5: kAFQmDzST7DWlj99KOF/cg==",
            "content-type: text/plain",
            "etag: e-1",
            "last-modified: Wed, 01 Jan 2025 00:00:00 GMT",
            "m-color: blue",
        ];
        request.reply("200 OK", &headers, "").await;
    })
    .await;
    let known = known.unwrap();
    assert_eq!((known.length, known.etag.as_deref()), (Some(3), Some("e-1")));
    assert_eq!(known.md5.unwrap()[0], 0x90);
    assert_eq!(known.content_type.as_deref(), Some("text/plain"));
    assert_eq!(known.last_modified, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600)));
    assert_eq!(known.user["color"], "blue");
    assert!(!known.is_directory());
}

#[tokio::test]
async fn a_part_is_asked_for_by_range_and_etag() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let range = ByteRange { first: 2, last: Some(3) };
    let options = GetOptions { range: Some(range), etag: Some("e-1".into()), ..GetOptions::default() };
    let (object, ()) = both(client.get(&path("/admin/stor/imgapi/x y"), &options), async {
        let request = peer.next().await;
        assert_eq!(request.line(), "GET /admin/stor/imgapi/x%20y");
        assert_eq!(request.own_headers(), ["accept: */*", "if-match: e-1", "range: bytes=2-3"]);
        request.reply("206 Partial Content", &["content-range: bytes 2-3/10", "etag: e-1"], "cd").await;
    })
    .await;
    let metadata = object.unwrap().metadata;
    assert_eq!(metadata.content_range, Some(ContentRange { first: 2, last: 3, total: 10 }));
    assert_eq!(metadata.length, Some(2));
}

#[tokio::test]
async fn an_object_is_put_with_length_and_md5() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let target = path("/admin/stor/imgapi/dc/images/abc/f");
    let (stored, ()) = both(client.put_bytes(&target, Bytes::from("abc"), &NewObject::default()), async {
        let mut request = peer.next().await;
        assert_eq!(request.line(), "PUT /admin/stor/imgapi/dc/images/abc/f");
        let own = [
            "accept: application/json",
            "content-length: 3",
            "content-md5: kAFQmDzST7DWlj99KOF/cg==",
            "content-type: application/octet-stream",
        ];
        assert_eq!(request.own_headers(), own);
        assert_eq!(request.body().await.unwrap(), b"abc");
        let headers = ["etag: e-2", "computed-md5: kAFQmDzST7DWlj99KOF/cg=="];
        request.reply("204 No Content", &headers, "").await;
    })
    .await;
    let stored = stored.unwrap();
    assert_eq!((stored.etag.as_deref(), stored.md5.unwrap()[0]), (Some("e-2"), 0x90));
}

#[tokio::test]
async fn conditions_types_and_metadata_are_sent() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    for (precondition, if_match) in
        [(Precondition::Absent, "\"\""), (Precondition::Etag("e-1".into()), "e-1")]
    {
        let object = NewObject {
            content_type: Some("image/png".into()),
            precondition,
            metadata: [("color".to_owned(), "blue".to_owned())].into(),
            ..NewObject::default()
        };
        let (stored, ()) = both(client.put_bytes(&path("/admin/stor/x"), Bytes::new(), &object), async {
            let request = peer.next().await;
            assert_eq!(request.header("content-type"), Some("image/png"));
            assert_eq!(request.header("if-match"), Some(if_match));
            assert_eq!(request.header("m-color"), Some("blue"));
            assert_eq!(request.header("content-length"), Some("0"));
            request.no_content().await;
        })
        .await;
        stored.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_a_header_is_not_sent() {
    let peer = Peer::start().await;
    let client = peer.client();
    let target = path("/admin/stor/x");
    let object = NewObject { content_type: Some("a\r\nb: c".into()), ..NewObject::default() };
    for refused in [
        client.put_bytes(&target, Bytes::new(), &object).await.map(|_| ()),
        client.delete(&target, Some("a\nb")).await,
        client.put(&target, &object).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::Unprintable(_))), "{refused:?}");
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn requests_share_a_connection_and_differ_in_their_id() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let target = path("/admin/stor/x");
        let (_, id) = both(client.head(&target), async {
            let request = peer.next().await;
            let id = request.header("x-request-id").unwrap().to_owned();
            request.reply("200 OK", &[], "").await;
            id
        })
        .await;
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), peer.accepted()), (5, 1));
}

/// A future must be `Send` to be spawned in a service.
#[tokio::test]
async fn calls_can_be_spawned() {
    fn spawnable<T: Send>(_: &T) {}
    let peer = Peer::start().await;
    let client = peer.client();
    let (target, object) = (path("/admin/stor/x"), NewObject::default());
    spawnable(&client.put(&target, &object));
    spawnable(&client.put_bytes(&target, Bytes::new(), &object));
    spawnable(&client.get(&target, &GetOptions::default()));
    spawnable(&client.mkdirp(&target));
    spawnable(&client.delete(&target, None));
    spawnable(&client.list(&target));
    let using = |mut upload: manta::Upload| async move {
        upload.write(Bytes::new()).await?;
        upload.finish().await
    };
    fn spawnable_with<F: Future + Send>(_: impl Fn(manta::Upload) -> F) {}
    spawnable_with(using);
}
