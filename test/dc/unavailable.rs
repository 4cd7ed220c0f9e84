// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Routes whose backend is not configured: the checks that come before the backend is needed, and then the answer that says so.

use reqwest::Method;
use serde_json::json;

use super::support::{BASE, FATHER, JOIN_US, LUKE, NOBODY, TestApp, tests};

tests! {
    creations_are_checked_and_then_not_available,
    imports_are_checked_and_then_not_available,
    an_export_needs_manta,
    another_datacenter_must_be_known,
    jobs_are_not_available,
    a_file_stays_in_the_one_storage,
}

async fn creations_are_checked_and_then_not_available(app: &TestApp) {
    let post = async |query: &str| {
        app.operator().call(Method::POST, &format!("/images?action={query}")).send().await
    };
    post("create-from-vm").await.refused(501, "NotAvailable");
    let docker = "import-docker-image";
    post(&format!("{docker}&account=x")).await.refused(403, "OperatorOnly");
    let both = [
        ("repo".to_owned(), "MissingParameter".to_owned()),
        ("tag".to_owned(), "MissingParameter".to_owned()),
    ];
    assert_eq!(post(docker).await.refused(422, "ValidationFailed").fields, both);
    let refused = post(&format!("{docker}&repo=r&tag=t&digest=d")).await;
    refused.refused_field("ValidationFailed", "digest", "Invalid");
    let refused = post(&format!("{docker}&repo=r&tag=t&public=x")).await;
    refused.refused_field("InvalidParameter", "public", "Invalid");
    post(&format!("{docker}&repo=r&tag=t&public=false")).await.refused(501, "NotAvailable");
    let lxd = "import-lxd-image";
    post(&format!("{lxd}&account={LUKE}")).await.refused(403, "OperatorOnly");
    post(lxd).await.refused_field("ValidationFailed", "alias", "MissingParameter");
    for alias in ["x", ":x"] {
        let refused = post(&format!("{lxd}&alias={alias}")).await;
        refused.refused_field("InvalidParameter", "alias", "InvalidParameter");
    }
    post("import-from-datacenter").await.refused_field("InvalidParameter", "action", "Invalid");
}

async fn imports_are_checked_and_then_not_available(app: &TestApp) {
    let act = async |uuid: &str, action: &str| app.operator().act(uuid, action).await;
    act("x", "import-remote").await.not_found();
    act(NOBODY, "import-remote&account=x").await.refused_field(
        "ValidationFailed",
        "source",
        "MissingParameter",
    );
    let source = "import-remote&source=http://127.0.0.1:9";
    act(NOBODY, &format!("{source}&account=x")).await.refused(403, "OperatorOnly");
    let refused = act(BASE, &format!("{source}&skip_owner_check=x")).await;
    refused.refused_field("InvalidParameter", "skip_owner_check", "Invalid");
    act(BASE, source).await.refused(409, "ImageUuidAlreadyExists");
    act(NOBODY, source).await.refused(503, "ServiceUnavailableError");
    for account in ["", "&account=x"] {
        let refused = act(NOBODY, &format!("import-from-datacenter{account}")).await;
        refused.refused_field("ValidationFailed", "account", "Invalid");
    }
    let luke = format!("import-from-datacenter&account={LUKE}");
    act(NOBODY, &luke).await.refused_field("ValidationFailed", "datacenter", "MissingParameter");
    let elsewhere = act(NOBODY, &format!("{luke}&datacenter=elsewhere")).await;
    elsewhere.refused_field("ValidationFailed", "datacenter", "Invalid");
}

async fn another_datacenter_must_be_known(_: &TestApp) {
    let urls = json!({"coal": "http://127.0.0.1:9", "far": "http://127.0.0.1:9"});
    let app = TestApp::start_with(|builder| builder.imgapi_config("imgapiUrlFromDatacenter", urls)).await;
    let import = async |name: &str| {
        let action = format!("import-from-datacenter&account={LUKE}&datacenter={name}");
        app.operator().act(NOBODY, &action).await
    };
    // The datacenter's own name is coal.
    for name in ["coal", "near"] {
        import(name).await.refused_field("ValidationFailed", "datacenter", "Invalid");
        let message = format!("datacenter \"{name}\" is not supported, valid datacenters names are: far");
        assert_eq!(import(name).await.json()["message"], message);
    }
    import("far").await.refused(503, "RemoteSourceError");
    app.stop().await;
}

async fn an_export_needs_manta(app: &TestApp) {
    app.luke().act(JOIN_US, "export").await.not_found();
    app.luke().act(FATHER, "export").await.refused(422, "NotImageOwner");
    app.vader().act(FATHER, "export").await.refused_field(
        "ValidationFailed",
        "manta_path",
        "MissingParameter",
    );
    let nowhere = app.vader().act(FATHER, "export&manta_path=/x/..").await;
    nowhere.refused_field("InvalidParameter", "manta_path", "Invalid");
    app.vader().act(FATHER, "export&manta_path=/vader/stor").await.refused(503, "StorageUnsupported");
}

async fn jobs_are_not_available(app: &TestApp) {
    app.operator().get("/images/x/jobs").await.not_found();
    app.luke().get(&format!("/images/{JOIN_US}/jobs")).await.not_found();
    app.luke().get(&format!("/images/{FATHER}/jobs")).await.refused(503, "ServiceUnavailableError");
}

async fn a_file_stays_in_the_one_storage(app: &TestApp) {
    let act = async |uuid: &str, query: &str| app.operator().act(uuid, &format!("change-stor{query}")).await;
    let uuid = app.luke().has_active_image(json!({})).await;
    act(NOBODY, "&stor=local").await.not_found();
    act(&uuid, &format!("&account={LUKE}")).await.refused(403, "OperatorOnly");
    act(JOIN_US, &format!("&account={LUKE}")).await.not_found();
    act(&uuid, "").await.refused_field("ValidationFailed", "stor", "MissingParameter");
    for stor in ["manta", "tape"] {
        act(&uuid, &format!("&stor={stor}")).await.refused_field("ValidationFailed", "stor", "Invalid");
    }
    let moved = act(&uuid, "&stor=local").await;
    assert_eq!((&moved.ok()["files"][0]["stor"], moved.header("etag")), (&json!("local"), None));
    assert_eq!(app.luke().download(&uuid).await.text(), "file");
    let empty = app.luke().has_image(json!({})).await;
    act(&empty, "&stor=local").await.refused_field("ValidationFailed", "files", "Invalid");
}
