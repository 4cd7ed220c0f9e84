// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests that start jobs, and the list of an image's jobs, with a fake Workflow API that only stores its requests.

#[path = "../../src/jobs/tests/fake.rs"]
mod fake;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{
    ADMIN, Answer, BASE, FATHER, Foreign, JOIN_US, LUKE, NOBODY, Script, TestApp, VADER, fresh, merged,
    small_record, takeover_records, tests, wait_until,
};
use fake::{Fake, Fault};

tests! {
    an_image_is_imported_with_the_origins_that_are_missing,
    an_image_is_copied_with_the_origins_of_its_owner,
    an_image_is_made_from_a_vm,
    images_of_vms_must_be_possible,
    the_workflow_api_may_come_and_go,
    what_a_lost_import_has_begun_makes_way_for_the_next_one,
}

/// Starts a datacenter with this Workflow API, VMAPI and CNAPI, and waits until it has found them.
async fn datacenter(fake: &Fake, more: &[(&str, Value)]) -> TestApp {
    let url = json!({"url": format!("http://{}", fake.address), "forceMd5Check": true});
    let app = TestApp::start_with(|builder| {
        let builder = ["wfapi", "vmapi", "cnapi"]
            .into_iter()
            .fold(builder, |builder, service| builder.imgapi_config(service, url.clone()));
        let builder = builder.imgapi_config("allowLocalCreateImageFromVm", json!(true));
        more.iter().fold(builder, |builder, (key, value)| builder.imgapi_config(*key, value.clone()))
    })
    .await;
    app.store_all(&takeover_records()).await;
    is_connected(&app).await;
    app
}

async fn is_connected(app: &TestApp) {
    let worker = async || {
        let state = app.operator().get("/state").await.ok();
        let workers = state["workers"].as_array().unwrap().clone();
        workers.into_iter().find(|worker| worker["name"] == "workflow-api")
    };
    wait_until("the workflow API", async || {
        worker().await.filter(|worker| worker["detail"] == "connected").map(drop)
    })
    .await;
}

/// Returns the only job that was started, and forgets it.
fn job(fake: &Fake) -> Value {
    let mut jobs = std::mem::take(&mut fake.state.lock().unwrap().jobs);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    Value::Object(jobs.remove(0))
}

/// Removes the members of a job that differ every time.
fn essence(job: &Value, answer: &Answer) -> Value {
    let mut job = job.as_object().unwrap().clone();
    assert_eq!(answer.ok(), json!({"image_uuid": job["image_uuid"], "job_uuid": job["uuid"]}));
    for name in ["uuid", "workflow", "req_id"] {
        assert!(job.shift_remove(name).unwrap().is_string(), "{name}");
    }
    Value::Object(job)
}

/// Lets another IMGAPI return a manifest.
fn shows(other: &Foreign, uuid: &str, query: &str, manifest: Value) {
    let mut shown = json!({"uuid": uuid, "state": "active", "owner": LUKE});
    shown.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    other.on(&format!("/images/{uuid}{query}"), Script::json(200, &shown));
}

