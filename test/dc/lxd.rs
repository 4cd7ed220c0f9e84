// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AdminImportLxdImage from a simplestreams server of the tests.

use coal::datacenter::MantaMode;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::adm::{adm, text};
use super::support::lxd::{LxdFiles, LxdServer, import, product, refused, sha256_of, statuses, uuid_of};
use super::support::{
    ADMIN, Authority, Foreign, Script, TestApp, md5_of, merged, sha1_of, small_record, tests, wait_until,
};

tests! {
    an_image_in_two_files_is_imported_and_found_again,
    an_image_in_one_file_is_imported,
    an_alias_is_one_of_the_server_for_our_architecture,
    a_server_that_fails_while_it_is_asked_leaves_nothing,
    a_server_that_fails_while_it_sends_leaves_nothing,
    an_image_is_what_its_checksums_say,
    a_file_has_a_limit,
    a_silent_server_is_given_up,
    redirects_are_followed_and_their_addresses_checked,
    tls_is_not_given_up_on_the_way,
    two_imports_of_one_image_fetch_it_once,
    a_remainder_of_an_import_is_replaced,
    a_client_that_leaves_ends_the_import,
    files_go_to_manta_too,
}

const ALIAS: &str = "images:alpine/3.16";

async fn an_image_in_two_files_is_imported_and_found_again(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", vec![7; 1_500_000]);
    lxd.has(&files);
    let told = import(&app, ALIAS).await;
    let expected =
        ["Downloading image", "Downloading image", "Download complete", "Activating image", "Pull complete"];
    assert_eq!(statuses(&told), expected);
    for message in &told {
        assert_eq!((&message["type"], &message["alias"]), (&json!("progress"), &json!(ALIAS)), "{message}");
        assert_eq!((&message["payload"]["id"], message.get("id")), (&json!(ALIAS), None), "{message}");
    }
    let downloading: Vec<_> =
        told.iter().filter(|message| message["payload"]["status"] == "Downloading").collect();
    let detail = &downloading[1]["payload"]["progressDetail"];
    assert_eq!(
        (&detail["total"], detail["current"].as_u64().unwrap() > 0),
        (&json!(1_500_000), true),
        "{detail}"
    );
    assert!(downloading.len() >= 4, "{downloading:?}");

    let uuid = files.uuid();
    let image = app.operator().get(&format!("/images/{uuid}")).await.ok();
    assert_eq!(
        [&image["name"], &image["version"], &image["description"], &image["published_at"]],
        [
            "alpine_3.16_amd64_default",
            "20221008_13_00",
            "alpine:3.16:amd64:default",
            "2022-10-08T00:00:00.000Z"
        ]
        .map(|text| json!(text))
        .each_ref()
    );
    assert_eq!(
        [
            &image["type"],
            &image["os"],
            &image["owner"],
            &image["state"],
            &image["public"],
            &image["requirements"]
        ],
        [
            &json!("lxd"),
            &json!("linux"),
            &json!(ADMIN),
            &json!("active"),
            &json!(false),
            &json!({"brand": "lx"})
        ]
    );
    assert_eq!(
        image["tags"],
        json!({
            "lxd:arch": "amd64", "lxd:aliases": "alpine/3.16,alpine/3.16/default", "lxd:fingerprint": files.fingerprint(),
            "lxd:ftype": "squashfs", "lxd:name": "alpine:3.16:amd64:default", "lxd:os": "Alpine",
            "lxd:path": "images/root.squashfs", "lxd:release": "3.16", "lxd:release_title": "3.16 (stable)",
            "lxd:repo": "images", "lxd:sha256": sha256_of(&files.root),
        })
    );
    let (stored, _) = app.stored(&uuid).await.unwrap();
    for (index, (bytes, compression)) in [(&files.metadata, "xz"), (&files.root, "none")].iter().enumerate() {
        let entry = &stored["files"][index];
        assert_eq!(entry["sha1"], sha1_of(bytes));
        assert_eq!((&entry["size"], &entry["compression"]), (&json!(bytes.len()), &json!(compression)));
        assert_eq!(
            (&entry["contentMD5"], &entry["sha256"]),
            (&json!(md5_of(bytes)), &json!(sha256_of(bytes)))
        );
        let file = app.operator().get(&format!("/images/{uuid}/file?index={index}")).await;
        assert_eq!((file.status, &file.body[..]), (200, &bytes[..]));
    }
    assert_eq!(app.operator().list_uuids("type=lxd").await, std::slice::from_ref(&uuid));

    let connections = lxd.server.connections();
    assert_eq!(statuses(&import(&app, ALIAS).await), ["Already exists"]);
    assert_eq!(lxd.server.connections() - connections, 2, "only the lists are read");
    app.operator().delete(&uuid).await.gone();
    assert_eq!(statuses(&import(&app, ALIAS).await), expected);
    app.stop().await;
}

