// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The replica of Moray, with other writers that do not notify it.

use std::time::{Duration, Instant};

use coal::moray::{Fault, Location, MorayServer};
use imgapi::db::Database;
use imgapi::manifest::Uuid;
use moray::{BatchRequest, CallOptions, DeleteOptions, Filter, Precondition, PutOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{image, in_moray, listed, record, start_moray, text, wait_until};

const BUCKET: &str = "imgapi_images";

/// A database with its replica, and a client of the same Moray.
struct Stage {
    database: Database,
    client: moray::Client,
    moray: MorayServer,
    data: TempDir,
}

impl Stage {
    async fn start() -> Stage {
        let data = TempDir::new().unwrap();
        let moray = start_moray(data.path()).await;
        let database = in_moray(&moray).await;
        let address = moray.address();
        let client = moray::Client::new(moray::Config::direct(address.ip().to_string(), address.port()));
        Stage { database, client, moray, data }
    }

    async fn put(&self, record: &Value) {
        let key = record["uuid"].as_str().unwrap();
        self.client.put_object(BUCKET, key, record, &PutOptions::default()).await.unwrap();
    }

    async fn put_all(&self, records: &[Value]) {
        for part in records.chunks(200) {
            let puts: Vec<_> = part
                .iter()
                .map(|record| {
                    let key = record["uuid"].as_str().unwrap();
                    BatchRequest::put(BUCKET, key, record, Precondition::Any).unwrap()
                })
                .collect();
            self.client.batch(&puts, &CallOptions::default()).await.unwrap();
        }
    }

    async fn delete(&self, uuid: Uuid) {
        self.client.del_object(BUCKET, &uuid.to_string(), &DeleteOptions::default()).await.unwrap();
    }

    async fn count(&self) -> usize {
        listed(&self.database, "state=all&limit=100000").await.len()
    }
}

fn records(count: u32) -> Vec<Value> {
    (0..count).map(|number| record(Uuid::new_v4(), number % 60, json!({}))).collect()
}

fn uuid_of(record: &Value) -> Uuid {
    record["uuid"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_others_insert_change_and_delete_is_seen() {
    let stage = Stage::start().await;
    let uuid = Uuid::new_v4();
    stage.put(&record(uuid, 1, json!({}))).await;
    wait_until(async || listed(&stage.database, "").await == [uuid]).await;
    stage.put(&record(uuid, 1, json!({"description": "changed"}))).await;
    wait_until(async || text(&stage.database, uuid).await.is_some_and(|text| text.contains("changed"))).await;
    stage.delete(uuid).await;
    wait_until(async || listed(&stage.database, "").await.is_empty()).await;
    assert_eq!(text(&stage.database, uuid).await, None);
}

#[tokio::test]
async fn an_image_that_nobody_knows_here_yet_is_found() {
    let stage = Stage::start().await;
    for _ in 0..20 {
        let uuid = Uuid::new_v4();
        stage.put(&record(uuid, 1, json!({}))).await;
        // The image is visible at once: no 404 is stale.
        assert!(text(&stage.database, uuid).await.is_some());
    }
}

#[tokio::test]
async fn unknown_uuids_in_great_number_are_answered() {
    let stage = Stage::start().await;
    let lookups = (0..200).map(|_| text(&stage.database, Uuid::new_v4()));
    assert!(futures_util::future::join_all(lookups).await.iter().all(Option::is_none));
}

#[tokio::test]
async fn deletes_are_found_wherever_they_are() {
    let stage = Stage::start().await;
    let all = records(3000);
    stage.put_all(&all).await;
    wait_until(async || stage.count().await == all.len()).await;
    let gone: Vec<_> = all.iter().step_by(701).chain(&all[1000..1003]).map(uuid_of).collect();
    for uuid in &gone {
        stage.delete(*uuid).await;
    }
    // One record is added for each deleted one, so that the number alone shows no change.
    let come = records(u32::try_from(gone.len()).unwrap());
    stage.put_all(&come).await;
    wait_until(async || {
        let listed = listed(&stage.database, "state=all&limit=100000").await;
        listed.len() == all.len() && gone.iter().all(|uuid| !listed.contains(uuid))
    })
    .await;
    assert!(listed(&stage.database, "state=all&limit=100000").await.contains(&uuid_of(&come[0])));

    // Most of the records are deleted at once.
    let name = moray::Attribute::from_static("name");
    stage.put(&record(uuid_of(&come[0]), 1, json!({"name": "kept"}))).await;
    let options = moray::DeleteManyOptions { no_limit: true, ..moray::DeleteManyOptions::default() };
    stage.client.delete_many(BUCKET, &Filter::eq(name, "base"), &options).await.unwrap();
    wait_until(async || listed(&stage.database, "state=all").await == [uuid_of(&come[0])]).await;
}

#[tokio::test]
async fn writers_that_never_pause_do_not_make_it_load_everything_again() {
    let stage = Stage::start().await;
    let (old, new) = (records(1500), records(3000));
    stage.put_all(&old).await;
    wait_until(async || stage.count().await == old.len()).await;
    let is_complete = || stage.database.status().images.is_some();
    let insert = async |part: &[Value]| {
        for record in part {
            stage.put(record).await;
            assert!(is_complete(), "while others insert");
        }
    };
    let delete = async |part: &[Value]| {
        for record in part {
            stage.delete(uuid_of(record)).await;
            assert!(is_complete(), "while others delete");
        }
    };
    let inserts = futures_util::future::join_all(new.chunks(500).map(insert));
    let deletes = futures_util::future::join_all(old.chunks(500).map(delete));
    tokio::join!(inserts, deletes);
    wait_until(async || stage.count().await == new.len()).await;
    assert!(is_complete());
}

#[tokio::test]
async fn a_great_many_changes_at_once_are_all_seen() {
    let stage = Stage::start().await;
    let mut all = records(2500);
    stage.put_all(&all).await;
    wait_until(async || stage.count().await == all.len()).await;
    for record in &mut all {
        record["description"] = json!("rewritten");
    }
    stage.put_all(&all).await;
    for record in &all {
        let uuid = uuid_of(record);
        wait_until(async || text(&stage.database, uuid).await.is_some_and(|text| text.contains("rewritten")))
            .await;
    }
}

#[tokio::test]
async fn records_that_cannot_be_used_are_reported_until_they_are_repaired() {
    let stage = Stage::start().await;
    let uuid = Uuid::new_v4();
    stage.put(&record(uuid, 1, json!({"os": "beos"}))).await;
    let strange = json!({"uuid": "not a uuid"});
    stage.client.put_object(BUCKET, "strange", &strange, &PutOptions::default()).await.unwrap();
    wait_until(async || stage.database.status().damaged.len() == 2).await;
    let reasons = stage.database.status().damaged;
    assert_eq!((reasons[0].name.clone(), &*reasons[0].reason), (uuid.to_string(), "not valid: os"));
    assert_eq!(reasons[1].name, "strange");
    assert!(text(&stage.database, uuid).await.is_none() && stage.count().await == 0);
    stage.put(&record(uuid, 1, json!({}))).await;
    wait_until(async || stage.database.status().damaged.len() == 1).await;
    assert!(text(&stage.database, uuid).await.is_some());
}

#[tokio::test]
async fn a_moray_that_goes_back_to_an_earlier_state_is_loaded_again() {
    let stage = Stage::start().await;
    let (kept, lost) = (Uuid::new_v4(), Uuid::new_v4());
    stage.put(&record(kept, 1, json!({"description": "early"}))).await;
    wait_until(async || stage.count().await == 1).await;
    stage.moray.stop().await;
    let backup = stage.data.path().join("backup.sqlite");
    for suffix in ["", "-wal", "-shm"] {
        let from = stage.data.path().join(format!("moray.sqlite{suffix}"));
        if from.exists() {
            std::fs::copy(from, format!("{}{suffix}", backup.display())).unwrap();
        }
    }
    stage.moray.start().await.unwrap();
    stage.put(&record(kept, 1, json!({"description": "late"}))).await;
    stage.put(&record(lost, 2, json!({}))).await;
    wait_until(async || {
        stage.database.view(lost).await.is_ok_and(|found| found.stale.is_none() && found.value.is_some())
    })
    .await;
    wait_until(async || stage.count().await == 2).await;

    let address = stage.moray.address();
    stage.moray.stop().await;
    drop(stage.moray);
    let restored = wait_for_port(address, Location::File(backup)).await;
    wait_until(async || match stage.database.view(kept).await {
        Ok(found) => {
            found.stale.is_none()
                && found.value.is_some_and(|view| {
                    let text = view.text(&crate::support::FORM);
                    String::from_utf8_lossy(&text).contains("early")
                })
        }
        Err(_) => false,
    })
    .await;
    wait_until(async || listed(&stage.database, "state=all").await == [kept]).await;
    restored.stop().await;
}

/// Waits until the port is free, which it is when the last connection to it has ended.
async fn wait_for_port(address: std::net::SocketAddr, location: Location) -> MorayServer {
    loop {
        if let Ok(server) = MorayServer::bind(address, location.clone()).await {
            return server;
        }
        tokio::task::yield_now().await;
    }
}

/// Moray may show a transaction's new dependent later than its change of the origin. So a caller who knows a version written by
/// another process does not know everything else in its transaction.
#[tokio::test]
async fn an_origin_that_another_process_has_touched_is_not_known_to_be_unneeded() {
    let stage = Stage::start().await;
    let (own, others) = (Uuid::new_v4(), Uuid::new_v4());
    stage.database.insert(&image(record(own, 1, json!({})))).await.unwrap();
    stage.put(&record(others, 2, json!({}))).await;
    wait_until(async || listed(&stage.database, "").await.len() == 2).await;
    let dependents = async |uuid| {
        let stored = stage.database.known(uuid).await.unwrap().unwrap();
        stage.database.known_dependents(&stored).await.unwrap()
    };
    assert_eq!(dependents(own).await, Some(Vec::new()));
    assert_eq!(dependents(others).await, None);
    // The write that a dependent's transaction makes.
    stage.put(&record(own, 1, json!({"write_fence": Uuid::new_v4()}))).await;
    wait_until(async || {
        listed(&stage.database, "").await;
        dependents(own).await.is_none()
    })
    .await;
}

/// Moray has been idle for a while, and then does not answer.
#[tokio::test]
async fn a_moray_that_hangs_keeps_no_read_of_what_is_known_waiting() {
    let stage = Stage::start().await;
    let uuid = Uuid::new_v4();
    stage.database.insert(&image(record(uuid, 1, json!({})))).await.unwrap();
    assert!(text(&stage.database, uuid).await.is_some());
    let asked = || stage.moray.faults().applied();
    // Every answer is counted; this fault does not change its meaning.
    stage.moray.faults().set(Fault::RowsInEnd);
    let mut last = (asked(), Instant::now());
    wait_until(async || {
        if asked() != last.0 {
            last = (asked(), Instant::now());
        }
        last.1.elapsed() >= Duration::from_secs(2)
    })
    .await;
    stage.moray.faults().clear();
    stage.moray.faults().set(Fault::Stall);
    // This is less than the deadline of a call.
    let found = tokio::time::timeout(Duration::from_secs(9), stage.database.view(uuid)).await;
    let found = found.expect("an answer").unwrap();
    assert!(found.stale.is_some() && found.value.is_some());
    stage.moray.faults().clear();
}