async fn an_image_is_imported_with_the_origins_that_are_missing(_: &TestApp) {
    let fake = Fake::start().await;
    let app = datacenter(&fake, &[]).await;
    let source = Foreign::http("127.0.0.1").await;
    let import = async |uuid: &str, more: &str| {
        let action = format!("import-remote&source={}{more}", source.url(""));
        app.operator().act(uuid, &action).await
    };
    let local = app.luke().has_active_image(json!({})).await;
    let [top, middle, bottom, image] = [(); 4].map(|()| fresh());
    shows(&source, &image, "", json!({"origin": top}));
    shows(&source, &top, "", json!({"origin": middle}));
    shows(&source, &middle, "", json!({"origin": bottom}));
    shows(&source, &bottom, "", json!({"origin": local}));
    let started = import(&image, "&skip_owner_check=true").await;
    assert_eq!(started.header("workflow-api"), Some(&*format!("http://{}", fake.address)));
    let expected = json!({
        "image_uuid": image, "source": source.url(""), "skip_owner_check": true, "origins": [bottom, middle, top],
        "task": "import-remote-image", "target": format!("/import-remote-{image}"),
    });
    assert_eq!(essence(&job(&fake), &started), expected);

    shows(&source, &bottom, "", json!({"state": "disabled"}));
    import(&image, "").await.refused(422, "OriginIsNotActive");
    shows(&source, &bottom, "", json!({"origin": top}));
    import(&image, "").await.refused(503, "RemoteSourceError");
    let draft = app.luke().has_image(json!({})).await;
    shows(&source, &bottom, "", json!({"origin": draft}));
    import(&image, "").await.refused(422, "OriginIsNotActive");
    shows(&source, &bottom, "", json!({"origin": "x"}));
    import(&image, "").await.refused(503, "RemoteSourceError");
    import(NOBODY, "").await.refused(503, "RemoteSourceError");
    import(&local, "").await.refused(409, "ImageUuidAlreadyExists");
    app.operator().act(&image, "import-remote&source=x").await.refused(503, "RemoteSourceError");

    fake.fails("POST /jobs", Fault::Refuse(409, "ConflictError"));
    shows(&source, &image, "", json!({}));
    import(&image, "").await.refused(409, "ConflictError");
    fake.fails("POST /jobs", Fault::Garbage("<html>"));
    fake.fails("POST /jobs", Fault::LoseAnswer);
    let started = import(&image, "").await;
    assert_eq!(essence(&job(&fake), &started).get("origins"), None);
    app.stop().await;
}

async fn an_image_is_copied_with_the_origins_of_its_owner(_: &TestApp) {
    let fake = Fake::start().await;
    let far = Foreign::http("127.0.0.1").await;
    let urls = json!({"coal": "http://127.0.0.1:9", "far": far.url(""), "off": "http://127.0.0.1:9"});
    let app = datacenter(&fake, &[("imgapiUrlFromDatacenter", urls)]).await;
    let import = async |uuid: &str, datacenter: &str| {
        let action = format!("import-from-datacenter&datacenter={datacenter}");
        app.luke().act(uuid, &action).await
    };
    let shows = |uuid: &str, manifest: Value| {
        shows(&far, uuid, &format!("?account={LUKE}"), manifest.clone());
        shows(&far, uuid, "", manifest);
    };
    let shared = app.admin().has_active_image(json!({"public": true})).await;
    let [image, upper, lower] = [(); 3].map(|()| fresh());
    shows(&image, json!({"origin": upper}));
    shows(&upper, json!({"origin": lower}));
    shows(&lower, json!({"origin": shared}));
    shows(&shared, json!({"owner": ADMIN}));
    let started = import(&image, "far").await;
    let expected = json!({
        "image_uuid": image, "source": far.url(""), "skip_owner_check": false, "origins": [lower, upper],
        "task": "import-remote-image", "target": format!("/import-remote-{image}"),
    });
    assert_eq!(essence(&job(&fake), &started), expected);
    // The form that newer clients send.
    let call = app.operator().call(Method::POST, &format!("/images/{image}?action=import-from-datacenter"));
    let started = call.json(&json!({"datacenter": "far", "account": LUKE, "source": null})).send().await;
    assert_eq!(essence(&job(&fake), &started), expected);

    import(&fresh(), "far").await.refused(503, "RemoteSourceError");
    let refusal = json!({"code": "ResourceNotFound", "message": "image not found"});
    let foreign = fresh();
    far.on(&format!("/images/{foreign}?account={LUKE}"), Script::json(404, &refusal));
    import(&foreign, "far").await.not_found();
    shows(&foreign, json!({"owner": VADER}));
    let relayed = import(&foreign, "far").await;
    relayed.refused(401, "UnauthorizedError");
    // An error of another server is not an error of this one.
    let id = relayed.header("x-request-id").unwrap();
    app.audit(id).await;
    let is_alarm = |record: &Value| record["req_id"] == id && record["level"].as_u64() > Some(30);
    assert!(!app.log().iter().any(is_alarm));
    shows(&foreign, json!({"state": "disabled"}));
    import(&foreign, "far").await.refused_field("ValidationFailed", "state", "Invalid");
    shows(&shared, json!({}));
    import(&shared, "far").await.refused(409, "ImageUuidAlreadyExists");
    let missing = fresh();
    shows(&lower, json!({"origin": missing}));
    shows(&missing, json!({"owner": ADMIN}));
    let unknown = import(&image, "far").await.refused(404, "ResourceNotFound").message;
    // An image that luke may not read is treated as missing, even if another IMGAPI has it.
    let hidden = small_record(json!({}));
    app.store(&hidden).await;
    let hidden = hidden["uuid"].as_str().unwrap();
    shows(&lower, json!({"origin": hidden}));
    for owner in [ADMIN, LUKE] {
        shows(hidden, json!({"owner": owner}));
        let refused = import(&image, "far").await.refused(404, "ResourceNotFound").message;
        assert_eq!(refused.replace(hidden, "X"), unknown.replace(&missing, "X"));
    }
    shows(&lower, json!({"origin": upper}));
    import(&image, "far").await.refused(503, "RemoteSourceError");
    import(&image, "off").await.refused(503, "RemoteSourceError");
    for name in ["coal", "near"] {
        import(&image, name).await.refused_field("ValidationFailed", "datacenter", "Invalid");
    }
    assert_eq!(fake.calls().iter().filter(|call| *call == "POST /jobs").count(), 2);
    app.stop().await;
}

