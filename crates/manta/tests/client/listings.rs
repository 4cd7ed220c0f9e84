// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listings of directories, page by page.

use futures_util::TryStreamExt;
use manta::{Entry, EntryKind, Error};

use crate::support::{Exchange, Peer, both, path};

const DIRECTORY: &str = "content-type: application/x-json-stream; type=directory";

fn line(name: &str) -> String {
    format!(
        "{{\"name\":\"{name}\",\"type\":\"object\",\"etag\":\"e\",\"size\":3,\"mtime\":\"2025-01-01T00:00:00Z\"}}\n"
    )
}

/// Answers as Manta does if the directory contains these names.
async fn page(exchange: Exchange, names: &[String]) {
    let (_, query) = exchange.target.split_once("?limit=1024").unwrap();
    let marker = query.strip_prefix("&marker=").unwrap_or_default().to_owned();
    let from = names.iter().filter(|name| **name >= marker).take(1024);
    let body: String = from.map(|name| line(name)).collect();
    let size = format!("result-set-size: {}", names.len());
    exchange.reply("200 OK", &[DIRECTORY, &size], body).await;
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("n{number:05}")).collect()
}

/// Lists a directory whose content changes with each page.
async fn listed(pages: &[Vec<String>]) -> Vec<String> {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let directory = path("/admin/stor/d");
    let (entries, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
        for names in pages {
            page(peer.next().await, names).await;
        }
    })
    .await;
    assert!(!peer.has_more());
    entries.unwrap().into_iter().map(|entry| entry.name).collect()
}

#[tokio::test]
async fn every_entry_comes_once() {
    for length in [0, 1, 1023] {
        assert_eq!(listed(&[names(0..length)]).await, names(0..length));
    }
    for length in [1024, 1025, 2046] {
        let all = names(0..length);
        assert_eq!(listed(&[all.clone(), all.clone()]).await, all, "{length}");
    }
    for length in [2047, 3000] {
        let all = names(0..length);
        assert_eq!(listed(&[all.clone(), all.clone(), all.clone()]).await, all, "{length}");
    }
}

#[tokio::test]
async fn entries_may_come_and_go_between_the_pages() {
    // The marker was removed.
    let later: Vec<String> = names(0..1500).into_iter().filter(|name| name != "n01023").collect();
    assert_eq!(listed(&[names(0..1500), later]).await, names(0..1500));
    // One name was added before the marker, and one after it.
    let mut later = names(0..1500);
    later.extend(["a".to_owned(), "n01023b".to_owned()]);
    later.sort();
    let mut expected = names(0..1500);
    expected.insert(1024, "n01023b".into());
    assert_eq!(listed(&[names(0..1500), later]).await, expected);
    // All remaining names were removed.
    assert_eq!(listed(&[names(0..1500), names(0..1000)]).await, names(0..1024));
}

#[tokio::test]
async fn the_request_names_the_marker() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let directory = path("/admin/stor/a b");
    let mut odd = names(0..1023);
    odd.push("ö &x".into());
    let (entries, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
        let first = peer.next().await;
        assert_eq!(first.line(), "GET /admin/stor/a%20b?limit=1024");
        assert_eq!(first.own_headers(), ["accept: */*"]);
        page(first, &odd).await;
        let second = peer.next().await;
        assert_eq!(second.line(), "GET /admin/stor/a%20b?limit=1024&marker=%C3%B6%20%26x");
        let body =
            line("ö &x") + "{\"name\":\"z\",\"type\":\"directory\",\"mtime\":\"2025-01-01T00:00:00Z\"}";
        second.reply("200 OK", &[DIRECTORY], body).await;
    })
    .await;
    let entries = entries.unwrap();
    assert_eq!(entries.len(), 1025);
    assert_eq!((entries[1024].name.as_str(), entries[1024].kind), ("z", EntryKind::Directory));
    assert_eq!((entries[0].size, entries[0].etag.as_deref()), (Some(3), Some("e")));
}

#[tokio::test]
async fn a_page_that_breaks_is_asked_for_from_where_it_was() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let directory = path("/admin/stor/d");
    let (entries, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
        let mut first = peer.next().await;
        let half = &line("c")[..10];
        let body = format!("{}{}{half}", line("a"), line("b"));
        first.send(format!("HTTP/1.1 200 OK\r\n{DIRECTORY}\r\ncontent-length: 500\r\n\r\n{body}")).await;
        drop(first);
        peer.next().await.refuse("503 Service Unavailable", "ServiceUnavailable").await;
        let again = peer.next().await;
        assert!(again.target.ends_with("&marker=b"), "{}", again.target);
        page(again, &["b".into(), "c".into()]).await;
    })
    .await;
    let entries: Vec<String> = entries.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(entries, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_no_listing_is_an_error() {
    let mut peer = Peer::start().await;
    let long = "x".repeat(70_000);
    for (headers, body, problem) in [
        (DIRECTORY, "nonsense\n", "no entry"),
        (DIRECTORY, &long, "too long"),
        (DIRECTORY, "{\"name\":\"a\",\"type\":\"object\"}\n\n", "no entry"),
        ("content-type: text/plain", "abc", "not a directory"),
    ] {
        let (client, directory) = (peer.client(), path("/admin/stor/d"));
        let (refused, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
            peer.next().await.reply("200 OK", &[headers], body).await;
        })
        .await;
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_listing_that_does_not_go_on_ends() {
    let mut peer = Peer::start().await;
    let body: String = names(0..1024).iter().map(|name| line(name)).collect();
    let (client, directory) = (peer.client(), path("/admin/stor/d"));
    // The server ignores the marker.
    let (refused, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
        for _ in 0..2 {
            peer.next().await.reply("200 OK", &[DIRECTORY], &body).await;
        }
    })
    .await;
    assert!(matches!(refused, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_missing_directory_is_not_found() {
    let mut peer = Peer::start().await;
    let (client, directory) = (peer.client(), path("/admin/stor/d"));
    let (refused, ()) = both(client.list(&directory).try_collect::<Vec<Entry>>(), async {
        peer.next().await.refuse("404 Not Found", "ResourceNotFound").await;
    })
    .await;
    assert!(refused.unwrap_err().is_not_found());
}
