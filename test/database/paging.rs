// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Pages through lists with `limit` and `marker` as clients do. Each image must be listed once, whatever its time.

use std::collections::HashSet;

use coal::moray::{Fault, FaultRule};
use imgapi::db::Database;
use imgapi::manifest::Uuid;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{Subject, deletion, image, listed, on_both, record, start_moray, unloaded_in_moray};

on_both! {
    walks_reach_every_image_once,
    a_walk_goes_on_while_images_come_and_go,
    a_date_is_a_moment,
}

/// Returns a time within three seconds, with or without milliseconds, so that many images share one; or an invalid date; or no
/// time.
fn any_time(random: &mut StdRng) -> Value {
    let second = random.random_range(0..3);
    match random.random_range(0..8) {
        0 => Value::Null,
        1 => json!("2030-02-31T00:00:00Z"),
        2 => json!("2030-99-99T99:99:99.000Z"),
        3..5 => json!(format!("2030-01-01T00:00:0{second}Z")),
        _ => json!(format!("2030-01-01T00:00:0{second}.{:03}Z", random.random_range(0..3) * 250)),
    }
}

fn any_record(random: &mut StdRng) -> Value {
    let mut record = record(Uuid::new_v4(), 0, json!({"published_at": any_time(random)}));
    if record["published_at"].is_null() {
        let draft = json!({"activated": false, "state": "unactivated"});
        record.as_object_mut().unwrap().extend(draft.as_object().unwrap().clone());
        record.as_object_mut().unwrap().remove("published_at");
    }
    record["acl"] = json!([Uuid::NIL]);
    record["public"] = json!(random.random_bool(0.5));
    record
}

fn uuid_of(record: &Value) -> Uuid {
    record["uuid"].as_str().unwrap().parse().unwrap()
}

/// Follows the pages to the end, as `sdc-clients` does, and runs a callback between the pages.
async fn walk(
    database: &Database,
    query: &str,
    limit: usize,
    mut between: impl AsyncFnMut(&[Uuid]),
) -> Vec<Uuid> {
    let mut seen: Vec<Uuid> = Vec::new();
    loop {
        let marker = seen.last().map(|last| format!("&marker={last}")).unwrap_or_default();
        let page = listed(database, &format!("{query}&limit={limit}{marker}")).await;
        assert!(page.len() <= limit);
        // The marker is inclusive.
        let skipped = usize::from(!seen.is_empty() && page.first() == seen.last());
        assert!(seen.is_empty() || skipped == 1, "the marker is the first of its page");
        seen.extend(&page[skipped..]);
        if page.len() < limit {
            return seen;
        }
        between(&seen).await;
    }
}

/// Pages in both directions, with several limits, through all images and through those that an account may see.
async fn assert_walks(database: &Database, context: &str) {
    for query in ["state=all", "state=all&account=00000000-0000-0000-0000-000000000000", ""] {
        for sort in ["published_at.asc", "published_at.desc"] {
            let query = format!("{query}&sort={sort}");
            let all = listed(database, &query).await;
            for limit in [2, 3, 7] {
                let walked = walk(database, &query, limit, async |_| {}).await;
                assert_eq!(walked, all, "{context}: {query}, {limit} at a time");
            }
            // From any image to the end of the list.
            for (at, marker) in all.iter().enumerate().step_by(5) {
                let rest = listed(database, &format!("{query}&marker={marker}&limit=5")).await;
                assert_eq!(rest, all[at..all.len().min(at + 5)], "{context}: {query} from {marker}");
            }
        }
    }
    let mut backwards = listed(database, "state=all&sort=published_at.desc").await;
    backwards.reverse();
    assert_eq!(backwards, listed(database, "state=all").await, "{context}");
}

async fn walks_reach_every_image_once(subject: Subject) {
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..30 {
        subject.database.insert(&image(any_record(&mut random))).await.unwrap();
    }
    assert_walks(&subject.database, "seed 7").await;
}