async fn an_image_in_one_file_is_imported(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    for (ftype, content) in [("lxd_combined.tar.gz", "one"), ("incus_combined.tar.gz", "two")] {
        let sha256 = sha256_of(content);
        let items = json!({"x": {"ftype": ftype, "path": "images/x.tar.gz", "sha256": sha256, "size": 3}});
        lxd.has_product("a", &items);
        lxd.on("images/x.tar.gz", Script::answer(200, &[], content));
        assert_eq!(statuses(&import(&app, "images:a").await).last().unwrap(), "Pull complete");
        let image = app.operator().get_image(&uuid_of(&sha256)).await.ok();
        assert_eq!(
            (&image["tags"]["lxd:ftype"], &image["tags"]["lxd:fingerprint"]),
            (&json!(ftype), &json!(sha256))
        );
        let files = json!([{"sha1": sha1_of(content.as_bytes()), "size": 3, "compression": "gzip"}]);
        assert_eq!(image["files"], files);
    }
    app.stop().await;
}

/// Imports the alias of most tests, which must fail with this code, and checks that nothing remains.
async fn fails(app: &TestApp, what: &str, code: &str) {
    let told = import(app, ALIAS).await;
    let last = statuses(&told).pop().unwrap();
    assert_eq!(last, code, "{what}: {told:?}");
    refused(&told, ALIAS, code);
    assert_eq!(app.operator().list("type=lxd&state=all").await, Vec::<Value>::new(), "{what}");
    app.nothing_unfinished().await;
}

async fn succeeds(app: &TestApp) {
    let told = import(app, ALIAS).await;
    assert_eq!(statuses(&told).last().unwrap(), "Pull complete", "{told:?}");
}

async fn an_alias_is_one_of_the_server_for_our_architecture(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let one = json!({"x": {"ftype": "lxd_combined.tar.gz", "path": "x.tar.gz", "sha256": sha256_of("x"), "size": "1"}});
    let arm = merged(product("a,b", &one), json!({"arch": "arm64"}));
    lxd.has_products(Map::from_iter([("arm".to_owned(), arm), ("own".to_owned(), product("a", &one))]));
    lxd.on("x.tar.gz", Script::answer(200, &[], "x"));
    for (alias, code) in [
        ("images:b", "NotFound"),
        ("images:c", "NotFound"),
        ("images:", "NotFound"),
        ("images:a/x86_64", "NotFound"),
        ("other:a", "InvalidParameter"),
        ("gone:a", "ECONNREFUSED"),
        ("nameless:a", "ENOTFOUND"),
    ] {
        let message = refused(&import(&app, alias).await, alias, code);
        assert!(
            code != "InvalidParameter" || message.contains("images, gone, nameless, ubuntu"),
            "{message}"
        );
    }
    for (alias, product) in [("images:b/arm64", "arm"), ("images:a", "own"), ("images:a/amd64", "own")] {
        assert_eq!(statuses(&import(&app, alias).await).last().unwrap(), "Pull complete", "{alias}");
        let uuid = uuid_of(&sha256_of("x"));
        assert_eq!(app.operator().get_image(&uuid).await.ok()["name"], product, "{alias}");
        app.operator().delete(&uuid).await.gone();
    }
    app.stop().await;
}

