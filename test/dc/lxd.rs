// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AdminImportLxdImage from a simplestreams server of the tests.

use serde_json::json;

use super::support::lxd::{LxdFiles, LxdServer, import, sha256_of, statuses, uuid_of};
use super::support::{ADMIN, Script, TestApp, md5_of, sha1_of, tests};

tests! {
    an_image_in_two_files_is_imported_and_found_again,
    an_image_in_one_file_is_imported,
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
    assert_eq!(app.operator().list_uuids("type=lxd").await, [uuid.clone()]);

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