async fn an_image_is_made_from_a_vm(_: &TestApp) {
    let fake = Fake::start().await;
    let app = datacenter(&fake, &[("placeholderImageLifespanDays", json!(3))]).await;
    let [vm, server] = [(); 2].map(|()| fresh());
    let base = app.admin().has_active_image(json!({})).await;
    let answers = |path: String, body: Value| {
        fake.state.lock().unwrap().others.insert(path, (200, body));
    };
    answers(
        format!("/vms/{vm}"),
        json!({"uuid": vm, "server_uuid": server, "brand": "joyent", "image_uuid": base}),
    );
    let platform = json!({"sysinfo": {"SDC Version": "7.0"}, "current_platform": "20260101T000000Z"});
    answers(format!("/servers/{server}"), platform);
    let create = async |query: &str, body: Value| {
        let call = app.luke().call(Method::POST, &format!("/images?action=create-from-vm{query}"));
        call.json(&body).send().await
    };
    let this = format!("&vm_uuid={vm}");
    let body = || json!({"name": "mine", "version": "1.0.0"});
    for (query, code, field, problem) in [
        ("", "ValidationFailed", "vm_uuid", "MissingParameter"),
        ("&vm_uuid=x", "InvalidParameter", "vm_uuid", "Invalid"),
        ("&incremental=1", "InvalidParameter", "incremental", "Invalid"),
        ("&max_origin_depth=1", "InvalidParameter", "max_origin_depth", "Invalid"),
        ("&max_origin_depth=x", "InvalidParameter", "max_origin_depth", "Invalid"),
    ] {
        let vm = if field == "vm_uuid" { "" } else { &*this };
        create(&format!("{vm}{query}"), json!(5)).await.refused_field(code, field, problem);
    }
    create(&this, json!(5)).await.refused_field("ValidationFailed", "body", "MissingParameter");
    create(&this, json!({"owner": VADER})).await.refused_field("InvalidParameter", "owner", "Invalid");
    let nobodys = app.operator().call(Method::POST, &format!("/images?action=create-from-vm{this}"));
    nobodys.json(&body()).send().await.refused_field("ValidationFailed", "owner", "MissingParameter");
    let unknown = create(&format!("&vm_uuid={NOBODY}"), body()).await;
    unknown.refused_field("InvalidParameter", "vm_uuid", "Invalid");

    let started = create(&format!("{this}&incremental=true&max_origin_depth=5"), body()).await;
    let job = job(&fake);
    let uuid = job["image_uuid"].as_str().unwrap();
    let expected = json!({
        "image_uuid": uuid, "owner_uuid": LUKE, "vm_uuid": vm, "compression": "gzip", "incremental": true,
        "prepare_image_script": include_str!("../../tools/prepare-image/smartos-prepare-image"),
        "manifest": {"name": "mine", "version": "1.0.0", "uuid": uuid, "owner": LUKE}, "max_origin_depth": 5,
        "task": "create-from-vm", "target": format!("/create-from-vm-{vm}"),
    });
    assert_eq!(essence(&job, &started), expected);
    let placeholder = app.luke().get_image(uuid).await.ok();
    assert_eq!((&placeholder["state"], placeholder.get("type")), (&json!("creating"), None));
    let (record, _) = app.stored(uuid).await.unwrap();
    assert_eq!((&record["type"], record["expires_at"].is_string()), (&json!("null"), true));
    app.vader().get_image(uuid).await.not_found();
    assert_eq!(app.luke().list_uuids("state=creating").await, [uuid]);

    let jobs =
        app.luke().get(&format!("/images/{BASE}/jobs?task=create-from-vm&execution=queued")).await.ok();
    assert_eq!(jobs, json!([]));
    app.luke().get(&format!("/images/{JOIN_US}/jobs")).await.not_found();
    let bad = app.luke().get(&format!("/images/{FATHER}/jobs?task=a)(b")).await;
    bad.refused_field("InvalidParameter", "task", "Invalid");
    fake.fails("GET /jobs", Fault::Refuse(409, "ConflictError"));
    app.luke().get(&format!("/images/{FATHER}/jobs?execution=odd")).await.refused(409, "ConflictError");

    // This is what a compute node does, and what the job does if that fails.
    let failed = json!({"state": "failed", "error": {"message": "no way"}});
    let update = app.operator().call(Method::POST, &format!("/images/{uuid}?action=update"));
    assert_eq!(update.json(&failed).send().await.ok()["error"]["message"], "no way");
    fake.fails("POST /jobs", Fault::Refuse(500, "InternalError"));
    create(&this, body()).await.refused(500, "InternalError");
    for call in ["POST /jobs", "GET /jobs/"] {
        fake.fails(call, Fault::NoDatabase);
    }
    create(&this, body()).await.refused(503, "ServiceUnavailableError");
    assert_eq!(app.luke().list_uuids("state=creating").await, Vec::<String>::new());

    // The form that newer clients send.
    let mut in_body = json!({"action": "create-from-vm", "vm_uuid": vm, "incremental": true, "max_origin_depth": 5,
        "name": "mine", "version": "1.0.0"});
    for unset in ["description", "homepage", "eula", "acl", "tags", "os", "type"] {
        in_body[unset] = json!(null);
    }
    let started = create("", in_body.clone()).await;
    let job = self::job(&fake);
    let (uuid, mut same) = (job["image_uuid"].clone(), expected);
    (same["image_uuid"], same["manifest"]["uuid"]) = (uuid.clone(), uuid);
    assert_eq!(essence(&job, &started), same);
    // A parameter that is also in the query is not a member of the image.
    create(&this, in_body).await.refused_field("InvalidParameter", "vm_uuid", "Invalid");
    for (member, value) in
        [("vm_uuid", json!([vm])), ("incremental", json!("maybe")), ("max_origin_depth", json!(1.5))]
    {
        let body = merged(merged(body(), json!({"vm_uuid": vm})), json!({member: value}));
        create("", body).await.refused_field("InvalidParameter", member, "Invalid");
    }
    let given = merged(body(), json!({"uuid": fresh()}));
    create(&this, given).await.refused_field("ValidationFailed", "uuid", "NotAllowed");
    app.stop().await;
}

