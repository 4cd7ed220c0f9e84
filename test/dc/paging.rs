// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `limit`, `marker` and `sort`.

use serde_json::{Value, json};

use super::support::{
    Actor, BASE, BASE_2, FATHER, JOIN_US, LUKE, NOBODY, TestApp, VADER, fresh, merged, small_record, tests,
};

tests! {
    clients_page_through_everything,
    a_marker_is_inclusive_in_both_directions,
    a_marker_is_an_image_or_a_date,
    a_marker_that_the_account_may_not_read_is_not_there,
    unpublished_images_sort_as_the_oldest,
    a_page_is_filled_up_past_invalid_records,
    images_of_one_time_are_more_than_a_page,
    a_marker_that_is_deleted_is_not_found,
}

/// Number of valid images in the paging test: two and a half pages of the usual client.
const IMAGES: usize = 2500;

/// Returns a UUID that sorts by `index`, so that ties have a known order.
fn uuid(index: usize) -> String {
    format!("{index:08x}-7a6e-4000-8000-{:012x}", 0x00c0_ffee)
}

/// Returns the records. Three images share each time; 4.13.1 cannot show every tenth record.
fn records(owner: &str) -> Vec<Value> {
    let time = |index: usize| format!("2035-01-01T{:02}:{:02}:00.000Z", index / 3 / 60, index / 3 % 60);
    let image = |index: usize| {
        let own =
            json!({"uuid": uuid(index), "owner": owner, "published_at": time(index), "description": null});
        small_record(own)
    };
    let valid = (0..IMAGES).map(image);
    let invalid = (0..IMAGES / 10).map(|index| {
        let broken = json!({"uuid": uuid(0x1000_0000 + index), "published_at": time(index * 10), "version": "no such version!"});
        merged(image(0), broken)
    });
    valid.chain(invalid).collect()
}

/// Pages as the npm package `sdc-clients` does: the marker is the last image, which is listed again.
async fn clients_page_through_everything(app: &TestApp) {
    let owner = fresh();
    app.store_all(&records(&owner)).await;
    for actor in [app.operator(), app.luke()] {
        // The account's own images are another scope, but have the same pages.
        let account = if actor.list(&format!("owner={owner}&limit=1")).await.is_empty() {
            format!("&account={owner}")
        } else {
            String::new()
        };
        let mut collected: Vec<String> = Vec::new();
        let mut query = format!("owner={owner}{account}");
        loop {
            let page = app.operator().list_uuids(&query).await;
            let length = page.len();
            assert!(length <= 1000);
            let skipped = usize::from(collected.last().is_some() && collected.last() == page.first());
            collected.extend(page.into_iter().skip(skipped));
            if length < 1000 {
                break;
            }
            query = format!("owner={owner}{account}&limit=1000&marker={}", collected.last().unwrap());
        }
        assert_eq!(collected, (0..IMAGES).map(uuid).collect::<Vec<_>>());
    }
}

async fn a_marker_is_inclusive_in_both_directions(app: &TestApp) {
    let owner = fresh();
    let time = |day: usize| format!("2036-01-{day:02}T00:00:00.000Z");
    let records: Vec<_> =
        (1..=5).map(|day| small_record(json!({"owner": owner, "published_at": time(day)}))).collect();
    app.store_all(&records).await;
    let uuids: Vec<String> =
        records.iter().map(|record| record["uuid"].as_str().unwrap().to_owned()).collect();
    let list = async |query: &str| app.operator().list_uuids(&format!("owner={owner}&{query}")).await;
    let reversed: Vec<_> = uuids.iter().rev().cloned().collect();
    for (query, expected) in [
        (String::new(), &uuids[..]),
        ("sort=published_at".into(), &uuids[..]),
        ("sort=published_at.asc".into(), &uuids[..]),
        ("sort=published_at.ASC&limit=2".into(), &uuids[..2]),
        ("sort=published_at.desc".into(), &reversed[..]),
        ("sort=published_at.DESC&limit=2".into(), &reversed[..2]),
        ("limit=2".into(), &uuids[..2]),
        ("limit=0".into(), &uuids[..]),
        ("limit=".into(), &uuids[..]),
        ("limit=1e9".into(), &uuids[..]),
        (format!("marker={}", uuids[2]), &uuids[2..]),
        (format!("marker={}&limit=2", uuids[2]), &uuids[2..4]),
        (format!("marker={}&sort=published_at.desc", uuids[2]), &reversed[2..]),
        (format!("marker={}", time(3)), &uuids[2..]),
        ("marker=2036-01-03".into(), &uuids[2..]),
        ("marker=2036".into(), &uuids[..]),
        ("marker=Thu,%2003%20Jan%202036%2000:00:00%20GMT".into(), &uuids[2..]),
        ("marker=2036-01-03T00:00:00.001Z".into(), &uuids[3..]),
    ] {
        assert_eq!(list(&query).await, expected, "{query}");
    }
}

async fn a_marker_is_an_image_or_a_date(app: &TestApp) {
    let operator = app.operator();
    operator.get(&format!("/images?marker={NOBODY}")).await.not_found();
    operator.get("/images?marker=nonsense").await.refused_field("InvalidParameter", "marker", "Invalid");
    for odd in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00%2B01:00"] {
        let answer = operator.get(&format!("/images?marker={odd}")).await;
        answer.refused_field("InvalidParameter", "marker", "Invalid");
    }
    // An unpublished image comes before all others. The marker may be an image of any owner.
    let own = format!("owner={VADER}&state=all");
    assert_eq!(operator.list(&format!("{own}&marker={BASE_2}")).await.len(), 2);
    assert_eq!(operator.list_uuids(&format!("{own}&marker={JOIN_US}")).await[0], JOIN_US);
    assert!(app.vader().list_uuids(&format!("marker={BASE}")).await.contains(&BASE.to_owned()));
}