/// What a server can do wrong before an image begins, and the code that the client is told.
fn faults() -> [(&'static str, Script, &'static str); 6] {
    [
        ("not there", Script::answer(404, &[], "no"), "RemoteSourceError"),
        ("broken", Script::answer(500, &[], "no"), "RemoteSourceError"),
        ("nowhere", Script::answer(302, &[], ""), "RemoteSourceError"),
        ("cut", Script::raw(200, &["Content-Length: 100"], "{").and_cut(), "RemoteSourceError"),
        ("no JSON", Script::answer(200, &[], "{\"index\": [}"), "InvalidContent"),
        ("too long", Script::raw(200, &[], vec![b' '; 33 << 20]).and_hang(), "InvalidContent"),
    ]
}

async fn a_server_that_fails_while_it_is_asked_leaves_nothing(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", "root");
    for path in ["streams/v1/index.json", "streams/v1/images.json"] {
        for (what, script, code) in faults() {
            lxd.has(&files);
            lxd.on(path, script);
            fails(&app, &format!("{path} {what}"), code).await;
        }
    }
    lxd.has_product("alpine/3.16", &json!({}));
    fails(&app, "no items", "InvalidContent").await;
    let undated = product("alpine/3.16", &files.items("squashfs", "combined_squashfs_sha256"));
    let undated =
        merged(undated.clone(), json!({"versions": {"newest": undated["versions"]["20221008_13:00"]}}));
    lxd.has_products(Map::from_iter([("p".to_owned(), undated)]));
    fails(&app, "no date", "InvalidContent").await;
    lxd.has(&files);
    succeeds(&app).await;
    app.stop().await;
}

async fn a_server_that_fails_while_it_sends_leaves_nothing(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", vec![5; 600_000]);
    for path in ["images/lxd.tar.xz", "images/root.squashfs"] {
        for (what, script) in [
            ("not there", Script::answer(404, &[], "no")),
            ("broken", Script::answer(503, &[], "no")),
            ("cut", Script::raw(200, &["Content-Length: 600000"], vec![5; 300_000]).and_cut()),
            ("another", Script::answer(200, &[], "other bytes")),
            ("empty", Script::answer(200, &[], "")),
            ("cut in chunks", Script::raw(200, &["Transfer-Encoding: chunked"], "3\r\nabc\r\n").and_cut()),
        ] {
            lxd.has(&files);
            lxd.on(path, script);
            fails(&app, &format!("{path} {what}"), "Download").await;
        }
    }
    lxd.has(&files);
    succeeds(&app).await;
    app.stop().await;
}

async fn an_image_is_what_its_checksums_say(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", "root");
    lxd.has(&files);
    let mut items = files.items("squashfs", "combined_squashfs_sha256");
    items["lxd.tar.xz"]["combined_squashfs_sha256"] = json!(sha256_of("another image"));
    lxd.has_product("alpine/3.16", &items);
    let message = refused(&import(&app, ALIAS).await, ALIAS, "Download");
    assert!(message.contains("the fingerprint is"), "{message}");
    fails(&app, "another fingerprint", "Download").await;
    // The size is only a claim.
    for size in [json!(1), json!(1_000_000), json!("4"), json!(null)] {
        let mut items = files.items("root.tar.xz", "combined_rootxz_sha256");
        items["root"]["size"] = size.clone();
        lxd.has_product("alpine/3.16", &items);
        lxd.on("images/root.root.tar.xz", Script::answer(200, &[], &files.root));
        succeeds(&app).await;
        let image = app.operator().get_image(&files.uuid()).await.ok();
        assert_eq!(
            (&image["files"][1]["size"], &image["files"][1]["compression"]),
            (&json!(4), &json!("xz")),
            "{size}"
        );
        app.operator().delete(&files.uuid()).await.gone();
    }
    app.stop().await;
}

async fn a_file_has_a_limit(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", "root");
    lxd.has(&files);
    lxd.on("images/root.squashfs", Script::raw(200, &["Content-Length: 21474836481"], "root").and_hang());
    fails(&app, "an answer over 20 GiB", "ImageFileTooBig").await;
    let mut items = files.items("squashfs", "combined_squashfs_sha256");
    items["root"]["size"] = json!((20u64 << 30) + 1);
    lxd.has_product("alpine/3.16", &items);
    let connections = lxd.server.connections();
    fails(&app, "a claim over 20 GiB", "ImageFileTooBig").await;
    assert_eq!(lxd.server.connections() - connections, 2, "no file is asked for");
    app.stop().await;
}

