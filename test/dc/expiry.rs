// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Placeholders that have expired. These tests start their own datacenters.

use coal::moray::{Fault, FaultRule};
use moray::PutOptions;
use serde_json::{Value, json};

use super::support::{TestApp, merged, small_record, tests, wait_until, within};

tests! {
    placeholders_disappear_when_their_time_is_over_and_nothing_else_does,
    a_placeholder_that_becomes_an_image_meanwhile_stays,
}

fn placeholder(changes: Value) -> Value {
    let nothing = json!({
        "type": "null", "os": "null", "state": "creating", "activated": false, "published_at": null, "files": null,
    });
    merged(merged(small_record(json!({})), nothing), changes)
}

/// Waits until the worker has done its work, and returns its state.
async fn expired_once(app: &TestApp) -> Value {
    wait_until("placeholders are gone", async || {
        let state = app.operator().get("/state").await.ok();
        let worker = state["workers"].as_array()?.iter().find(|worker| worker["name"] == "expiry")?.clone();
        worker["lastSuccess"].is_string().then_some(worker)
    })
    .await
}

/// The deletion is in transit to Moray while a compute node imports the image through another process.
async fn a_placeholder_that_becomes_an_image_meanwhile_stays(_shared: &TestApp) {
    let mut app = TestApp::start_empty().await;
    // Otherwise the worker would find them before the restart.
    expired_once(&app).await;
    let both = [(); 2].map(|()| placeholder(json!({"expires_at": "2020-01-01T00:00:00.000Z"})));
    app.store_all(&both).await;
    let faults = app.dc.moray().faults().clone();
    faults.set(FaultRule::new(Fault::Stall).method("batch").times(1));
    let before = faults.applied();
    app.dc.restart_imgapi().await.unwrap();
    within("a deletion", faults.wait_applied(before + 1)).await;
    // Moray holds the deletion of one of the two; the other one is next.
    let images = both.map(|record| {
        small_record(json!({
            "uuid": record["uuid"], "state": "unactivated", "activated": false, "files": null, "published_at": null,
        }))
    });
    for image in &images {
        let uuid = image["uuid"].as_str().unwrap();
        app.moray.put_object("imgapi_images", uuid, image, &PutOptions::default()).await.unwrap();
    }
    faults.clear();
    let state = expired_once(&app).await;
    assert_eq!((&state["done"], &state["failures"]), (&json!(0), &json!(0)));
    for image in &images {
        assert_eq!(&app.stored(image["uuid"].as_str().unwrap()).await.unwrap().0, image);
    }
    app.stop().await;
}

async fn placeholders_disappear_when_their_time_is_over_and_nothing_else_does(_shared: &TestApp) {
    let mut app = TestApp::start_empty().await;
    // Otherwise the worker would find them before the restart.
    expired_once(&app).await;
    let (past, future) = ("2020-01-01T00:00:00.000Z", "2090-01-01T00:00:00.000Z");
    let with_file = small_record(json!({}))["files"].clone();
    let expired = [
        placeholder(json!({"expires_at": past})),
        placeholder(json!({"expires_at": past, "state": "failed"})),
        placeholder(json!({"expires_at": past, "files": with_file})),
    ];
    let others = [
        placeholder(json!({"expires_at": future})),
        placeholder(json!({})),
        placeholder(json!({"expires_at": "soon"})),
        small_record(json!({"expires_at": past})),
        small_record(json!({"expires_at": past, "state": "unactivated", "activated": false})),
    ];
    app.store_all(&expired).await;
    app.store_all(&others).await;
    let of = |record: &Value| record["uuid"].as_str().unwrap().to_owned();
    let has_file = of(&expired[2]);
    for (path, content) in [(app.file(&has_file), "file"), (app.archived(&has_file), "{}")] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    app.dc.restart_imgapi().await.unwrap();
    let state = expired_once(&app).await;
    assert_eq!((&state["done"], &state["failures"]), (&json!(3), &json!(0)));
    for record in &expired {
        assert!(app.stored(&of(record)).await.is_none(), "{record}");
    }
    for record in &others {
        assert_eq!(&app.stored(&of(record)).await.unwrap().0, record);
    }
    assert!(!app.file(&has_file).exists() && app.archived(&has_file).exists());
    app.stop().await;
}
