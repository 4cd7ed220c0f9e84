// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::files::planted::SpecialFile;
use crate::manifest::{ApiVersion, Mode};
use crate::telemetry::StaticLabels;

const RULES: Rules = Rules { mode: Mode::Dc, channels_configured: false };
const FORM: ApiForm = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: false };

fn metrics() -> Arc<Metrics> {
    let empty = String::new;
    let labels = StaticLabels { datacenter: empty(), instance: empty(), server: empty(), service: empty() };
    Arc::new(Metrics::new(&labels).unwrap())
}

async fn open(base: &TempDir) -> Result<LocalDatabase, OpenError> {
    LocalDatabase::open(DirectoryLock::take(base.path())?, RULES, metrics()).await
}

fn record(uuid: Uuid, changes: Value) -> Value {
    let mut record = json!({
        "v": 2, "uuid": uuid, "owner": "ba28f844-8cb4-f141-882d-46d6251e6a9f", "name": "base", "version": "1.0",
        "type": "zone-dataset", "os": "smartos", "state": "active", "disabled": false, "activated": true,
        "published_at": "2020-01-01T00:00:00.000Z", "public": false, "acl": [], "tags": ["a=1"], "tagsObj": {"a": 1.0},
        "files": [{"sha1": "aa", "size": 4, "compression": "none", "contentMD5": "x", "mtime": "y", "stor": "local"}],
        "future": true,
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

fn image(record: Value) -> Image {
    let Value::Object(record) = record else { unreachable!() };
    Image::load(record, RULES).unwrap()
}

/// Creates a file where 4.13.1 would.
fn store(base: &TempDir, name: &str, text: &str) {
    let directory = base.path().join("manifests");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), text).unwrap();
}

fn raw(base: &TempDir, uuid: Uuid) -> PathBuf {
    base.path().join("manifests").join(format!("{uuid}.raw"))
}

fn names(base: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(base.path().join("manifests")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes the API form to the archive, as every change does.
fn archive(base: &TempDir, image: &Image) -> PathBuf {
    let uuid = image.uuid().to_string();
    let path = base.path().join("archive").join(&uuid[..3]).join(format!("{uuid}.json"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, json::pretty(&image.api(&FORM)).unwrap()).unwrap();
    path
}

fn put_file(base: &Path, uuid: Uuid, bytes: &[u8]) {
    let directory = base.join("images").join(&uuid.to_string()[..3]).join(uuid.to_string());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("file0"), bytes).unwrap();
}

#[tokio::test]
async fn a_directory_of_4_13_1_is_taken_over_as_it_is() {
    let base = TempDir::new().unwrap();
    let mut known = Vec::new();
    for line in include_str!("../../../test/data/manifest/moray-imgapi_images.jsonl").lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        known.push(record["uuid"].as_str().unwrap().to_owned());
        store(
            &base,
            &format!("{}.raw", known.last().unwrap()),
            &serde_json::to_string_pretty(&record).unwrap(),
        );
    }
    store(&base, "README", "not a manifest");
    store(&base, "x.raw", "{}");
    let before: Vec<_> = names(&base);
    let database = open(&base).await.unwrap();
    assert_eq!(database.status().damaged, []);
    for uuid in known {
        let uuid = uuid.parse().unwrap();
        let bytes = fs::read(raw(&base, uuid)).unwrap();
        let stored = database.get(uuid).await.unwrap().unwrap();
        let view = database.view(uuid).await.unwrap().value.unwrap();
        assert_eq!(view.text(&FORM), json::pretty(&stored.image.api(&FORM)).unwrap());
        assert_eq!(fs::read(raw(&base, uuid)).unwrap(), bytes, "reading changes nothing");
    }
    assert_eq!(names(&base), before);
}

#[tokio::test]
async fn what_is_written_is_what_4_13_1_writes() {
    let base = TempDir::new().unwrap();
    let database = open(&base).await.unwrap();
    let uuid = Uuid::new_v4();
    database.insert(&image(record(uuid, json!({})))).await.unwrap();
    let text = fs::read_to_string(raw(&base, uuid)).unwrap();
    assert!(text.starts_with("{\n  \"v\": 2,\n  \"uuid\": \""), "{text}");
    // JavaScript has one kind of number.
    assert!(text.contains("\"a\": 1\n") && text.ends_with("\"future\": true\n}"), "{text}");
    assert_eq!(names(&base), [format!("{uuid}.raw")]);
}

#[tokio::test]
async fn one_process_at_a_time_uses_a_directory() {
    let base = TempDir::new().unwrap();
    let database = open(&base).await.unwrap();
    let message = open(&base).await.unwrap_err().to_string();
    assert!(message.starts_with("another process uses the directory "), "{message}");
    drop(database);
    open(&base).await.unwrap();
}

#[tokio::test]
async fn a_truncated_file_is_restored_from_the_archive() {
    let base = TempDir::new().unwrap();
    let [whole, without_file, empty, no_copy] = [(); 4].map(|()| Uuid::new_v4());
    for uuid in [whole, without_file, empty] {
        archive(&base, &image(record(uuid, json!({}))));
    }
    put_file(base.path(), whole, b"file");
    put_file(base.path(), without_file, b"not this");
    for (uuid, text) in [(whole, "{\"v\": 2, \"uu"), (without_file, "[]"), (empty, ""), (no_copy, "{")] {
        store(&base, &format!("{uuid}.raw"), text);
    }

    let database = open(&base).await.unwrap();
    let damaged = database.status().damaged;
    assert_eq!(damaged.len(), 4);
    for uuid in [whole, without_file, empty] {
        let stored = database.get(uuid).await.unwrap().unwrap();
        let expected = image(record(uuid, json!({})));
        let view = database.view(uuid).await.unwrap().value.unwrap();
        assert_eq!(view.text(&FORM), json::pretty(&expected.api(&FORM)).unwrap());
        assert!(stored.image.activated() && stored.image.tags_search_list() == ["a=1"]);
        let stor = (uuid == whole).then(|| json!("local"));
        assert_eq!(stored.image.record()["files"][0].get("stor"), stor.as_ref());
        let entry = damaged.iter().find(|entry| entry.name == format!("{uuid}.raw")).unwrap();
        assert!(entry.reason.contains("restored from the archive, without"), "{}", entry.reason);
    }
    let kept =
        fs::read_to_string(base.path().join("manifests").join(format!("{whole}.raw.damaged"))).unwrap();
    assert_eq!(kept, "{\"v\": 2, \"uu");

    // A record that could not be restored stays unchanged, and is reported again.
    assert_eq!(fs::read_to_string(raw(&base, no_copy)).unwrap(), "{");
    assert!(database.view(no_copy).await.unwrap().value.is_none());
    drop(database);
    let again = open(&base).await.unwrap().status().damaged;
    assert_eq!(again.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>(), [format!("{no_copy}.raw")]);
}

#[tokio::test]
async fn a_record_that_is_not_valid_here_is_reported_and_left_alone() {
    let base = TempDir::new().unwrap();
    let (invalid, other) = (Uuid::new_v4(), Uuid::new_v4());
    archive(&base, &image(record(invalid, json!({}))));
    let text = record(invalid, json!({"channels": ["dev"]})).to_string();
    store(&base, &format!("{invalid}.raw"), &text);
    store(&base, &format!("{other}.raw"), &record(invalid, json!({})).to_string());
    let database = open(&base).await.unwrap();
    let reasons: Vec<_> = database.status().damaged.into_iter().map(|entry| entry.reason).collect();
    assert!(reasons.contains(&"not valid: channels".to_owned()), "{reasons:?}");
    assert!(reasons.contains(&format!("it is the record of {invalid}")), "{reasons:?}");
    // With another configuration it may be usable, unchanged.
    assert_eq!(fs::read_to_string(raw(&base, invalid)).unwrap(), text);
    assert!(database.get(invalid).await.unwrap().is_none() && database.get(other).await.unwrap().is_none());
}

#[tokio::test]
async fn a_new_image_does_not_overwrite_a_damaged_one() {
    let base = TempDir::new().unwrap();
    let uuid = Uuid::new_v4();
    store(&base, &format!("{uuid}.raw"), "half a rec");
    let database = open(&base).await.unwrap();
    database.insert(&image(record(uuid, json!({})))).await.unwrap();
    assert_eq!(database.status().damaged, []);
    let kept = base.path().join("manifests").join(format!("{uuid}.raw.damaged"));
    assert_eq!(fs::read_to_string(kept).unwrap(), "half a rec");
    assert!(matches!(database.insert(&image(record(uuid, json!({})))).await, Err(DbError::Conflict)));
}

#[tokio::test]
async fn an_unfinished_write_is_removed_by_the_next_start() {
    let base = TempDir::new().unwrap();
    let uuid = Uuid::new_v4();
    store(&base, &format!("{uuid}.raw"), &record(uuid, json!({})).to_string());
    store(&base, &format!("{uuid}.raw.new"), "{\"v\": 2, \"name\": \"half");
    let database = open(&base).await.unwrap();
    assert_eq!(names(&base), [format!("{uuid}.raw")]);
    assert_eq!(database.view(uuid).await.unwrap().value.unwrap().name(), "base");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_changes_nothing() {
    let base = TempDir::new().unwrap();
    let database = open(&base).await.unwrap();
    let uuid = Uuid::new_v4();
    // A directory is in the way of the temporary file.
    fs::create_dir(base.path().join("manifests").join(format!("{uuid}.raw.new"))).unwrap();
    assert!(matches!(database.insert(&image(record(uuid, json!({})))).await, Err(DbError::Failed(_))));
    assert!(database.view(uuid).await.unwrap().value.is_none());
    assert!(!raw(&base, uuid).exists());
}

#[tokio::test]
async fn an_old_record_that_cannot_be_removed_leaves_the_outcome_of_a_rename_open() {
    let base = TempDir::new().unwrap();
    let database = open(&base).await.unwrap();
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    database.insert(&image(record(old, json!({})))).await.unwrap();
    let etag = database.get(old).await.unwrap().unwrap().etag;
    database.shared.directory.keeps_all.store(true, std::sync::atomic::Ordering::Relaxed);
    let deletion = Deletion { uuid: old, etag: &etag, manifest_md5: None };
    let renamed = database.rename(&image(record(new, json!({}))), &deletion, &[]).await;
    assert!(matches!(renamed, Err(DbError::OutcomeUnknown(_))), "{renamed:?}");
    let both = async |database: &LocalDatabase| {
        for uuid in [old, new] {
            assert!(database.get(uuid).await.unwrap().is_some(), "{uuid}");
            assert!(database.view(uuid).await.unwrap().value.is_some(), "{uuid}");
        }
        assert_eq!(database.status().images, Some(2));
    };
    both(&database).await;
    drop(database);
    let database = open(&base).await.unwrap();
    both(&database).await;
    database.delete(&deletion).await.unwrap();
    assert_eq!(names(&base), [format!("{new}.raw")]);
}

#[tokio::test]
async fn a_damaged_record_is_known_until_it_is_put_aside() {
    let base = TempDir::new().unwrap();
    let uuid = Uuid::new_v4();
    store(&base, &format!("{uuid}.raw"), "half a rec");
    let database = open(&base).await.unwrap();
    let in_the_way = base.path().join("manifests").join(format!("{uuid}.raw.new"));
    fs::create_dir(&in_the_way).unwrap();
    let inserted = database.insert(&image(record(uuid, json!({})))).await;
    assert!(matches!(inserted, Err(DbError::Failed(_))), "{inserted:?}");
    assert_eq!(database.status().damaged.len(), 1);
    fs::remove_dir(&in_the_way).unwrap();
    database.insert(&image(record(uuid, json!({})))).await.unwrap();
    assert_eq!(database.status().damaged, []);
    assert!(database.get(uuid).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_file_stops_nothing_and_can_be_replaced() {
    let base = TempDir::new().unwrap();
    let good = Uuid::new_v4();
    store(&base, &format!("{good}.raw"), &record(good, json!({})).to_string());
    let odds = SpecialFile::ALL.map(|odd| (odd, Uuid::new_v4()));
    for (odd, uuid) in odds {
        odd.plant(&raw(&base, uuid));
        archive(&base, &image(record(uuid, json!({}))));
        odd.plant(&base.path().join("manifests").join(format!("{}.raw.new", Uuid::new_v4())));
    }
    let database = open(&base).await.unwrap();
    assert!(database.get(good).await.unwrap().is_some());
    let damaged = database.status().damaged;
    for (odd, uuid) in odds {
        let entry = damaged.iter().find(|entry| entry.name == format!("{uuid}.raw")).unwrap();
        let is_huge = odd == SpecialFile::Huge;
        assert_eq!(entry.reason.contains("no regular file"), !is_huge, "{}", entry.reason);
        assert_eq!(entry.reason.contains("has over"), is_huge, "{}", entry.reason);
        assert!(database.get(uuid).await.unwrap().is_none(), "{odd:?}");
        database.insert(&image(record(uuid, json!({})))).await.unwrap();
        assert!(database.get(uuid).await.unwrap().is_some(), "{odd:?}");
        let kept = base.path().join("manifests").join(format!("{uuid}.raw.damaged"));
        assert_eq!(kept.symlink_metadata().unwrap().len() > 1 << 30, is_huge, "{odd:?}");
    }
    assert_eq!(database.status().damaged, []);
    // The file outside the directory was not written to.
    assert!(fs::read_to_string("/etc/hostname").is_ok_and(|text| !text.contains("uuid")));
}