async fn a_silent_server_is_given_up(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start_with(|dc| dc.imgapi_config("transferIdleSeconds", json!(1))).await;
    let files = LxdFiles::new("metadata", "root");
    let silences = [
        ("streams/v1/index.json", Script::silence()),
        ("streams/v1/images.json", Script::raw(200, &["Content-Length: 100"], "{").and_hang()),
        ("images/lxd.tar.xz", Script::silence()),
        ("images/root.squashfs", Script::raw(200, &["Content-Length: 100"], "ro").and_hang()),
    ];
    for (path, silence) in silences {
        lxd.has(&files);
        lxd.on(path, silence);
        let told = import(&app, ALIAS).await;
        let statuses = statuses(&told);
        assert_eq!(statuses[statuses.len() - 2..], ["Connection timed out", "Download"], "{path}: {told:?}");
    }
    lxd.has(&files);
    app.nothing_unfinished().await;
    succeeds(&app).await;
    app.stop().await;
}

async fn redirects_are_followed_and_their_addresses_checked(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let forbidden = Foreign::http("127.0.0.2").await;
    let files = LxdFiles::new("metadata", "root");
    let port = forbidden.address.port();
    for path in ["streams/v1/index.json", "streams/v1/images.json", "images/root.squashfs"] {
        let code = if path.ends_with(".json") { "RemoteSourceError" } else { "Download" };
        // Even an address of the server itself, at another port, is one that nobody has configured.
        let elsewhere = [
            forbidden.url("/x"),
            format!("http://localhost:{port}/x"),
            format!("http://127.0.0.1:{port}/x"),
            "ftp://127.0.0.1/x".to_owned(),
        ];
        for location in elsewhere {
            lxd.has(&files);
            lxd.on(path, Script::redirect(302, &location));
            fails(&app, &format!("{path} {location}"), code).await;
        }
        lxd.on(path, Script::redirect(302, &lxd.server.url(&format!("/mirror/{path}"))));
        fails(&app, &format!("{path} to itself"), code).await;
    }
    assert_eq!(forbidden.connections(), 0);
    lxd.has(&files);
    for (status, path) in
        [(301, "streams/v1/index.json"), (303, "images/lxd.tar.xz"), (308, "images/root.squashfs")]
    {
        lxd.on(&format!("moved/{path}"), lxd.server.script(&format!("/mirror/{path}")));
        lxd.on(path, Script::redirect(status, &format!("/mirror/moved/{path}")));
    }
    succeeds(&app).await;
    app.stop().await;
}

async fn tls_is_not_given_up_on_the_way(_shared: &TestApp) {
    let authority = Authority::new();
    let (secure, plain) = (Foreign::https("127.0.0.1", &authority).await, Foreign::http("127.0.0.1").await);
    let stranger = Foreign::https("127.0.0.1", &Authority::new()).await;
    let app = TestApp::start_with(|dc| {
        let registries = json!({"images": secure.url(""), "stranger": stranger.url("")});
        dc.imgapi_environment("SSL_CERT_FILE", authority.path())
            .imgapi_config("lxdRegistries", registries)
            .imgapi_config("fileUrlDeny", json!([]))
    })
    .await;
    let index = json!({"index": {}});
    secure.on("/streams/v1/index.json", Script::json(200, &index));
    refused(&import(&app, "images:a").await, "images:a", "NotFound");
    refused(&import(&app, "stranger:a").await, "stranger:a", "RemoteSourceError");
    plain.on("/index.json", Script::json(200, &index));
    secure.on("/streams/v1/index.json", Script::redirect(302, &plain.url("/index.json")));
    let message = refused(&import(&app, "images:a").await, "images:a", "RemoteSourceError");
    assert!(message.contains("from https to http"), "{message}");
    assert_eq!(plain.connections(), 0);
    app.stop().await;
}

async fn two_imports_of_one_image_fetch_it_once(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    lxd.has(&LxdFiles::new("metadata", vec![3; 3_000_000]));
    let both = futures_util::future::join(import(&app, ALIAS), import(&app, ALIAS)).await;
    let mut ends = [both.0, both.1].map(|told| statuses(&told).pop().unwrap());
    ends.sort();
    assert_eq!(ends, ["Already exists", "Pull complete"]);
    let roots = lxd.server.heads().iter().filter(|head| head.contains("root.squashfs")).count();
    assert_eq!(roots, 1);
    app.stop().await;
}

