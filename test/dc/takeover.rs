// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stored records: those of 4.13.1 that we read, and ours that 4.13.1 must be able to read.

use serde_json::{Value, json};

use super::support::{
    BASE, LUKE, PROBE, TestApp, fresh, merged, sha1_of, small_record, takeover_records, tests,
};

/// Returns a record as Moray returns it: its index columns have types, and replace the stored members.
fn read_back(mut record: Value) -> Value {
    for name in ["acl", "tags", "billing_tags"] {
        if record[name].is_string() {
            record[name] = json!([record[name]]);
        }
    }
    for name in ["public", "activated", "disabled"] {
        if let Some(text) = record[name].as_str() {
            record[name] = json!(text == "true");
        }
    }
    record
}

tests! {
    records_of_4_13_1_are_shown,
    what_is_stored_is_what_4_13_1_stores,
    a_change_keeps_what_it_does_not_know,
    the_archive_has_the_last_version,
    an_old_record_with_a_list_of_tags_only_has_tags,
    records_that_4_13_1_could_not_show_are_hidden,
}

async fn records_of_4_13_1_are_shown(app: &TestApp) {
    for record in takeover_records() {
        let uuid = record["uuid"].as_str().unwrap();
        let image = app.operator().get(&format!("/images/{uuid}?inclAdminFields=true")).await.ok();
        for name in [
            "v",
            "owner",
            "name",
            "version",
            "state",
            "disabled",
            "public",
            "type",
            "os",
            "published_at",
            "urn",
        ] {
            assert_eq!(image[name], record[name], "{uuid} {name}");
        }
        let internal = ["activated", "objectclass", "tagsObj", "expires_at", "contentMD5"];
        assert!(internal.iter().all(|name| image.get(name).is_none()), "{image}");
        let sizes = |value: &Value| {
            value["files"]
                .as_array()
                .map_or(vec![], |files| files.iter().map(|f| f["size"].clone()).collect())
        };
        assert_eq!(sizes(&image), sizes(&record), "{uuid}");
        // Other tests leave this member when they use the image as an origin.
        let stored = merged(app.stored(uuid).await.unwrap().0, json!({"write_fence": null}));
        assert_eq!(stored, read_back(record.clone()), "reading changes nothing");
    }
    assert_eq!(app.luke().get_image(PROBE).await.ok()["tags"], json!({}));
}

async fn what_is_stored_is_what_4_13_1_stores(app: &TestApp) {
    let body = json!({"name": "n", "version": "1", "type": "zone-dataset", "os": "linux", "description": "d", "homepage": "",
        "acl": LUKE, "billing_tags": "b", "tags": {"s": "v", "n": 4, "o": {}, "long": "x".repeat(101)}, "public": "true",
        "generate_passwords": false, "traits": {"t": "u"}, "files": [1], "channels": ["dev"]});
    let created = app.luke().create(&body).await.ok();
    let uuid = created["uuid"].as_str().unwrap();
    let (record, _) = app.stored(uuid).await.unwrap();
    let expected = json!({"v": 2, "owner": LUKE, "name": "n", "version": "1", "type": "zone-dataset", "os": "linux",
        "public": true, "disabled": false, "activated": false, "state": "unactivated", "acl": [LUKE], "uuid": uuid,
        "description": "d", "generate_passwords": false, "traits": {"t": "u"},
        "tags": ["s=v", "n=4", "o=", "long="], "tagsObj": body["tags"], "billing_tags": ["b"]});
    assert_eq!(record.to_string(), expected.to_string(), "members come in the order of 4.13.1, too");

    app.luke().upload(uuid, "compression=none&dataset_guid=7", "hello").await.ok();
    let (record, _) = app.stored(uuid).await.unwrap();
    let entry = record["files"][0].as_object().unwrap();
    let known = ["sha1", "size", "contentMD5", "mtime", "stor", "compression", "dataset_guid"];
    // 4.13.1 ignores the other members.
    assert!(entry.keys().all(|name| known.contains(&name.as_str()) || name == "sha256"), "{entry:?}");
    assert_eq!(entry["sha1"], "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    assert_eq!(entry["contentMD5"], "XUFAKrxLKna5cZ2REBfFkg==");
    let described = ["size", "stor", "compression", "dataset_guid"].map(|name| &entry[name]);
    assert_eq!(described, [&json!(5), &json!("local"), &json!("none"), &json!("7")]);
    let mtime = entry["mtime"].as_str().unwrap();
    assert!(mtime.len() == 24 && mtime.ends_with('Z'), "{mtime}");

    let activated = app.luke().activate(uuid).await.ok();
    let (active, _) = app.stored(uuid).await.unwrap();
    let change = json!({"activated": true, "state": "active", "published_at": activated["published_at"]});
    assert_eq!(active, merged(record, change), "an activation changes three members");
}

async fn a_change_keeps_what_it_does_not_know(app: &TestApp) {
    let uuid = fresh();
    let legacy = small_record(
        json!({"uuid": uuid, "owner": LUKE, "activated": false, "disabled": "false", "public": "false",
        "state": "unactivated", "acl": LUKE, "files": null, "objectclass": "sdcimage", "future": {"a": [1]}}),
    );
    app.store(&legacy).await;
    app.luke().upload(&uuid, "compression=none", "x").await.ok();
    app.luke().activate(&uuid).await.ok();
    let (record, _) = app.stored(&uuid).await.unwrap();
    let change = json!({"activated": true, "state": "active", "files": record["files"]});
    assert_eq!(record, merged(read_back(legacy), change));
    app.luke().delete(&uuid).await.gone();
}

async fn the_archive_has_the_last_version(app: &TestApp) {
    let archived = async |uuid: &str| std::fs::read_to_string(app.archived(uuid)).unwrap();
    let created = app.luke().create(&super::support::small_manifest()).await;
    let uuid = created.ok()["uuid"].as_str().unwrap().to_owned();
    assert_eq!(archived(&uuid).await, created.text());
    let uploaded = app.luke().upload(&uuid, "compression=none", "x").await;
    assert_eq!(archived(&uuid).await, uploaded.text());
    let activated = app.luke().activate(&uuid).await;
    assert_eq!(archived(&uuid).await, activated.text());
    app.luke().upload(&uuid, "compression=none", "y").await.refused(422, "ImageFilesImmutable");
    assert_eq!(archived(&uuid).await, activated.text());
}

async fn an_old_record_with_a_list_of_tags_only_has_tags(app: &TestApp) {
    let uuid = fresh();
    app.store(&small_record(json!({"uuid": uuid, "tags": ["a=b=c", "n=4", "empty="]}))).await;
    let image = app.operator().get_image(&uuid).await.ok();
    assert_eq!(image["tags"], json!({"a": "b=c", "n": "4", "empty": ""}));
}

async fn records_that_4_13_1_could_not_show_are_hidden(app: &TestApp) {
    for broken in [
        json!({"os": "beos"}),
        json!({"tags": ["no equals sign"]}),
        json!({"published_at": "yesterday"}),
        json!({"files": [{"size": 4, "compression": "none"}]}),
        json!({"channels": ["dev"]}),
        json!({"files": null}),
        json!({"icon": {"sha1": sha1_of(b""), "size": 0, "contentType": "image/png"}}),
    ] {
        let (uuid, owner) = (fresh(), fresh());
        app.store(&merged(small_record(json!({"uuid": uuid, "owner": owner})), broken.clone())).await;
        app.operator().get_image(&uuid).await.not_found();
        assert_eq!(app.operator().list(&format!("owner={owner}&state=all")).await.len(), 0, "{broken}");
    }
    app.operator().get_image(BASE).await.ok();
}
