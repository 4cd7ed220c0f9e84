// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Directories that are created on the way, and known directories.

use bytes::Bytes;
use manta::{Client, ErrorCode, NewObject};

use crate::support::{Peer, both, path};

/// Returns the request lines of a call whose requests are all answered with success.
async fn lines<T>(
    peer: &mut Peer,
    call: impl Future<Output = Result<T, manta::Error>>,
    count: usize,
) -> Vec<String> {
    let (result, lines) = both(call, async {
        let mut lines = Vec::new();
        for _ in 0..count {
            let request = peer.next().await;
            lines.push(request.line());
            request.no_content().await;
        }
        lines
    })
    .await;
    assert!(result.is_ok());
    assert!(!peer.has_more());
    lines
}

async fn make(peer: &mut Peer, client: &Client, directory: &str, count: usize) -> Vec<String> {
    lines(peer, client.mkdirp(&path(directory)), count).await
}

#[tokio::test]
async fn directories_are_made_from_the_outside_and_once() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let made = make(&mut peer, &client, "/admin/stor/imgapi/dc/images", 3).await;
    let expected =
        ["PUT /admin/stor/imgapi", "PUT /admin/stor/imgapi/dc", "PUT /admin/stor/imgapi/dc/images"];
    assert_eq!(made, expected);
    assert!(make(&mut peer, &client, "/admin/stor/imgapi/dc", 0).await.is_empty());
    assert!(make(&mut peer, &client, "/admin/stor", 0).await.is_empty());
    let made = make(&mut peer, &client.clone(), "/admin/stor/imgapi/dc/images/abc", 1).await;
    assert_eq!(made, ["PUT /admin/stor/imgapi/dc/images/abc"]);
}

#[tokio::test]
async fn a_directory_that_was_deleted_is_made_again() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    make(&mut peer, &client, "/admin/stor/a/b", 2).await;
    lines(&mut peer, client.delete(&path("/admin/stor/a/b"), None), 1).await;
    assert_eq!(make(&mut peer, &client, "/admin/stor/a/b", 1).await, ["PUT /admin/stor/a/b"]);
}

#[tokio::test]
async fn a_directory_that_somebody_else_removed_is_made_again() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    make(&mut peer, &client, "/admin/stor/a/b", 2).await;
    let directory = path("/admin/stor/a/b/c");
    let (made, lines) = both(client.mkdirp(&directory), async {
        peer.next().await.refuse("404 Not Found", "DirectoryDoesNotExist").await;
        let mut lines = Vec::new();
        for _ in 0..3 {
            let request = peer.next().await;
            lines.push(request.line());
            request.no_content().await;
        }
        lines
    })
    .await;
    made.unwrap();
    assert_eq!(lines, ["PUT /admin/stor/a", "PUT /admin/stor/a/b", "PUT /admin/stor/a/b/c"]);
}

#[tokio::test]
async fn directories_that_cannot_be_made_are_an_error() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let directory = path("/admin/stor/a/b");
    let (refused, ()) = both(client.mkdirp(&directory), async {
        peer.next().await.refuse("400 Bad Request", "ParentNotDirectory").await;
    })
    .await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::ParentNotDirectory));
    assert!(!peer.has_more());
}

#[tokio::test]
async fn an_object_brings_its_directories() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let object = NewObject { make_directories: true, ..NewObject::default() };
    let target = path("/admin/stor/a/f");
    let put = client.put_bytes(&target, Bytes::from("abc"), &object);
    assert_eq!(lines(&mut peer, put, 2).await, ["PUT /admin/stor/a", "PUT /admin/stor/a/f"]);
    let put = client.put_bytes(&target, Bytes::from("abc"), &object);
    assert_eq!(lines(&mut peer, put, 1).await, ["PUT /admin/stor/a/f"]);
    // The directory was removed meanwhile.
    let (upload, _exchange) = both(client.put(&target, &object), async {
        peer.next().await.refuse("404 Not Found", "DirectoryDoesNotExist").await;
        let request = peer.next().await;
        assert_eq!(request.line(), "PUT /admin/stor/a");
        request.no_content().await;
        let mut exchange = peer.next().await;
        exchange.go_on().await;
        exchange
    })
    .await;
    upload.unwrap();
}
