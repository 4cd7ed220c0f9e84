// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The requests to the backends that changes need. These tests start their own service.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coal::moray::{Fault, FaultRule};
use coal::ufds::UfdsFault;
use md5::{Digest, Md5};
use moray::CallOptions;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    Actor, LUKE, NOBODY, TestApp, VADER, fresh, merged, small_manifest, small_record, tests, wait_until,
};

tests! {
    changes_read_nothing_when_nobody_interferes,
    a_refusal_is_about_what_is_there_now,
    what_an_account_does_not_see_costs_what_is_not_there_costs,
    a_moray_that_does_not_answer_keeps_nobody_waiting,
    an_owner_is_looked_up_once,
    a_server_at_rest_asks_moray_for_nothing,
}

/// The replica is used instead of a read from Moray. If it is not current, the write fails its condition.
async fn changes_read_nothing_when_nobody_interferes(_shared: &TestApp) {
    let app = TestApp::start().await;
    let luke = app.luke();
    let faults = app.dc.moray().faults();
    for method in ["getObject", "findObjects"] {
        faults.set(FaultRule::new(Fault::Refuse).method(method));
    }
    let uuid = luke.has_image(json!({})).await;
    luke.upload(&uuid, "compression=none", "x").await.ok();
    let icon = |method| luke.call(method, &format!("/images/{uuid}/icon"));
    icon(Method::PUT).header("content-type", "image/png").body("icon").send().await.ok();
    luke.activate(&uuid).await.ok();
    let update = luke.call(Method::POST, &format!("/images/{uuid}?action=update"));
    update.json(&json!({"description": "x"})).send().await.ok();
    let acl = luke.call(Method::POST, &format!("/images/{uuid}/acl"));
    acl.json(&json!([NOBODY])).send().await.ok();
    luke.act(&uuid, "disable").await.ok();
    icon(Method::DELETE).send().await.ok();
    let child = luke.has_active_image(json!({"origin": uuid})).await;
    luke.delete(&child).await.gone();
    luke.delete(&uuid).await.gone();
    // For an image that is not in the replica, Moray is asked.
    luke.activate(NOBODY).await.refused(503, "ServiceUnavailableError");
    faults.clear();
    luke.activate(NOBODY).await.not_found();
    assert!(app.stored(&uuid).await.is_none());
    for uuid in [uuid, child] {
        let last = std::fs::read(app.archived(&uuid)).unwrap();
        let md5 = STANDARD.encode(Md5::digest(last));
        let note = app.moray.get_object("imgapi_deletions", &uuid, &CallOptions::default()).await.unwrap();
        assert_eq!(note.value.get(), json!({"uuid": uuid, "contentMD5": md5}).to_string());
    }
}

/// Another server may have changed the image since this one read it.
async fn a_refusal_is_about_what_is_there_now(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    let luke = app.luke();
    let uuid = luke.has_image_with_file(json!({}), b"x").await;
    let (mut record, _) = app.stored(&uuid).await.unwrap();
    for round in 0..10 {
        record["owner"] = json!(if round % 2 == 0 { VADER } else { LUKE });
        app.store(&record).await;
        let (owner, other) = if round % 2 == 0 { (app.vader(), luke) } else { (luke, app.vader()) };
        let update = |actor: Actor<'_>| {
            let call = actor.call(Method::POST, &format!("/images/{uuid}?action=update"));
            call.json(&json!({"description": round.to_string()})).send()
        };
        // The current owner is allowed at once, and the former one is not.
        update(owner).await.ok();
        update(other).await.not_found();
        record = app.stored(&uuid).await.unwrap().0;
    }
}