async fn a_marker_that_the_account_may_not_read_is_not_there(app: &TestApp) {
    let private = small_record(json!({"acl": [VADER]}));
    app.store(&private).await;
    let private = private["uuid"].as_str().unwrap();
    let list = async |account: &str, marker: &str| {
        app.operator().get(&format!("/images?account={account}&marker={marker}&limit=1")).await
    };
    let mut messages = Vec::new();
    for (account, hidden) in
        [(LUKE, NOBODY), (LUKE, private), (LUKE, JOIN_US), (LUKE, BASE_2), ("x", private), ("x", FATHER)]
    {
        let refused = list(account, hidden).await.refused(404, "ResourceNotFound");
        messages.push(refused.message.replace(hidden, "X"));
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    for (account, seen) in [(VADER, private), (VADER, JOIN_US), (LUKE, FATHER), ("x", BASE), ("", private)] {
        list(account, seen).await.ok();
    }
}

async fn unpublished_images_sort_as_the_oldest(app: &TestApp) {
    let owner = fresh();
    let draft = json!({"owner": owner, "published_at": null, "activated": false, "state": "unactivated", "files": []});
    let records = [small_record(json!({"owner": owner})), small_record(draft)];
    app.store_all(&records).await;
    let list =
        async |query: &str| app.operator().list_uuids(&format!("owner={owner}&state=all&{query}")).await;
    let [published, unpublished] = records.map(|record| record["uuid"].as_str().unwrap().to_owned());
    assert_eq!(list("").await, [unpublished.clone(), published.clone()]);
    assert_eq!(list("sort=published_at.desc").await, [published.clone(), unpublished]);
    assert_eq!(list("marker=2000").await, [published]);
}

async fn a_page_is_filled_up_past_invalid_records(app: &TestApp) {
    let owner = fresh();
    let broken = json!({"owner": owner, "published_at": "2020-01-01T00:00:00.000Z", "os": "no such system"});
    let mut records: Vec<_> = (0..10).map(|_| small_record(broken.clone())).collect();
    records.extend((0..3).map(|_| small_record(json!({"owner": owner}))));
    app.store_all(&records).await;
    assert_eq!(app.operator().list(&format!("owner={owner}&limit=2")).await.len(), 2);
    assert_eq!(app.operator().list(&format!("owner={owner}")).await.len(), 3);
    app.operator().get_image(records[0]["uuid"].as_str().unwrap()).await.not_found();
}

/// Returns the images of all pages, for a client that requests `limit` at a time.
async fn walk(actor: Actor<'_>, query: &str, limit: usize) -> Vec<String> {
    let mut walked: Vec<String> = Vec::new();
    loop {
        let marker = walked.last().map(|last| format!("&marker={last}")).unwrap_or_default();
        let page = actor.list_uuids(&format!("{query}&limit={limit}{marker}")).await;
        let length = page.len();
        let skipped = usize::from(!walked.is_empty() && walked.last() == page.first());
        walked.extend(page.into_iter().skip(skipped));
        assert!(walked.len() <= 1000, "the pages have no end");
        if length < limit {
            return walked;
        }
    }
}

async fn images_of_one_time_are_more_than_a_page(app: &TestApp) {
    let owner = fresh();
    // Some of the times have no milliseconds. They sort as if the milliseconds were zero.
    let times = ["10:00:00Z", "10:00:00.250Z", "10:00:00.000Z", "09:59:59.999Z", "10:00:00Z", "10:00:01Z"];
    let mut records: Vec<_> = (0..24)
        .map(|index| format!("2037-01-01T{}", times[index % times.len()]))
        .map(|time| small_record(json!({"owner": owner, "published_at": time})))
        .collect();
    let draft = json!({"owner": owner, "published_at": null, "activated": false, "state": "unactivated"});
    records.extend((0..5).map(|_| small_record(merged(draft.clone(), json!({"files": []})))));
    app.store_all(&records).await;
    let mut expected: Vec<(u64, String)> = records
        .iter()
        .map(|record| {
            let digits = record["published_at"]
                .as_str()
                .unwrap_or_default()
                .replace(|c: char| !c.is_ascii_digit(), "");
            (format!("{digits:0<17}").parse().unwrap(), record["uuid"].as_str().unwrap().to_owned())
        })
        .collect();
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, uuid)| uuid).collect();
    let reversed: Vec<_> = expected.iter().rev().cloned().collect();
    for limit in [2, 3, 5, 100] {
        let query = format!("owner={owner}&state=all");
        assert_eq!(walk(app.operator(), &query, limit).await, expected, "{limit} at a time");
        let down = format!("{query}&sort=published_at.desc");
        assert_eq!(walk(app.operator(), &down, limit).await, reversed, "{limit} at a time, downwards");
    }
    let query = format!("owner={owner}&marker=2037-01-01T10:00:00Z&sort=published_at.desc");
    assert_eq!(app.operator().list_uuids(&query).await, reversed[8..24]);
}

async fn a_marker_that_is_deleted_is_not_found(app: &TestApp) {
    let (gone, next) =
        (app.luke().has_active_image(json!({})).await, app.luke().has_active_image(json!({})).await);
    let list = async |marker: &str| app.luke().get(&format!("/images?marker={marker}&limit=2")).await;
    assert_eq!(list(&gone).await.ok()[0]["uuid"], gone);
    app.luke().delete(&gone).await.gone();
    // The place of the marker is no longer known. The client can continue from an earlier image.
    list(&gone).await.not_found();
    assert_eq!(list(&next).await.ok()[0]["uuid"], next);
}
