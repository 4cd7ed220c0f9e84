// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files and manifests from another IMGAPI. These tests start their own servers.

use serde_json::{Value, json};

use super::support::{
    ADMIN, Answer, Authority, Foreign, LUKE, NOBODY, Script, TestApp, fresh, md5_of, merged, sha1_of, tests,
    wait_until,
};

tests! {
    an_image_moves_from_one_datacenter_to_another,
    the_source_knows_who_calls,
    a_source_has_a_path_and_a_channel,
    the_source_says_what_the_file_is,
    what_is_no_imgapi_is_a_remote_error,
    a_manifest_is_imported_in_the_order_of_checks,
    the_parameters_of_a_source_are_checked_in_order,
    certificates_are_checked_unless_told_otherwise,
    sources_are_called_through_the_proxy,
    denied_addresses_are_no_sources,
    one_of_several_ways_wins_with_whole_bytes,
}

/// Returns a manifest of another server, with a file.
fn manifest(uuid: &str, bytes: &[u8], changes: Value) -> Value {
    let shown = json!({
        "v": 2, "uuid": uuid, "owner": ADMIN, "name": "far", "version": "1.0.0", "state": "active", "disabled": false,
        "public": true, "published_at": "2020-01-02T03:04:05.678Z", "type": "zone-dataset", "os": "smartos",
        "files": [{"sha1": sha1_of(bytes), "size": bytes.len(), "compression": "gzip"}], "channels": ["dev"],
    });
    merged(shown, changes)
}

/// Starts a server that has this image.
async fn source(uuid: &str, manifest: &Value, bytes: impl AsRef<[u8]>) -> Foreign {
    let source = Foreign::http("127.0.0.1").await;
    source.on(&format!("/images/{uuid}"), Script::json(200, manifest));
    source.on(&format!("/images/{uuid}/file"), Script::answer(200, &[], bytes));
    source
}

fn assert_remote_error(answer: &Answer, part: &str) {
    let refusal = answer.refused(503, "RemoteSourceError");
    assert!(refusal.message.contains(part), "{refusal:?}");
}

async fn an_image_moves_from_one_datacenter_to_another(far: &TestApp) {
    let near = TestApp::start_empty().await;
    let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n >> 7) as u8).collect();
    let uuid =
        far.operator().has_image(json!({"owner": ADMIN, "description": "d", "tags": {"a": true}})).await;
    let query = format!("compression=bzip2&dataset_guid=42&sha1={}", sha1_of(&bytes));
    far.operator().upload(&uuid, &query, bytes.clone()).await.ok();
    let original = far.operator().activate(&uuid).await.ok();
    let url = far.dc.imgapi_url().unwrap();

    let imported = near.operator().import_from_source(&uuid, "", &url).await;
    assert_eq!(imported.ok()["state"], "unactivated");
    assert_eq!(near.operator().get_image(&uuid).await.header("etag"), imported.header("etag"));
    assert_eq!(near.operator().add_file_from_source(&uuid, &url).await.ok()["files"], original["files"]);
    assert_eq!(near.operator().activate(&uuid).await.ok(), original);
    assert_eq!(near.operator().download(&uuid).await.body, bytes);

    near.operator().import_from_source(&uuid, "", &url).await.refused(409, "ImageUuidAlreadyExists");
    near.operator().add_file_from_source(&uuid, &url).await.refused(422, "ImageFilesImmutable");
    let unknown = near.operator().import_from_source(NOBODY, "", &url).await;
    assert_remote_error(&unknown, "404 ResourceNotFound");
    near.stop().await;
}

async fn the_source_knows_who_calls(far: &TestApp) {
    let near = TestApp::start_with(|dc| dc.imgapi_config("serverName", "near/1")).await;
    let uuid = far.operator().has_image_with_file(json!({"owner": ADMIN}), b"x").await;
    let id = fresh();
    for (method, target) in [
        (reqwest::Method::POST, format!("/images/{uuid}?action=import")),
        (reqwest::Method::PUT, format!("/images/{uuid}/file?account={ADMIN}")),
    ] {
        let target = format!("{target}&source={}", far.dc.imgapi_url().unwrap());
        near.operator().call(method, &target).header("request-id", &id).send().await.ok();
    }
    let asked = |record: &Value| record["_audit"] == true && record["req_id"] == id.as_str();
    let records = wait_until("three calls", async || {
        let records: Vec<Value> = far.log().into_iter().filter(asked).collect();
        (records.len() == 3).then_some(records)
    })
    .await;
    let routes: Vec<&Value> = records.iter().map(|record| &record["route"]).collect();
    assert_eq!(routes, ["getimage", "getimage", "getimagefile"]);
    for record in records {
        let headers = &record["req"]["headers"];
        assert_eq!((&headers["user-agent"], &headers["accept-version"]), (&json!("near/1"), &json!("*")));
        assert_eq!(headers["authorization"], json!(null));
    }
    near.stop().await;
}