/// The response time must not reveal whether there is an image that the account may not see.
async fn what_an_account_does_not_see_costs_what_is_not_there_costs(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    let hidden = app.luke().has_active_image(json!({})).await;
    let faults = app.dc.moray().faults();
    // Every answer is counted; this fault does not change its meaning.
    faults.set(FaultRule::new(Fault::RowsInEnd).method("getObject"));
    let asked = async |method: Method, target: String, body: Value| {
        let before = faults.applied();
        let answer = app.vader().call(method, &target).json(&body).send().await;
        (answer, faults.applied() - before)
    };
    let manifest = |origin: &str| merged(small_manifest(), json!({"origin": origin}));
    for (method, target, body) in [
        (Method::GET, "/images/{}", json!({})),
        (Method::HEAD, "/images/{}", json!({})),
        (Method::GET, "/images/{}/file", json!({})),
        (Method::GET, "/images/{}/icon", json!({})),
        (Method::GET, "/images/{}/jobs", json!({})),
        (Method::PUT, "/images/{}/file?compression=none", json!({})),
        (
            Method::POST,
            "/images/{}/file/from-url?compression=none",
            json!({"file_url": "https://h.example/"}),
        ),
        (Method::PUT, "/images/{}/icon", json!({})),
        (Method::DELETE, "/images/{}/icon", json!({})),
        (Method::POST, "/images/{}?action=activate", json!({})),
        (Method::POST, "/images/{}?action=enable", json!({})),
        (Method::POST, "/images/{}?action=disable", json!({})),
        (Method::POST, "/images/{}?action=update", json!({"description": "x"})),
        (Method::POST, "/images/{}?action=export&manta_path=/vader/stor/x", json!({})),
        (Method::POST, "/images/{}?action=unknown", json!({})),
        (Method::POST, "/images/{}/acl", json!([LUKE])),
        (Method::POST, "/images/{}/acl?action=remove", json!([LUKE])),
        (Method::POST, "/images/{}/clone", json!({})),
        (Method::POST, "/images/{}/push?repoAndTag=a:b", json!({})),
        (Method::DELETE, "/images/{}", json!({})),
        (Method::GET, "/images?marker={}", json!({})),
        (Method::POST, "/images", json!("origin")),
    ] {
        let with = |uuid: &str| {
            let body = if body == "origin" { manifest(uuid) } else { body.clone() };
            (method.clone(), target.replace("{}", uuid), body)
        };
        let absent = fresh();
        let (one, two) = (with(&hidden), with(&absent));
        let (refused, calls) = asked(one.0, one.1, one.2).await;
        let (also_refused, also_calls) = asked(two.0, two.1, two.2).await;
        assert!(refused.status >= 400, "{refused:?}");
        assert_eq!(refused.text().replace(&hidden, &absent), also_refused.text());
        assert_eq!((refused.status, calls), (also_refused.status, also_calls), "{method} {target}");
        assert!(calls <= 1, "{method} {target}: {calls}");
    }
}

/// These requests have not yet sent a write that may have been done.
async fn a_moray_that_does_not_answer_keeps_nobody_waiting(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    let luke = app.luke();
    let draft = luke.has_image_with_file(json!({}), b"x").await;
    let shared = luke.has_active_image(json!({"acl": [VADER]})).await;
    app.dc.moray().faults().set(Fault::Stall);
    let asked = async |actor: Actor<'_>, method: Method, target: String| {
        let began = Instant::now();
        actor.call(method, &target).send().await.refused(503, "ServiceUnavailableError");
        // The deadline of a call to Moray is ten or thirty seconds.
        assert!(began.elapsed().as_secs() < 8, "{target}: {:?}", began.elapsed());
    };
    let all = async || {
        tokio::join!(
            asked(luke, Method::GET, format!("/images/{draft}/file")),
            asked(luke, Method::GET, format!("/images/{NOBODY}")),
            asked(luke, Method::POST, format!("/images/{NOBODY}?action=activate")),
            asked(luke, Method::PUT, format!("/images/{NOBODY}/file?compression=none")),
            asked(app.vader(), Method::DELETE, format!("/images/{draft}")),
            asked(app.vader(), Method::POST, format!("/images/{shared}/clone")),
        );
    };
    all().await;
    // By now Moray is known to be unavailable.
    all().await;
    app.dc.moray().faults().clear();
    wait_until("Moray is asked again", async || (luke.download(&draft).await.status == 200).then_some(()))
        .await;
}

async fn an_owner_is_looked_up_once(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    app.luke().has_image(json!({})).await;
    app.dc.ufds().faults().set(UfdsFault::Unavailable);
    app.luke().has_image(json!({})).await;
    let create = json!({"name": "x", "version": "1", "os": "smartos", "type": "zone-dataset"});
    app.vader().create(&create).await.refused(503, "ServiceUnavailableError");
    app.dc.ufds().faults().clear();
    wait_until("UFDS is asked again", async || {
        (app.vader().create(&create).await.status == 200).then_some(())
    })
    .await;
}

/// Like 4.13.1, the server is idle, except for an occasional request.
async fn a_server_at_rest_asks_moray_for_nothing(_shared: &TestApp) {
    let app = TestApp::start().await;
    app.luke().list("").await;
    let faults = app.dc.moray().faults();
    // Every answer is counted; this fault does not change its meaning.
    faults.set(FaultRule::new(Fault::RowsInEnd));
    let mut last = (faults.applied(), Instant::now());
    wait_until("nothing is asked", async || {
        if faults.applied() != last.0 {
            last = (faults.applied(), Instant::now());
        }
        (last.1.elapsed().as_secs() >= 4).then_some(())
    })
    .await;
    // A read makes the server ask at once for the changes in between.
    let uuid = fresh();
    app.store(&small_record(json!({"uuid": uuid, "activated": true, "state": "active"}))).await;
    assert!(app.operator().list("").await.iter().any(|image| image["uuid"] == uuid));
}