/// While the replica does not contain Moray's images, Moray itself is queried.
#[tokio::test]
async fn walks_through_moray_itself_reach_every_image_once() {
    let data = tempfile::TempDir::new().unwrap();
    let moray = start_moray(data.path()).await;
    let filled = crate::support::in_moray(&moray).await;
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..30 {
        filled.insert(&image(any_record(&mut random))).await.unwrap();
    }
    // Loading the replica begins with this request.
    moray.faults().set(FaultRule::new(Fault::Stall).method("getBucket"));
    let database = unloaded_in_moray(&moray);
    assert_walks(&database, "seed 8").await;
    for query in ["state=all&limit=9", "state=all&sort=published_at.desc&limit=9", "limit=4", "name=nothing"]
    {
        assert_eq!(listed(&database, query).await, listed(&filled, query).await, "{query}");
    }
    assert_eq!(database.status().images, None);
    moray.faults().clear();
}

async fn a_walk_goes_on_while_images_come_and_go(subject: Subject) {
    let mut random = StdRng::seed_from_u64(9);
    let stay: Vec<_> = (0..20).map(|_| any_record(&mut random)).collect();
    let go: Vec<_> = (0..20).map(|_| any_record(&mut random)).collect();
    for record in stay.iter().chain(&go) {
        subject.database.insert(&image(record.clone())).await.unwrap();
    }
    let stay: HashSet<Uuid> = stay.iter().map(uuid_of).collect();
    let mut going: Vec<Uuid> = go.iter().map(uuid_of).collect();
    for (sort, limit) in [("asc", 2), ("desc", 3)] {
        let walked =
            walk(&subject.database, &format!("state=all&sort=published_at.{sort}"), limit, async |seen| {
                subject.database.insert(&image(any_record(&mut random))).await.unwrap();
                // The last image stays, because the next page begins with it.
                if let Some(at) = going.iter().position(|uuid| seen.last() != Some(uuid)) {
                    let uuid = going.swap_remove(at);
                    let etag = subject.database.get(uuid).await.unwrap().unwrap().etag;
                    subject.database.delete(&deletion(uuid, &etag)).await.unwrap();
                }
            })
            .await;
        let unique: HashSet<Uuid> = walked.iter().copied().collect();
        assert_eq!(unique.len(), walked.len(), "{sort}: each once");
        assert!(unique.is_superset(&stay), "{sort}: all that stay");
    }
}

async fn a_date_is_a_moment(subject: Subject) {
    let mut uuids = Vec::new();
    for time in ["09:59:59.999Z", "10:00:00Z", "10:00:00.000Z", "10:00:00.250Z", "10:00:01Z"] {
        let uuid: Uuid = format!("{:08}-0000-4000-8000-000000000000", uuids.len()).parse().unwrap();
        let changes = json!({"published_at": format!("2030-01-01T{time}")});
        subject.database.insert(&image(record(uuid, 0, changes))).await.unwrap();
        uuids.push(uuid);
    }
    let mut reversed = uuids.clone();
    reversed.reverse();
    for (marker, from, until) in [
        ("2030-01-01T10:00:00Z", &uuids[1..], &reversed[2..]),
        ("2030-01-01T10:00:00.000Z", &uuids[1..], &reversed[2..]),
        ("2030-01-01T10:00:00.250Z", &uuids[3..], &reversed[1..]),
        ("2030-01-01T10:00:00.251Z", &uuids[4..], &reversed[1..]),
        ("2030-01-01T10:00:01.000Z", &uuids[4..], &reversed[..]),
        ("2030-01-01T11:00:01+01:00", &uuids[4..], &reversed[..]),
        ("9999-12-31T23:59:59Z", &[], &reversed[..]),
    ] {
        assert_eq!(subject.listed(&format!("marker={marker}")).await, from, "from {marker}");
        let until_now = subject.listed(&format!("marker={marker}&sort=published_at.desc")).await;
        assert_eq!(until_now, until, "until {marker}");
    }
}