async fn a_source_has_a_path_and_a_channel(app: &TestApp) {
    let uuid = fresh();
    let source = Foreign::http("127.0.0.1").await;
    source.on(
        &format!("/base/images/{uuid}?channel=*"),
        Script::json(200, &manifest(&uuid, b"file", json!({}))),
    );
    source.on(&format!("/base/images/{uuid}/file?channel=*"), Script::answer(200, &[], "file"));
    let url = source.url("/base/?x=y&channel=*").replace("http://", "http://user:word@");
    let image = app.operator().import_from_source(&uuid, "", &url).await.ok();
    assert_eq!(
        (&image["published_at"], &image["owner"]),
        (&json!("2020-01-02T03:04:05.678Z"), &json!(ADMIN))
    );
    app.operator().add_file_from_source(&uuid, &url).await.ok();
    assert!(!source.heads().concat().to_lowercase().contains("authorization"));
    app.operator().delete(&uuid).await.gone();
}

async fn the_source_says_what_the_file_is(app: &TestApp) {
    let bytes = b"0123456789";
    let file = |changes: Value| {
        let entry = json!({"sha1": sha1_of(bytes), "size": 10, "compression": "xz", "dataset_guid": "7"});
        json!({"files": [merged(entry, changes)]})
    };
    let add = async |changes: Value, bytes: Script| {
        let uuid = app.luke().has_image(json!({})).await;
        let source = source(&uuid, &manifest(&uuid, b"", changes), "").await;
        source.on(&format!("/images/{uuid}/file"), bytes);
        let answer = app.operator().add_file_from_source(&uuid, &source.url("")).await;
        if answer.status != 200 {
            assert_eq!(app.luke().get_image(&uuid).await.ok()["files"], json!([]));
            assert!(!app.file(&uuid).exists());
        }
        answer
    };
    let right = || Script::answer(200, &[], bytes);
    let added = add(file(json!({})), right()).await.ok();
    assert_eq!(
        added["files"],
        json!([{"sha1": sha1_of(bytes), "size": 10, "compression": "xz", "dataset_guid": "7"}])
    );
    for changes in [
        json!({"size": 9}),
        json!({"size": 11}),
        json!({"sha1": sha1_of(b"x")}),
        json!({"size": 21_474_836_481u64}),
    ] {
        add(file(changes), right()).await.refused(400, "Download");
    }
    for changes in
        [json!({"size": null}), json!({"size": 0}), json!({"sha1": 5}), json!({"compression": "zip"})]
    {
        assert_remote_error(&add(file(changes), right()).await, "no usable file");
    }
    for files in [json!({"files": []}), json!({"files": null}), json!({"files": "x"}), json!({"files": [5]})]
    {
        assert_remote_error(&add(files, right()).await, "no usable file");
    }
    let chunked = &["Transfer-Encoding: chunked"];
    let endless = Script::raw(200, &[], "0123456789").repeated();
    add(file(json!({})), endless).await.refused(400, "Download");
    for (broken, part) in [
        (Script::raw(200, &["Content-Length: 10"], "01234").and_cut(), "broke off"),
        (Script::raw(200, chunked, "5\r\n01234\r\n").and_cut(), "broke off"),
        (Script::answer(404, &[], "<html>"), "404"),
        (Script::redirect(302, "/elsewhere"), "302"),
    ] {
        assert_remote_error(&add(file(json!({})), broken).await, part);
    }
    let md5 = |md5: &str| Script::answer(200, &[&format!("Content-MD5: {md5}")], "0123456789");
    add(file(json!({})), md5(&md5_of("others"))).await.refused(400, "BadDigest");
    assert_remote_error(&add(file(json!({})), md5("x")).await, "Content-MD5");
    // Without TLS and a length, only the manifest shows that the file is incomplete.
    add(file(json!({})), Script::raw(200, &[], "01234").and_cut()).await.refused(400, "Download");
    app.nothing_unfinished().await;
}

