// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AddImageFileFromUrl. By default the service fetches nothing from this host, so most of these tests start their own service.

use coal::datacenter::DatacenterBuilder;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    Answer, Authority, BASE, Foreign, LUKE, NOBODY, Script, TestApp, md5_of, sha1_of, tests, wait_until,
};

tests! {
    a_file_is_fetched_and_described,
    redirects_are_followed_to_their_end,
    redirects_lead_nowhere_else,
    only_a_whole_file_is_taken,
    a_certificate_has_to_be_trusted,
    a_silent_server_is_given_up,
    a_deletion_ends_the_download,
    nothing_is_fetched_from_this_host_or_its_links,
    parameters_are_checked_in_order,
    mistakes_of_the_body_are_named,
    an_encoded_answer_is_taken_only_with_a_digest,
    the_md5_of_the_answer_has_to_be_right,
}

const QUERY: &str = "compression=gzip";

/// A service that may fetch from one server of this host, and a server that it must not contact.
struct Stage {
    app: TestApp,
    server: Foreign,
    forbidden: Foreign,
    uuid: String,
    // The service reads its certificate with the first fetch.
    _authority: Authority,
}

impl Stage {
    async fn start(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> Stage {
        let authority = Authority::new();
        let app = TestApp::start_with(|dc| {
            let dc = dc.imgapi_environment("SSL_CERT_FILE", authority.path());
            build(dc.imgapi_config("fileUrlDeny", json!(["127.0.0.2", "169.254.0.0/16"])))
        })
        .await;
        let server = Foreign::https("127.0.0.1", &authority).await;
        let forbidden = Foreign::https("127.0.0.2", &authority).await;
        forbidden.on("/file", Script::answer(200, &[], "secret"));
        let uuid = app.luke().has_image(json!({})).await;
        Stage { app, server, forbidden, uuid, _authority: authority }
    }

    /// Fetches the file at this path of the server.
    async fn fetch(&self, path: &str) -> Answer {
        self.app.luke().add_file_from_url(&self.uuid, QUERY, &self.server.url(path)).await
    }

    /// Checks that the failed fetches have left nothing, and stops everything.
    async fn end_without_file(self) {
        assert_eq!(self.app.luke().get_image(&self.uuid).await.ok()["files"], json!([]));
        self.app.luke().download(&self.uuid).await.not_found();
        assert!(!self.app.file(&self.uuid).exists());
        assert_eq!(self.forbidden.connections(), 0);
        self.app.stop().await;
    }
}

async fn a_file_is_fetched_and_described(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc.imgapi_config("serverName", "imgapi-under-test/1")).await;
    let Stage { app, server, uuid, .. } = &stage;
    let bytes = vec![3; 3_000_001];
    server.on("/a%20file?signature=hidden&b=c", Script::answer(200, &[], &bytes));
    let sha1 = sha1_of(&bytes);
    let query = format!("compression=xz&sha1={sha1}&dataset_guid=123");
    let url = server.url("/a%20file?signature=hidden&b=c#d").replace("https://", "https://user:word@");
    let image = app.luke().add_file_from_url(uuid, &query, &url).await;
    let expected = json!([{"sha1": sha1, "size": 3_000_001, "compression": "xz", "dataset_guid": "123"}]);
    assert_eq!(image.ok()["files"], expected);
    assert!(image.header("etag").is_some());
    assert_eq!(app.luke().download(uuid).await.body, bytes);
    let head = server.heads().concat().to_lowercase();
    assert!(head.contains("user-agent: imgapi-under-test/1\r\n"), "{head}");
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    for name in ["authorization", "request-id", "cookie", "range"] {
        assert!(!head.contains(&format!("{name}:")), "{head}");
    }
    wait_until("an audit record", async || {
        app.log().into_iter().find(|record| record["route"] == "addimagefilefromurl")
    })
    .await;
    let log = std::fs::read_to_string(app.dc.log_file()).unwrap();
    assert!(log.contains("signature=***") && !log.contains("hidden") && !log.contains("user:word"));
    let without_length =
        Script::raw(200, &["Transfer-Encoding: chunked"], "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    server.on("/chunked", without_length);
    assert_eq!(stage.fetch("/chunked").await.ok()["files"][0]["sha1"], sha1_of(b"abcde"));
    server.on("/to-the-end", Script::raw(200, &[], "until the end"));
    assert_eq!(stage.fetch("/to-the-end").await.ok()["files"][0]["sha1"], sha1_of(b"until the end"));
    app.luke().activate(uuid).await.ok();
    stage.fetch("/chunked").await.refused(422, "ImageFilesImmutable");
    stage.app.stop().await;
}

async fn redirects_are_followed_to_their_end(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let server = &stage.server;
    server.on("/file", Script::answer(200, &[], "bytes"));
    for status in [301, 302, 303, 307, 308] {
        server.on(&format!("/r/{status}"), Script::redirect(status, "../file"));
        assert_eq!(stage.fetch(&format!("/r/{status}")).await.ok()["files"][0]["size"], 5, "{status}");
    }
    let port = server.address.port();
    server.on("/by-name", Script::redirect(302, &format!("https://localhost:{port}/file")));
    stage.fetch("/by-name").await.ok();
    for n in 1..=6 {
        server.on(&format!("/{n}"), Script::redirect(302, &format!("/{}", n - 1)));
    }
    server.on("/0", Script::answer(200, &[], "bytes"));
    stage.fetch("/5").await.ok();
    stage.fetch("/6").await.refused(400, "Download");
    server.on("/loop", Script::redirect(302, "/loop"));
    let before = server.connections();
    stage.fetch("/loop").await.refused(400, "Download");
    assert_eq!(server.connections() - before, 6);
    stage.app.stop().await;
}

async fn redirects_lead_nowhere_else(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let plain = Foreign::http("127.0.0.1").await;
    plain.on("/file", Script::answer(200, &[], "bytes"));
    let mapped = format!("https://[::ffff:127.0.0.2]:{}/file", stage.forbidden.address.port());
    let elsewhere = [
        plain.url("/file"),
        stage.forbidden.url("/file"),
        mapped,
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "https://".to_owned(),
    ];
    for (n, location) in elsewhere.iter().enumerate() {
        stage.server.on(&format!("/{n}"), Script::redirect(302, location));
        stage.fetch(&format!("/{n}")).await.refused(400, "Download");
        let direct = stage.app.luke().add_file_from_url(&stage.uuid, QUERY, location).await;
        assert!(matches!(direct.status, 400 | 422), "{direct:?}");
    }
    stage.server.on("/nowhere", Script::raw(302, &["Content-Length: 0"], ""));
    stage.fetch("/nowhere").await.refused(400, "Download");
    assert_eq!(plain.connections(), 0);
    stage.end_without_file().await;
}

async fn only_a_whole_file_is_taken(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let chunked = &["Transfer-Encoding: chunked"];
    let cases = [
        ("/empty", Script::answer(200, &[], "")),
        ("/no-content", Script::raw(204, &[], "")),
        ("/part", Script::answer(206, &["Content-Range: bytes 0-4/10"], "bytes")),
        ("/missing", Script::answer(404, &[], "no")),
        ("/broken", Script::json(500, &json!({"code": "InternalError", "message": "x"}))),
        ("/short", Script::raw(200, &["Content-Length: 100"], "bytes")),
        ("/cut", Script::raw(200, &["Content-Length: 100"], "bytes").and_cut()),
        ("/cut-chunk", Script::raw(200, chunked, "ff\r\nbytes").and_cut()),
        ("/no-last-chunk", Script::raw(200, chunked, "5\r\nbytes\r\n")),
        ("/bad-chunk", Script::raw(200, chunked, "xyz\r\nbytes\r\n")),
        // The length is not announced, and the connection ends without the TLS close message.
        ("/cut-without-length", Script::raw(200, &[], "bytes").and_cut()),
        ("/no-http", Script::raw(200, &["nonsense"], "bytes")),
        ("/two-lengths", Script::raw(200, &["Content-Length: 5", "Content-Length: 6"], "bytes")),
    ];
    for (path, script) in cases {
        stage.server.on(path, script);
        let refusal = stage.fetch(path).await.refused(400, "Download");
        assert!(!refusal.message.contains(path), "{refusal:?}");
    }
    stage.server.on("/huge", Script::raw(200, &["Content-Length: 21474836481"], "bytes").and_hang());
    stage.fetch("/huge").await.refused(400, "Upload");
    stage.server.on("/file", Script::answer(200, &[], "bytes"));
    let query = format!("{QUERY}&sha1={}", sha1_of(b"others"));
    let wrong = stage.app.luke().add_file_from_url(&stage.uuid, &query, &stage.server.url("/file")).await;
    assert!(wrong.refused(400, "Download").message.contains(&sha1_of(b"bytes")));
    stage.end_without_file().await;
}

async fn a_certificate_has_to_be_trusted(_shared: &TestApp) {
    // The setting that accepts any certificate of other IMGAPIs does not apply here.
    let stage = Stage::start(|dc| dc.imgapi_config("allowInsecure", true)).await;
    let stranger = Foreign::https("127.0.0.1", &Authority::new()).await;
    stranger.on("/file", Script::answer(200, &[], "bytes"));
    let url = stranger.url("/file");
    stage.app.luke().add_file_from_url(&stage.uuid, QUERY, &url).await.refused(400, "Download");
    stage.server.on("/away", Script::redirect(302, &url));
    stage.fetch("/away").await.refused(400, "Download");
    assert_eq!((stranger.connections(), stranger.heads().len()), (2, 0));
    stage.end_without_file().await;
}

async fn a_silent_server_is_given_up(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc.imgapi_config("transferIdleSeconds", 1)).await;
    stage.server.on("/silent", Script::silence());
    stage.server.on("/stalled", Script::raw(200, &["Content-Length: 100"], "bytes").and_hang());
    for path in ["/silent", "/stalled"] {
        stage.fetch(path).await.refused(400, "Download");
    }
    stage.end_without_file().await;
}

