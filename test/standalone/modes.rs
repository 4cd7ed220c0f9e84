// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The rules of a mode for images.

use serde_json::{Value, json};

use super::configured;
use super::support::{NOBODY, SDC, TestApp, fresh, merged, tests};

tests! {
    public_images_on_a_public_server_and_private_ones_on_a_private_one,
    a_public_server_hides_what_operators_note,
    an_image_without_an_owner_is_nobodys,
}

fn manifest(changes: Value) -> Value {
    merged(json!({"owner": SDC, "name": "small", "version": "1", "type": "other", "os": "other"}), changes)
}

async fn public_images_on_a_public_server_and_private_ones_on_a_private_one(app: &TestApp) {
    let private = configured(json!({"mode": "private"})).await;
    for (app, right) in [(app, true), (&private, false)] {
        let refused = app.operator().create(&manifest(json!({"public": !right}))).await;
        refused.refused_field("ValidationFailed", "public", "Invalid");
        // A standalone server does not check owners.
        let image = app.operator().create(&manifest(json!({"public": right, "owner": NOBODY}))).await.ok();
        assert_eq!((&image["public"], &image["owner"]), (&json!(right), &json!(NOBODY)));
        let target = format!("/images/{}?action=update", image["uuid"].as_str().unwrap());
        let update =
            async |body: Value| app.operator().call(reqwest::Method::POST, &target).json(&body).send().await;
        update(json!({"public": !right})).await.refused_field("ValidationFailed", "public", "Invalid");
        assert_eq!(update(json!({"name": "renamed"})).await.ok()["name"], "renamed");
    }
    // There are no channels, so there is no route to list them.
    private.operator().get("/channels").await.not_found();
    private.stop().await;
}

async fn a_public_server_hides_what_operators_note(app: &TestApp) {
    let body = manifest(json!({"public": true, "billing_tags": ["b"], "traits": {"t": true}}));
    let image = app.operator().create(&body).await.ok();
    assert_eq!((image.get("billing_tags"), image.get("traits")), (None, None));
    let (record, _) = app.stored(image["uuid"].as_str().unwrap()).await.unwrap();
    assert_eq!(record["billing_tags"], json!(["b"]));
}

/// The owner of an image without an owner.
const NOBODYS: &str = "00000000-0000-0000-0000-000000000000";

/// The manifests of `imgadm create` have no owner.
async fn an_image_without_an_owner_is_nobodys(app: &TestApp) {
    let ownerless = json!({"name": "small", "version": "1", "type": "other", "os": "other"});
    for owner in [json!({}), json!({"owner": null}), json!({"owner": ""})] {
        let body = merged(merged(ownerless.clone(), json!({"public": true})), owner);
        assert_eq!(app.operator().create(&body).await.ok()["owner"], NOBODYS);
    }
    app.operator().create(&ownerless).await.refused_field("ValidationFailed", "public", "Invalid");
    let wrong = merged(ownerless.clone(), json!({"public": true, "owner": "x"}));
    app.operator().create(&wrong).await.refused_field("InvalidParameter", "owner", "Invalid");
    let uuid = fresh();
    let import = async |changes: Value| {
        let body = merged(merged(ownerless.clone(), json!({"v": 2, "uuid": uuid})), changes);
        app.operator()
            .call(reqwest::Method::POST, &format!("/images/{uuid}?action=import"))
            .json(&body)
            .send()
            .await
    };
    import(json!({})).await.refused_field("ValidationFailed", "public", "Invalid");
    assert_eq!(import(json!({"public": true})).await.ok()["owner"], NOBODYS);
}