async fn images_of_vms_must_be_possible(app: &TestApp) {
    let create = app.luke().call(Method::POST, &format!("/images?action=create-from-vm&vm_uuid={NOBODY}"));
    create.json(&json!({})).send().await.refused(501, "NotAvailable");
}

async fn the_workflow_api_may_come_and_go(_: &TestApp) {
    let before = Fake::start().await;
    before.state.lock().unwrap().backend = Some("down");
    let url = json!({"url": format!("http://{}", before.address)});
    let app = TestApp::start_with(|builder| builder.imgapi_config("wfapi", url)).await;
    app.store_all(&takeover_records()).await;
    let list = async || app.operator().get(&format!("/images/{BASE}/jobs")).await;
    list().await.refused(503, "ServiceUnavailableError");
    assert_eq!(app.operator().get("/ping").await.status, 200);
    before.fails("POST /workflows", Fault::Refuse(500, "InternalError"));
    before.fails("GET /ping", Fault::Garbage("<html>"));
    before.fails("GET /ping", Fault::LoseCall);
    before.state.lock().unwrap().backend = None;
    wait_until("jobs", async || (list().await.status == 200).then_some(())).await;
    assert_eq!(before.state.lock().unwrap().workflows.len(), 2);
    // The Workflow API restarts and has lost everything.
    let address = before.address.to_string();
    drop(before);
    wait_until("its end", async || (list().await.status == 503).then_some(())).await;
    let after = Fake::start_at(&address).await;
    wait_until("jobs", async || (list().await.status == 200).then_some(())).await;
    wait_until("workflows", async || (after.state.lock().unwrap().workflows.len() == 2).then_some(())).await;
    app.stop().await;
}