async fn a_deletion_ends_the_download(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let Stage { app, server, .. } = &stage;
    server.on("/endless", Script::raw(200, &["Transfer-Encoding: chunked"], "5\r\nbytes\r\n").and_hang());
    server.on("/silent", Script::silence());
    for (path, begins) in [("/endless", true), ("/silent", false)] {
        let uuid = app.luke().has_image(json!({})).await;
        let (url, before) = (server.url(path), server.heads().len());
        let deletion = async {
            wait_until("the download is under way", async || {
                (server.heads().len() > before && app.has_unfinished() == begins).then_some(())
            })
            .await;
            app.luke().delete(&uuid).await.gone();
        };
        let (answer, ()) = tokio::join!(app.luke().add_file_from_url(&uuid, QUERY, &url), deletion);
        answer.not_found();
        app.nothing_unfinished().await;
    }
    stage.app.stop().await;
}

async fn nothing_is_fetched_from_this_host_or_its_links(app: &TestApp) {
    let authority = Authority::new();
    let server = Foreign::https("127.0.0.1", &authority).await;
    let port = server.address.port();
    let uuid = app.luke().has_image(json!({})).await;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
    ];
    for host in hosts {
        let url = format!("https://{host}:{port}/file");
        let refusal = app.luke().add_file_from_url(&uuid, QUERY, &url).await.refused(400, "Download");
        assert!(refusal.message.contains("not allowed"), "{host}: {refusal:?}");
    }
    assert_eq!(server.connections(), 0);
}