async fn a_remainder_of_an_import_is_replaced(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start().await;
    let files = LxdFiles::new("metadata", "root");
    lxd.has(&files);
    let remainder = json!({"uuid": files.uuid(), "activated": false, "state": "unactivated", "files": []});
    app.store(&small_record(remainder)).await;
    app.operator().upload(&files.uuid(), "compression=none", "a first file").await.ok();
    succeeds(&app).await;
    let image = app.operator().get_image(&files.uuid()).await.ok();
    assert_eq!((&image["type"], &image["files"][0]["size"]), (&json!("lxd"), &json!(8)));
    app.operator().delete(&files.uuid()).await.gone();
    // An image that was disabled is there.
    app.store(&small_record(json!({"uuid": files.uuid(), "disabled": true, "state": "disabled"}))).await;
    assert_eq!(statuses(&import(&app, ALIAS).await), ["Already exists"]);
    app.stop().await;
}

async fn a_client_that_leaves_ends_the_import(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start_with(|dc| dc.imgapi_config("transferIdleSeconds", json!(60))).await;
    let files = LxdFiles::new("metadata", "root");
    lxd.has(&files);
    lxd.on("images/root.squashfs", Script::raw(200, &["Content-Length: 100"], "root").and_hang());
    let mut client = app.connect().await;
    let head = format!(
        "POST /images?action=import-lxd-image&alias={ALIAS} HTTP/1.1\r\nHost: x\r\nRequest-Id: mine\r\n\r\n"
    );
    client.send(head).await;
    assert_eq!(client.read_head().await.status, 200);
    let running = async || app.operator().get("/state").await.ok()["imports"].as_array().unwrap().clone();
    let import =
        wait_until("12 bytes", async || running().await.into_iter().find(|import| import["bytes"] == 12))
            .await;
    assert_eq!(
        [&import["kind"], &import["name"], &import["reqId"]],
        [&json!("lxd"), &json!(ALIAS), &json!("mine")]
    );
    let table = adm(&app, &["imports"]).await;
    let lines: Vec<_> =
        text(&table.stdout).lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["KIND", "NAME", "BYTES", "STARTED", "REQ-ID"]);
    assert_eq!(lines[1][..3], ["lxd", ALIAS, "12"]);
    let listed: Value = serde_json::from_slice(&adm(&app, &["imports", "--json"]).await.stdout).unwrap();
    assert_eq!(listed[0]["name"], ALIAS);
    assert!(app.metrics().await.contains("imgapi_imports_running{kind=\"lxd\""));
    drop(client);
    wait_until("the end of the import", async || running().await.is_empty().then_some(())).await;
    app.nothing_unfinished().await;
    let left = "imgapi_imports_total{kind=\"lxd\",outcome=\"left\"";
    assert!(app.metrics().await.lines().any(|line| line.starts_with(left) && line.ends_with(" 1")));
    lxd.has(&files);
    succeeds(&app).await;
    app.stop().await;
}

async fn files_go_to_manta_too(_shared: &TestApp) {
    let (lxd, app) = LxdServer::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let files = LxdFiles::new("metadata", vec![9; 700_000]);
    lxd.has(&files);
    lxd.on("images/root.squashfs", Script::answer(200, &[], "other bytes"));
    fails(&app, "other bytes", "Download").await;
    lxd.has(&files);
    succeeds(&app).await;
    let (stored, _) = app.stored(&files.uuid()).await.unwrap();
    for (index, bytes) in [&files.metadata, &files.root].into_iter().enumerate() {
        assert_eq!(
            (&stored["files"][index]["stor"], stored["files"][index].get("object")),
            (&json!("manta"), None)
        );
        let target = format!("/images/{}/file?index={index}", files.uuid());
        assert_eq!(app.operator().call(Method::GET, &target).send().await.body, bytes);
    }
    app.operator().delete(&files.uuid()).await.gone();
    app.stop().await;
}