async fn what_a_lost_import_has_begun_makes_way_for_the_next_one(_: &TestApp) {
    let fake = Fake::start().await;
    let app = datacenter(&fake, &[]).await;
    let source = Foreign::http("127.0.0.1").await;
    let lost = fresh();
    let job_is = |members: Value| {
        let mut state = fake.state.lock().unwrap();
        state.jobs.clear();
        let mut job =
            json!({"uuid": lost, "task": "import-remote-image", "workflow": state.workflows[1]["uuid"]});
        job.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        state.jobs.push(job.as_object().unwrap().clone());
    };
    let manifest = |more: Value| {
        merged(json!({"v": 2, "name": "a", "version": "1", "type": "other", "os": "other"}), more)
    };
    let [image, origin, by_hand, taken_over] = [(); 4].map(|()| fresh());
    for uuid in [&image, &origin, &by_hand, &taken_over] {
        shows(&source, uuid, "", manifest(json!({})));
        let job = if uuid == &by_hand { String::new() } else { format!("&job_uuid={lost}") };
        let begun = app.operator().act(uuid, &format!("import&source={}{job}", source.url(""))).await.ok();
        assert_eq!((&begun["state"], begun.get("job_uuid")), (&json!("unactivated"), None));
    }
    app.operator().upload(&taken_over, "compression=none", "mine").await.ok();
    let import = async |uuid: &str| {
        app.operator().act(uuid, &format!("import-remote&source={}", source.url(""))).await
    };
    // The job may still run, or its state is unknown.
    job_is(json!({"execution": "running"}));
    import(&image).await.refused(409, "ImageUuidAlreadyExists");
    job_is(json!({"execution": "canceled", "runner_id": "it works for it"}));
    import(&image).await.refused(409, "ImageUuidAlreadyExists");
    job_is(json!({"execution": "failed"}));
    fake.fails("GET /jobs/", Fault::Refuse(500, "InternalError"));
    import(&image).await.refused(409, "ImageUuidAlreadyExists");
    wait_until("the workflow API", async || {
        let answer = import(&by_hand).await;
        (answer.status != 503).then(|| answer.refused(409, "ImageUuidAlreadyExists"))
    })
    .await;
    import(&taken_over).await.refused(409, "ImageUuidAlreadyExists");

    shows(&source, &image, "", manifest(json!({"origin": origin})));
    let started = import(&image).await.ok();
    let jobs = fake.state.lock().unwrap().jobs.clone();
    let job = jobs.iter().find(|job| job["uuid"] == started["job_uuid"]).unwrap();
    assert_eq!(job["origins"], json!([origin]));
    for uuid in [&image, &origin] {
        app.operator().get_image(uuid).await.not_found();
    }
    for uuid in [&by_hand, &taken_over] {
        assert_eq!(app.operator().get_image(uuid).await.ok()["state"], "unactivated");
    }
    app.stop().await;
}