async fn parameters_are_checked_in_order(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let path = |uuid: &str, query: &str| format!("/images/{uuid}/file/from-url?{query}");
    let post =
        async |path: String, body: Value| app.operator().call(Method::POST, &path).json(&body).send().await;
    let garbage = |path: String| {
        app.operator().call(Method::POST, &path).header("content-type", "application/json").body("{").send()
    };
    garbage(path(NOBODY, "")).await.not_found();
    garbage(path(&uuid, "account=x")).await.refused_field("InvalidParameter", "account", "Invalid");
    let vader = app.vader().call(Method::POST, &path(BASE, "compression=gzip")).json(&json!({}));
    vader.send().await.refused(422, "NotImageOwner");
    garbage(path(&uuid, "")).await.refused(400, "InvalidContent");
    post(path(BASE, ""), json!({})).await.refused(422, "ImageFilesImmutable");
    post(path(&uuid, ""), json!({})).await.refused_field("InvalidParameter", "compression", "Missing");
    post(path(&uuid, "compression=zip"), json!({})).await.refused_field(
        "InvalidParameter",
        "compression",
        "Invalid",
    );
    let storage = format!("compression=gzip&storage=local&account={LUKE}");
    post(path(&uuid, &storage), json!({})).await.refused_field("InvalidParameter", "file_url", "Missing");
    let http = json!({"file_url": "http://example.com/"});
    post(path(&uuid, &storage), http).await.refused_field("InvalidParameter", "file_url", "Invalid");
    let https = json!({"file_url": "https://169.254.0.1/"});
    post(path(&uuid, &storage), https.clone()).await.refused_field(
        "InvalidParameter",
        "storage",
        "NotAllowed",
    );
    let nfs = path(&uuid, "compression=gzip&storage=nfs");
    post(nfs, https).await.refused_field("InvalidParameter", "storage", "Invalid");
    app.operator().get(&path(&uuid, "")).await.refused(405, "MethodNotAllowedError");
}

