// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Pages for browsers: documentation, icon, and redirects.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use reqwest::Method;

use super::support::{BASE, TestApp, tests};

tests! {
    the_documentation_is_html_and_can_be_kept,
    links_of_the_documentation_lead_to_its_pages_and_anchors,
    only_pages_that_there_are_are_found,
    old_paths_lead_to_new_ones,
    the_icon_can_be_kept,
}

async fn the_documentation_is_html_and_can_be_kept(app: &TestApp) {
    let page = app.operator().get("/docs/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("public, max-age=3600"));
    assert!(page.text().contains("<h1 id=\"image-api\">Image API</h1>"));
    assert_eq!(app.operator().get("//docs///index.html").await.body, page.body);
    let etag = page.header("etag").unwrap();
    let kept = app.operator().call(Method::GET, "/docs/").header("if-none-match", etag).send().await;
    assert_eq!((kept.status, kept.body.len(), kept.header("etag")), (304, 0, Some(etag)));
    let other = app.operator().get("/docs/compatibility.html").await;
    assert!(other.text().contains(">Differences from sdc-imgapi 4.13.1</h1>"));
    assert_ne!(other.header("etag"), Some(etag));
}

async fn links_of_the_documentation_lead_to_its_pages_and_anchors(app: &TestApp) {
    let mut open = vec!["index.html".to_owned()];
    let mut pages = BTreeMap::new();
    while let Some(name) = open.pop() {
        if let Entry::Vacant(page) = pages.entry(name) {
            let name = page.key();
            let text = app.operator().get(&format!("/docs/{name}")).await.text().to_owned();
            open.extend(links(&text).map(|(page, _)| page.to_owned()).filter(|page| !page.is_empty()));
            page.insert(text);
        }
    }
    assert!(pages.len() > 3 && pages["index.html"].contains("<a href=\"#updateimage\">UpdateImage</a>"));
    for (name, text) in &pages {
        for (page, anchor) in links(text).filter(|(_, anchor)| !anchor.is_empty()) {
            let target = &pages[if page.is_empty() { name } else { page }];
            let count = target.matches(&format!("id=\"{anchor}\"")).count();
            assert_eq!(count, 1, "{name}: the anchor {page}#{anchor}");
        }
    }
}

/// Returns page and anchor of every link within the documentation.
fn links(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = page.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split_once('#').unwrap_or((target, "")))
}

async fn only_pages_that_there_are_are_found(app: &TestApp) {
    let mut connection = app.connect().await;
    for path in [
        "/docs/nothing",
        "/docs/index.md",
        "/docs/Index.html",
        "/docs/index.html/",
        "/docs/../Cargo.toml",
        "/docs/..%2fCargo.toml",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/docs//etc/passwd",
        "/docs/..",
    ] {
        connection.exchange(&[&format!("GET {path} HTTP/1.1"), "Host: x"]).await.not_found();
    }
}

async fn old_paths_lead_to_new_ones(app: &TestApp) {
    let mut connection = app.connect().await;
    for (path, location) in [
        ("/".to_owned(), "/docs/".to_owned()),
        ("/docs".to_owned(), "/docs/".to_owned()),
        ("/datasets?name=base".to_owned(), "/images".to_owned()),
        (format!("/datasets/{BASE}"), format!("/images/{BASE}")),
        ("/datasets/base".to_owned(), "/images?name=base".to_owned()),
        ("/datasets/sdc:sdc:base:1.8.1".to_owned(), "/images?name=base&version=1.8.1".to_owned()),
        (
            "/datasets/x%0d%0aset-cookie:%20a=b".to_owned(),
            "/images?name=x%0D%0Aset-cookie&version=+a%3Db".to_owned(),
        ),
    ] {
        let answer = connection.exchange(&[&format!("GET {path} HTTP/1.1"), "Host: x"]).await;
        assert_eq!(
            (answer.status, answer.header("location"), answer.body.len()),
            (301, Some(&*location), 0),
            "{path}"
        );
    }
    // The answer for a client that follows the redirects.
    let images = app.operator().get("/datasets/sdc:sdc:base:1.8.1").await.ok();
    assert_eq!(images[0]["uuid"], BASE);
}

async fn the_icon_can_be_kept(app: &TestApp) {
    let icon = app.operator().get("/favicon.ico").await;
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/x-icon")));
    assert_eq!(icon.header("cache-control"), Some("public, max-age=86400"));
    assert!(icon.body.starts_with(&[0, 0, 1, 0]));
    let etag = icon.header("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with("==\""), "the MD5 in base64, quoted: {etag}");
    let kept = app.operator().call(Method::GET, "/favicon.ico").header("if-none-match", etag).send().await;
    assert_eq!(kept.status, 304);
}
