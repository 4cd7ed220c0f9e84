// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a browser asks for: documentation, icon, and redirects.

use reqwest::Method;

use super::support::{BASE, TestApp, tests};

tests! {
    the_documentation_is_html_and_can_be_kept,
    only_pages_that_there_are_are_found,
    old_paths_lead_to_new_ones,
    the_icon_can_be_kept,
}

async fn the_documentation_is_html_and_can_be_kept(app: &TestApp) {
    let page = app.operator().get("/docs/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("public, max-age=3600"));
    assert!(page.text().contains("<h1>Image API</h1>") && page.text().contains("<td>UpdateImage</td>"));
    assert_eq!(app.operator().get("//docs///index.html").await.body, page.body);
    let etag = page.header("etag").unwrap();
    let kept = app.operator().call(Method::GET, "/docs/").header("if-none-match", etag).send().await;
    assert_eq!((kept.status, kept.body.len(), kept.header("etag")), (304, 0, Some(etag)));
    let other = app.operator().get("/docs/compatibility.html").await;
    assert!(other.text().contains("<h1>Differences from sdc-imgapi 4.13.1</h1>"));
    assert_ne!(other.header("etag"), Some(etag));
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
    // What a client that follows them gets.
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