async fn mistakes_of_the_body_are_named(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let path = format!("/images/{uuid}/file/from-url?{QUERY}");
    let missing = [json!({}), json!([]), json!(null), json!("x"), json!(5), json!({"file_url": null})];
    for body in missing {
        let answer = app.luke().call(Method::POST, &path).json(&body).send().await;
        answer.refused_field("InvalidParameter", "file_url", "Missing");
    }
    app.luke().call(Method::POST, &path).send().await.refused_field(
        "InvalidParameter",
        "file_url",
        "Missing",
    );
    let invalid = [
        json!(""),
        json!(5),
        json!(false),
        json!(["https://h/"]),
        json!({"a": 1}),
        json!(""),
        json!("ftp://h/"),
        json!("https:"),
        json!("https:h/"),
        json!("https:/h/"),
        json!("https:///h/"),
    ];
    for url in invalid {
        let answer = app.luke().call(Method::POST, &path).json(&json!({"file_url": url})).send().await;
        answer.refused_field("InvalidParameter", "file_url", "Invalid");
    }
    for url in ["https://", "https://h:x/", "HTTPS://h:x/"] {
        app.luke().add_file_from_url(&uuid, QUERY, url).await.refused(400, "Download");
    }
}

async fn an_encoded_answer_is_taken_only_with_a_digest(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let Stage { app, server, uuid, .. } = &stage;
    for encoding in ["gzip", "x-gzip", "br", "identity, gzip"] {
        let script = Script::answer(200, &[&format!("Content-Encoding: {encoding}")], "encoded");
        server.on("/encoded", script);
        let refusal = stage.fetch("/encoded").await.refused(400, "Download");
        assert!(refusal.message.contains("encoded as"), "{refusal:?}");
        let url = server.url("/encoded");
        let other = format!("{QUERY}&sha1={}", sha1_of(b"decoded"));
        app.luke().add_file_from_url(uuid, &other, &url).await.refused(400, "Download");
        assert_eq!(app.luke().get_image(uuid).await.ok()["files"], json!([]), "{encoding}");
    }
    server.on("/plain", Script::answer(200, &["Content-Encoding: identity"], "bytes"));
    stage.fetch("/plain").await.ok();
    // Some servers send this header for files whose names end in .gz.
    let right = format!("{QUERY}&sha1={}", sha1_of(b"encoded").to_uppercase());
    server.on("/file.gz", Script::answer(200, &["Content-Encoding: x-gzip"], "encoded"));
    app.luke().add_file_from_url(uuid, &right, &server.url("/file.gz")).await.ok();
    assert_eq!(app.luke().download(uuid).await.text(), "encoded");
    let with = async |sha1: &str| {
        app.luke().add_file_from_url(uuid, &format!("{QUERY}&sha1={sha1}"), &server.url("/file.gz")).await
    };
    with("x").await.refused(400, "Download");
    with("").await.refused_field("InvalidParameter", "sha1", "Invalid");
    stage.app.stop().await;
}

async fn the_md5_of_the_answer_has_to_be_right(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let script = |md5: &str| Script::answer(200, &[&format!("Content-MD5: {md5}")], "bytes");
    stage.server.on("/right", script(&md5_of(b"bytes")));
    stage.server.on("/wrong", script(&md5_of(b"others")));
    stage.server.on("/malformed", script("4b3a6218bb3e3a7303e8a171a60fcf92"));
    stage.fetch("/wrong").await.refused(400, "BadDigest");
    let malformed = stage.fetch("/malformed").await.refused(400, "Download");
    assert!(malformed.message.contains("Content-MD5"), "{malformed:?}");
    assert_eq!(stage.app.luke().get_image(&stage.uuid).await.ok()["files"], json!([]));
    stage.fetch("/right").await.ok();
    stage.app.stop().await;
}
