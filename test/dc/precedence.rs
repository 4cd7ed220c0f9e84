// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The error that is reported if a request has several.

use reqwest::Method;

use super::support::{BASE, FATHER, LUKE, NOBODY, PROBE, TestApp, tests};

tests! {
    routing_comes_before_everything,
    an_image_is_looked_for_after_syntax,
    ownership_comes_before_the_action,
    an_upload_is_checked_from_the_image_to_the_parameters,
    a_creation_is_checked_from_the_account_to_the_manifest,
}

async fn routing_comes_before_everything(app: &TestApp) {
    let bad_version = |method: Method, target: &str| {
        app.operator()
            .call(method, target)
            .header("accept-version", "~99")
            .header("content-type", "application/json")
    };
    bad_version(Method::GET, "/images/x?account=x").send().await.refused(400, "InvalidVersion");
    bad_version(Method::POST, "/images?action=x").body("{").send().await.refused(400, "InvalidVersion");
    bad_version(Method::GET, "/nothing").send().await.not_found();
    bad_version(Method::PATCH, "/images").send().await.refused(405, "MethodNotAllowedError");
}

async fn an_image_is_looked_for_after_syntax(app: &TestApp) {
    let post = |target: String| {
        let call = app.operator().call(Method::POST, &target).header("content-type", "application/json");
        call.body("{ not JSON")
    };
    // The order is: UUID, body, account, existence, ownership.
    post("/images/x?action=activate&account=x".into()).send().await.not_found();
    post(format!("/images/{NOBODY}?action=activate&account=x")).send().await.refused(400, "InvalidContent");
    post(format!("/images/{FATHER}?action=activate&account={LUKE}"))
        .send()
        .await
        .refused(400, "InvalidContent");
    let act =
        async |uuid: &str, account: &str| app.operator().act(uuid, &format!("bogus&account={account}")).await;
    act(NOBODY, "x").await.refused_field("InvalidParameter", "account", "Invalid");
    act(NOBODY, LUKE).await.not_found();
    act(FATHER, LUKE).await.refused(422, "NotImageOwner");
    // For GetImage the order is: UUID, account, existence, then the parameters of the answer.
    app.operator().get("/images/x?account=x").await.not_found();
    let bad_flag = format!("/images/{NOBODY}?account=x&inclAdminFields=x");
    app.operator().get(&bad_flag).await.refused_field("InvalidParameter", "account", "Invalid");
    app.operator().get(&format!("/images/{NOBODY}?inclAdminFields=x")).await.not_found();
    let known = app.operator().get(&format!("/images/{BASE}?inclAdminFields=x")).await;
    known.refused_field("InvalidParameter", "inclAdminFields", "Invalid");
}

async fn ownership_comes_before_the_action(app: &TestApp) {
    let conditional = |account: &str, action: &str| {
        let target = format!("/images/{FATHER}?action={action}&account={account}");
        app.operator().call(Method::POST, &target).header("if-match", "nothing")
    };
    conditional(LUKE, "activate").send().await.refused(422, "NotImageOwner");
    // Conditions are checked before the action, whether it is known or not.
    conditional("", "activate").send().await.refused(412, "PreconditionFailed");
    conditional("", "bogus").send().await.refused(412, "PreconditionFailed");
    app.luke()
        .call(Method::DELETE, &format!("/images/{FATHER}?force_all_channels=x"))
        .send()
        .await
        .refused(422, "NotImageOwner");
    let flag =
        app.operator().call(Method::DELETE, &format!("/images/{FATHER}?force_all_channels=x")).send().await;
    flag.refused_field("InvalidParameter", "force_all_channels", "Invalid");
    app.emperor().delete(FATHER).await.not_found();
}

async fn an_upload_is_checked_from_the_image_to_the_parameters(app: &TestApp) {
    app.operator().upload("x", "account=x", "x").await.not_found();
    app.operator().upload(NOBODY, "account=x", "x").await.refused_field(
        "InvalidParameter",
        "account",
        "Invalid",
    );
    app.luke().upload(NOBODY, "", "x").await.not_found();
    app.luke().upload(FATHER, "", "x").await.refused(422, "NotImageOwner");
    app.luke().upload(PROBE, "compression=x&storage=x", "x").await.refused(422, "ImageFilesImmutable");
    let draft = app.luke().has_image(serde_json::json!({})).await;
    let answer = app.luke().upload(&draft, "storage=x", "").await;
    answer.refused_field("InvalidParameter", "compression", "Missing");
    let answer = app.luke().upload(&draft, "storage=x&compression=none", "").await;
    answer.refused_field("InvalidParameter", "storage", "NotAllowed");
    let answer = app.operator().upload(&draft, "storage=x&compression=none", "").await;
    answer.refused_field("InvalidParameter", "storage", "Invalid");
}

async fn a_creation_is_checked_from_the_account_to_the_manifest(app: &TestApp) {
    let create = async |query: &str, body: &'static str| {
        let call = app.operator().call(Method::POST, &format!("/images{query}"));
        call.header("content-type", "application/json").body(body).send().await
    };
    create("?account=x", "{").await.refused(400, "InvalidContent");
    create("?account=x", r#"{"owner": 1, "state": 1}"#).await.refused_field(
        "InvalidParameter",
        "account",
        "Invalid",
    );
    let luke = format!("?account={LUKE}");
    create(&luke, r#"{"owner": "86055c40-2547-11e2-8a6b-4bb37edc84ba", "state": 1}"#).await.refused_field(
        "InvalidParameter",
        "owner",
        "Invalid",
    );
    let nobody = r#"{"owner": "3560c262-fc65-0242-a446-7c6d1fb482e3", "state": 1}"#;
    create("", nobody).await.refused_field("ValidationFailed", "state", "NotAllowed");
    let nobody = r#"{"owner": "3560c262-fc65-0242-a446-7c6d1fb482e3", "origin": "x", "uuid": 1}"#;
    create("", nobody).await.refused(422, "OwnerDoesNotExist");
    create(&luke, r#"{"origin": "x", "uuid": 1}"#).await.refused(422, "OriginDoesNotExist");
    create(&luke, r#"{"uuid": 1, "name": 5}"#).await.refused_field("InvalidParameter", "uuid", "Invalid");
}