async fn what_is_no_imgapi_is_a_remote_error(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let other = fresh();
    let source = Foreign::http("127.0.0.1").await;
    let long = "x".repeat(5 << 20);
    let remote = json!({"code": "Odd\u{1b}[2J", "message": format!("m\n{long}")});
    let cases = [
        (Script::answer(200, &["Content-Type: text/html"], "<html>"), "not usable"),
        (Script::answer(200, &[], ""), "not usable"),
        (Script::json(200, &json!([1])), "not usable"),
        (Script::json(200, &manifest(&other, b"x", json!({}))), "another image"),
        (Script::answer(200, &[], &long), "not usable"),
        (Script::raw(200, &[], "{").repeated(), "not usable"),
        (Script::answer(200, &["Content-Encoding: gzip"], "{}"), "encoded as"),
        (Script::raw(200, &["Content-Length: 100"], "{").and_cut(), "broke off"),
        (
            Script::json(500, &json!({"code": "InternalError", "message": "it fell"})),
            "500 InternalError: it fell",
        ),
        (Script::json(503, &remote), "503"),
        (Script::answer(500, &[], "<html>"), "answered 500"),
        (Script::redirect(301, "/"), "answered 301"),
    ];
    for (script, part) in cases {
        for uuid in [&uuid, &other] {
            source.on(&format!("/images/{uuid}"), script.clone());
        }
        let answer = app.operator().add_file_from_source(&uuid, &source.url("")).await;
        assert_remote_error(&answer, part);
        assert!(answer.body.len() < 2000 && !answer.text().contains("\\u001b"), "{answer:?}");
        if part != "another image" {
            assert_remote_error(&app.operator().import_from_source(&other, "", &source.url("")).await, part);
        }
    }
    let nobody = { Foreign::http("127.0.0.1").await.url("") };
    assert_remote_error(&app.operator().add_file_from_source(&uuid, &nobody).await, "127.0.0.1");
    for text in ["nonsense", "ftp://127.0.0.1/", "http://", "http:127.0.0.1"] {
        assert_remote_error(&app.operator().add_file_from_source(&uuid, text).await, "not an http");
    }
    app.operator().get_image(&other).await.not_found();
}

async fn a_manifest_is_imported_in_the_order_of_checks(app: &TestApp) {
    let (uuid, taken) = (fresh(), app.luke().has_image(json!({})).await);
    let source = source(&uuid, &manifest(&uuid, b"file", json!({})), "file").await;
    let import = async |uuid: &str, query: &str, source: &str| {
        app.operator().import_from_source(uuid, query, source).await
    };
    let url = source.url("");
    import(&uuid, &format!("&skip_owner_check=x&account={LUKE}"), &url).await.refused(403, "OperatorOnly");
    import(&uuid, "&skip_owner_check=x", "").await.refused_field(
        "InvalidParameter",
        "skip_owner_check",
        "Invalid",
    );
    import(&uuid, "", "").await.refused_field("InvalidParameter", "source", "Invalid");
    import(&uuid, "&source=a", &url).await.refused_field("InvalidParameter", "source", "Invalid");
    // The source is asked before our own database.
    assert_remote_error(&import(&taken, "", &url).await, "404");
    source.on(&format!("/images/{taken}"), Script::json(200, &manifest(&taken, b"x", json!({}))));
    import(&taken, "", &url).await.refused(409, "ImageUuidAlreadyExists");
    let serve = |changes: Value| {
        source.on(&format!("/images/{uuid}"), Script::json(200, &manifest(&uuid, b"x", changes)))
    };
    serve(json!({"owner": NOBODY}));
    import(&uuid, "", &url).await.refused(422, "OwnerDoesNotExist");
    serve(json!({"owner": null}));
    import(&uuid, "", &url).await.refused(422, "ValidationFailed");
    serve(json!({"name": null}));
    import(&uuid, "", &url).await.refused_field("ValidationFailed", "name", "MissingParameter");
    app.operator().get_image(&uuid).await.not_found();
    // The caller of the import also imports the origin. The answer has the newest form, whatever the request asks for.
    serve(json!({"owner": NOBODY, "origin": NOBODY, "acl": [LUKE]}));
    let image = import(&uuid, "&skip_owner_check=true", &url).await.ok();
    assert_eq!((&image["owner"], &image["origin"]), (&json!(NOBODY), &json!(NOBODY)));
    assert_eq!(
        (&image["state"], &image["files"], &image["channels"]),
        (&json!("unactivated"), &json!([]), &json!(null))
    );
    app.operator().delete(&uuid).await.gone();
}

