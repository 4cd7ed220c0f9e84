// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Conditional requests.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, BASE, Call, LUKE, TestApp, sha1_of, tests};

tests! {
    the_tag_of_an_image_is_the_digest_of_its_compact_form,
    an_image_is_not_sent_again,
    a_tag_with_admin_fields_is_the_one_that_is_compared,
    a_file_is_not_sent_again,
    an_action_on_another_version_is_refused,
    the_tag_of_a_list_changes_with_its_images,
}

fn get(app: &TestApp, target: &str) -> Call {
    app.operator().call(Method::GET, target)
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap().to_owned()
}

async fn the_tag_of_an_image_is_the_digest_of_its_compact_form(app: &TestApp) {
    let luke = app.luke();
    let uuid = luke.has_image(json!({"description": "é", "tags": {"a": 1}})).await;
    let uploaded = luke.upload(&uuid, "compression=none", "x").await;
    let activated = luke.activate(&uuid).await;
    let got = luke.get_image(&uuid).await;
    for answer in [&uploaded, &activated, &got] {
        let compact: Value = answer.ok();
        assert_eq!(tag(answer), sha1_of(compact.to_string().as_bytes()));
    }
    assert_ne!(tag(&uploaded), tag(&activated));
    assert_eq!(tag(&activated), tag(&got));
}

async fn an_image_is_not_sent_again(app: &TestApp) {
    let image = format!("/images/{BASE}");
    let etag = tag(&get(app, &image).send().await);
    for value in
        [etag.clone(), format!("\"{etag}\""), format!("W/\"{etag}\""), "*".into(), format!("x, \"{etag}\"")]
    {
        let answer = get(app, &image).header("if-none-match", &value).send().await;
        assert_eq!((answer.status, answer.body.len(), tag(&answer)), (304, 0, etag.clone()), "{value}");
        get(app, &image).header("if-match", &value).send().await.ok();
    }
    for value in ["x".into(), "\"x\", y".into(), format!("\"x,{etag}\""), format!("\"x, {etag} ,y\"")] {
        get(app, &image).header("if-none-match", &value).send().await.ok();
        get(app, &image).header("if-match", &value).send().await.refused(412, "PreconditionFailed");
    }
    // An empty condition is ignored.
    get(app, &image).header("if-none-match", "").send().await.ok();
    get(app, &image).header("if-match", "").send().await.ok();
    // There is no modification time of a manifest.
    let later = get(app, &image).header("if-modified-since", "Sun, 06 Nov 2044 08:49:37 GMT");
    later.send().await.ok();
}

async fn a_tag_with_admin_fields_is_the_one_that_is_compared(app: &TestApp) {
    let image = format!("/images/{BASE}?inclAdminFields=true");
    let etag = tag(&get(app, &image).send().await);
    assert_ne!(etag, tag(&app.operator().get_image(BASE).await));
    assert_eq!(get(app, &image).header("if-none-match", &etag).send().await.status, 304);
    let plain = get(app, &format!("/images/{BASE}")).header("if-none-match", &etag).send().await;
    assert_eq!(plain.status, 200);
}

async fn a_file_is_not_sent_again(app: &TestApp) {
    let uuid = app.luke().has_active_image(json!({})).await;
    let file = format!("/images/{uuid}/file");
    let first = get(app, &file).send().await;
    let (etag, modified) = (tag(&first), first.header("last-modified").unwrap().to_owned());
    assert_eq!(etag, sha1_of(b"file"));
    let manifest_tag = tag(&app.luke().get_image(&uuid).await);
    for (name, value) in [("if-none-match", &etag), ("if-modified-since", &modified)] {
        let answer = get(app, &file).header(name, value).send().await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{name}");
        assert_eq!((tag(&answer), answer.header("last-modified")), (etag.clone(), Some(modified.as_str())));
    }
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value) in [
        ("if-none-match", manifest_tag.as_str()),
        ("if-modified-since", past),
        ("if-match", &etag),
        ("if-unmodified-since", &modified),
    ] {
        assert_eq!(get(app, &file).header(name, value).send().await.status, 200, "{name}");
    }
    get(app, &file).header("if-match", "x").send().await.refused(412, "PreconditionFailed");
    get(app, &file).header("if-unmodified-since", past).send().await.refused(412, "PreconditionFailed");
    let head = app.operator().call(Method::HEAD, &file).header("if-none-match", &etag).send().await;
    assert_eq!(head.status, 304);
}

async fn an_action_on_another_version_is_refused(app: &TestApp) {
    let uuid = app.luke().has_image_with_file(json!({}), b"x").await;
    let etag = tag(&app.luke().get_image(&uuid).await);
    let activate = || app.luke().call(Method::POST, &format!("/images/{uuid}?action=activate"));
    activate().header("if-match", "abcdef").send().await.refused(412, "PreconditionFailed");
    activate().header("if-none-match", &etag).send().await.refused(412, "PreconditionFailed");
    assert_eq!(app.luke().get_image(&uuid).await.ok()["state"], "unactivated");
    assert_eq!(activate().header("if-match", &etag).send().await.ok()["state"], "active");
    let delete = || app.luke().call(Method::DELETE, &format!("/images/{uuid}"));
    delete().header("if-match", &etag).send().await.refused(412, "PreconditionFailed");
    let etag = tag(&app.luke().get_image(&uuid).await);
    delete().header("if-none-match", &etag).send().await.refused(412, "PreconditionFailed");
    delete().header("if-match", &etag).send().await.gone();
}

async fn the_tag_of_a_list_changes_with_its_images(app: &TestApp) {
    let luke = app.luke();
    let uuid = luke.has_active_image(json!({"name": "tagged"})).await;
    let target = format!("/images?name=tagged&owner={LUKE}&state=all");
    let list = get(app, &target).send().await;
    assert_eq!(list.ok()[0]["uuid"], *uuid);
    let list_tag = tag(&list);
    for condition in [list_tag.as_str(), "*", &format!("\"x\", W/{list_tag}")] {
        let same = get(app, &target).header("if-none-match", condition).send().await;
        assert_eq!((same.status, same.body.len(), tag(&same)), (304, 0, list_tag.clone()), "{condition}");
    }
    get(app, &target).header("if-match", "\"x\"").send().await.refused(412, "PreconditionFailed");
    // Another form of the list is another representation.
    assert_ne!(tag(&get(app, &format!("{target}&inclAdminFields=true")).send().await), list_tag);

    luke.delete(&uuid).await.gone();
    let changed = get(app, &target).header("if-none-match", &list_tag).send().await;
    assert_eq!((changed.ok(), tag(&changed) == list_tag), (json!([]), false));
}
