// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ping.

use serde_json::json;

use super::support::{TestApp, tests};

tests! {
    it_says_who_answers,
    it_produces_sample_errors,
}

async fn it_says_who_answers(app: &TestApp) {
    let answer = app.operator().get("/ping").await;
    let pid = app.dc.imgapi_pid().unwrap();
    let expected = format!(
        "{{\n  \"ping\": \"pong\",\n  \"version\": \"{}\",\n  \"imgapi\": true,\n  \"pid\": {pid}\n}}",
        env!("CARGO_PKG_VERSION")
    );
    answer.ok();
    assert_eq!(answer.text(), expected);
}

async fn it_produces_sample_errors(app: &TestApp) {
    let cases = [
        ("ValidationFailed", 422, "ValidationFailed"),
        ("ValidationFailedError", 422, "ValidationFailed"),
        ("InvalidParameter", 422, "InvalidParameter"),
        ("ImageFilesImmutable", 422, "ImageFilesImmutable"),
        ("ImageAlreadyActivated", 422, "ImageAlreadyActivated"),
        ("NoActivationNoFile", 422, "NoActivationNoFile"),
        ("OperatorOnly", 403, "OperatorOnly"),
        ("ImageUuidAlreadyExists", 409, "ImageUuidAlreadyExists"),
        ("StorageIsDown", 503, "StorageIsDown"),
        ("StorageUnsupported", 503, "StorageUnsupported"),
        ("RemoteSource", 503, "RemoteSourceError"),
        ("Internal", 500, "InternalError"),
        ("", 500, "InternalError"),
        // Known codes without a sample.
        ("NotAvailable", 500, "InternalError"),
        ("Unauthorized", 500, "InternalError"),
        ("ResourceNotFoundError", 500, "InternalError"),
        ("Bogus", 422, "InvalidParameter"),
    ];
    for (name, status, code) in cases {
        let answer = app.operator().get(&format!("/ping?error={name}")).await;
        answer.refused(status, code);
        assert!(answer.header("server").is_some(), "{name}");
    }
    let answer = app.operator().get("/ping?error=ValidationFailed").await;
    assert!(!answer.refused(422, "ValidationFailed").message.is_empty());
    assert_eq!(answer.json()["errors"], json!([]));
    app.operator().get("/ping?error=InvalidParameter").await.refused_field(
        "InvalidParameter",
        "foo",
        "Invalid",
    );
    app.operator().get("/ping?error=Bogus").await.refused_field("InvalidParameter", "error", "Missing");
}