async fn the_parameters_of_a_source_are_checked_in_order(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let active = app.luke().has_active_image(json!({})).await;
    let silent = Foreign::http("127.0.0.1").await;
    let put = async |target: String| app.operator().call(reqwest::Method::PUT, &target).send().await;
    put(format!("/images/{NOBODY}/file?source=&storage=x")).await.not_found();
    put(format!("/images/{active}/file?source=&storage=x")).await.refused(422, "ImageFilesImmutable");
    put(format!("/images/{uuid}/file?source=&storage=x")).await.refused_field(
        "InvalidParameter",
        "storage",
        "Invalid",
    );
    let own = format!("/images/{uuid}/file?source=&storage=local&account={LUKE}");
    put(own).await.refused_field("InvalidParameter", "storage", "NotAllowed");
    put(format!("/images/{uuid}/file?source=")).await.refused_field("InvalidParameter", "source", "Invalid");
    let twice = format!("/images/{uuid}/file?source={0}&source={0}", silent.url(""));
    put(twice).await.refused_field("InvalidParameter", "source", "Invalid");
    assert_eq!(silent.connections(), 0);
    // Parameters of the client about the file are ignored.
    let ignored = format!("/images/{uuid}/file?source={}&compression=zip&sha1=x", silent.url(""));
    assert_remote_error(&put(ignored).await, "404");
}

async fn certificates_are_checked_unless_told_otherwise(strict: &TestApp) {
    let lax = TestApp::start_with(|dc| dc.imgapi_config("allowInsecure", true)).await;
    let source = Foreign::https("127.0.0.1", &Authority::new()).await;
    for (app, trusts) in [(strict, false), (&lax, true)] {
        let uuid = app.luke().has_image(json!({})).await;
        source.on(&format!("/images/{uuid}"), Script::json(200, &manifest(&uuid, b"file", json!({}))));
        source.on(&format!("/images/{uuid}/file"), Script::answer(200, &[], "file"));
        let answer = app.operator().add_file_from_source(&uuid, &source.url("")).await;
        if trusts {
            answer.ok();
        } else {
            assert_remote_error(&answer, "certificate");
        }
    }
    lax.stop().await;
}

/// The source itself cannot be reached, so every request must go through the proxy.
async fn sources_are_called_through_the_proxy(_shared: &TestApp) {
    let proxy = Foreign::http("127.0.0.1").await;
    let url = proxy.url("").replace("http://", "http://user:word@");
    let app = TestApp::start_with(|dc| dc.imgapi_config("httpProxy", url)).await;
    let uuid = app.luke().has_image(json!({})).await;
    let far = format!("http://imgapi.invalid/images/{uuid}");
    proxy.on(&far, Script::json(200, &manifest(&uuid, b"file", json!({}))));
    proxy.on(&format!("{far}/file"), Script::answer(200, &[], "file"));
    app.operator().add_file_from_source(&uuid, "http://imgapi.invalid").await.ok();
    assert!(proxy.heads().concat().to_lowercase().contains("proxy-authorization: basic "));
    let asked = proxy.connections();
    app.luke()
        .add_file_from_url(&uuid, "compression=none", "https://imgapi.invalid/")
        .await
        .refused(400, "Download");
    assert_eq!(proxy.connections(), asked, "a file_url does not go through it");
    assert!(!std::fs::read_to_string(app.dc.log_file()).unwrap().contains("user:word"));
    app.stop().await;
}

async fn denied_addresses_are_no_sources(_shared: &TestApp) {
    let app = TestApp::start_with(|dc| dc.imgapi_config("sourceDeny", json!(["127.0.0.0/8", "::1"]))).await;
    let source = Foreign::http("127.0.0.1").await;
    let uuid = app.luke().has_image(json!({})).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1"] {
        let url = format!("http://{host}:{}", source.address.port());
        assert_remote_error(&app.operator().add_file_from_source(&uuid, &url).await, "not allowed");
    }
    assert_eq!(source.connections(), 0);
    app.stop().await;
}

async fn one_of_several_ways_wins_with_whole_bytes(app: &TestApp) {
    let uuid = app.luke().has_image(json!({})).await;
    let far = vec![1; 700_001];
    let near = vec![2; 700_002];
    let source = source(&uuid, &manifest(&uuid, &far, json!({})), &far).await;
    let url = source.url("");
    let fetch = || app.operator().add_file_from_source(&uuid, &url);
    let upload = || app.luke().upload(&uuid, "compression=none", near.clone());
    let answers = tokio::join!(fetch(), upload(), fetch(), upload());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        answer.ok();
    }
    let file = app.luke().download(&uuid).await;
    assert!(file.body == far || file.body == near);
    let entry = &app.luke().get_image(&uuid).await.ok()["files"][0];
    assert_eq!((&entry["sha1"], &entry["size"]), (&json!(sha1_of(&file.body)), &json!(file.body.len())));
    assert_eq!(std::fs::read(app.file(&uuid)).unwrap(), file.body);
    app.nothing_unfinished().await;
}
