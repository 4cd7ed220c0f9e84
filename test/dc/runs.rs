// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Jobs that run to their end: coal's Workflow API runs the workflows that IMGAPI has stored there, on compute nodes that create
//! real images.

use coal::cnapi::{TaskFault, vm_file};
use coal::rest::{Garbage, RestFault, RestFaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{ADMIN, TestApp, fresh, sha1_of, tests, wait_until};

tests! {
    a_vm_becomes_an_image,
    what_goes_wrong_on_a_compute_node_is_told,
    images_come_from_another_datacenter_with_their_origins,
    jobs_go_on_while_the_workflow_api_restarts,
    every_placeholder_has_a_job_whatever_the_workflow_api_answers,
}

/// Starts a datacenter with coal's Workflow API, VMAPI and CNAPI.
async fn datacenter(name: &str, peer: Option<&TestApp>) -> TestApp {
    TestApp::start_with(|builder| {
        let builder =
            builder.name(name).services(true).imgapi_config("allowLocalCreateImageFromVm", json!(true));
        match peer {
            Some(peer) => builder.peer(peer.dc.name(), peer.dc.imgapi_url().unwrap()),
            None => builder,
        }
    })
    .await
}

/// Starts a job as soon as that is possible, and waits for its end.
async fn run(app: &TestApp, target: &str, body: &Value) -> Value {
    let started = start(app, target, body).await;
    ended(app, &started).await
}

/// Starts a job as soon as that is possible.
async fn start(app: &TestApp, target: &str, body: &Value) -> Value {
    wait_until("the workflow API", async || {
        let answer = app.operator().call(Method::POST, target).json(body).send().await;
        let is_down = answer.status == 503 && answer.json()["code"] == "ServiceUnavailableError";
        (!is_down).then(|| answer.ok())
    })
    .await
}

/// Returns the current state of the job.
async fn job(app: &TestApp, started: &Value) -> Value {
    let url = app.dc.services().unwrap().workflow().url();
    let url = format!("{url}/jobs/{}", started["job_uuid"].as_str().unwrap());
    app.http.get(&url).send().await.unwrap().json().await.unwrap()
}

/// Waits for the end of the job, and returns it.
async fn ended(app: &TestApp, started: &Value) -> Value {
    wait_until("the end of a job", async || {
        let job = job(app, started).await;
        (!matches!(job["execution"].as_str(), Some("queued" | "running"))).then_some(job)
    })
    .await
}

/// Puts the image of the VM with this alias into IMGAPI. Returns the image's UUID and the body of a request to create an image.
async fn has_vm(app: &TestApp, alias: &str) -> (String, Value) {
    let vm = app.dc.services().unwrap().fleet().vm_called(alias).unwrap();
    let base = vm.image().unwrap().to_owned();
    let manifest = json!({
        "v": 2, "uuid": base, "owner": ADMIN, "name": "base", "version": "1", "type": "zone-dataset", "os": "smartos",
    });
    let import = app.operator().call(Method::POST, &format!("/images/{base}?action=import"));
    import.json(&manifest).send().await.ok();
    app.operator().upload(&base, "compression=none", "base").await.ok();
    app.operator().activate(&base).await.ok();
    let target = format!("/images?action=create-from-vm&incremental=true&vm_uuid={}", vm.uuid);
    (target, json!({"name": "mine", "version": "1.0.0", "owner": vm.owner_uuid}))
}

async fn a_vm_becomes_an_image(_: &TestApp) {
    let app = datacenter("coal", None).await;
    let (target, body) = has_vm(&app, "smartos").await;
    let job = run(&app, &target, &body).await;
    assert_eq!(job["execution"], "succeeded", "{job}");
    let uuid = job["params"]["image_uuid"].as_str().unwrap();
    let image = app.operator().get_image(uuid).await.ok();
    assert_eq!(
        (&image["state"], &image["name"], &image["owner"]),
        (&json!("active"), &json!("mine"), &body["owner"])
    );
    assert!(image["origin"].is_string(), "{image}");
    let vm = app.dc.services().unwrap().fleet().vm_called("smartos").unwrap();
    let file = vm_file(&vm.uuid, true).unwrap();
    assert_eq!(image["files"][0]["sha1"], sha1_of(&file));
    let jobs = app.operator().get(&format!("/images/{uuid}/jobs")).await.ok();
    assert_eq!((&jobs[0]["uuid"], jobs.as_array().unwrap().len()), (&job["uuid"], 1));
    app.stop().await;
}

async fn what_goes_wrong_on_a_compute_node_is_told(_: &TestApp) {
    let app = datacenter("coal", None).await;
    let (target, body) = has_vm(&app, "smartos").await;
    let faults = app.dc.services().unwrap().cnapi().task_faults();
    for (fault, expected) in [
        (
            TaskFault::Json { code: "VmHasNoOrigin".to_owned(), message: "no origin".to_owned() },
            json!({"code": "VmHasNoOrigin", "message": "no origin"}),
        ),
        (TaskFault::Text { message: "bad".to_owned(), details: None }, json!({"message": "bad"})),
    ] {
        faults.set(fault);
        let job = run(&app, &target, &body).await;
        faults.clear();
        assert_eq!(job["execution"], "failed", "{job}");
        let image = app.operator().get_image(job["params"]["image_uuid"].as_str().unwrap()).await.ok();
        assert_eq!((&image["state"], &image["error"]), (&json!("failed"), &expected));
    }
    app.stop().await;
}

async fn images_come_from_another_datacenter_with_their_origins(_: &TestApp) {
    let far = datacenter("far", None).await;
    let near = datacenter("near", Some(&far)).await;
    let shared = far.admin().has_active_image(json!({"public": true})).await;
    let lower = far.luke().has_active_image(json!({"origin": shared})).await;
    let upper = far.luke().has_active_image(json!({"origin": lower})).await;
    let image = far.luke().has_active_image(json!({"origin": upper})).await;
    let luke = super::support::LUKE;
    let copy = format!("/images/{image}?action=import-from-datacenter&datacenter=far&account={luke}");
    let refused = wait_until("the workflow API", async || {
        let answer = near.operator().call(Method::POST, &copy).send().await;
        (answer.status != 503).then_some(answer)
    });
    // An origin that belongs to the operators is not copied on behalf of an account.
    refused.await.not_found();

    let source = far.dc.imgapi_url().unwrap();
    let import = |uuid: &str| format!("/images/{uuid}?action=import-remote&source={source}");
    let job = run(&near, &import(&shared), &json!({})).await;
    assert_eq!(job["execution"], "succeeded", "{job}");
    let job = run(&near, &copy, &json!({})).await;
    assert_eq!((&job["execution"], &job["params"]["origins"]), (&json!("succeeded"), &json!([lower, upper])));
    for uuid in [&lower, &upper, &image] {
        let copied = near.luke().get_image(uuid).await.ok();
        assert_eq!((&copied["state"], &copied["owner"]), (&json!("active"), &json!(luke)));
        assert_eq!(near.luke().download(uuid).await.text(), "file");
    }
    // A file of the source is missing: images that were begun are deleted, and complete ones stay.
    let top = far.luke().has_active_image(json!({"origin": image})).await;
    let best = far.luke().has_active_image(json!({"origin": top})).await;
    std::fs::remove_file(far.file(&best)).unwrap();
    let job = run(&near, &import(&best), &json!({})).await;
    assert_eq!(job["execution"], "failed", "{job}");
    near.operator().get_image(&best).await.not_found();
    assert_eq!(near.operator().get_image(&top).await.ok()["state"], "active");
    near.operator().get_image(&fresh()).await.not_found();
    near.stop().await;
    far.stop().await;
}

/// Waits until this many tasks of a job have results.
async fn has_done(app: &TestApp, started: &Value, tasks: usize) {
    wait_until("the tasks of a job", async || {
        let job = job(app, started).await;
        (job["chain_results"].as_array().unwrap().len() >= tasks).then_some(())
    })
    .await;
}

async fn becomes_active(app: &TestApp, started: &Value) {
    wait_until("the image", async || {
        let image = app.operator().get_image(started["image_uuid"].as_str().unwrap()).await.ok();
        (image["state"] == "active").then_some(())
    })
    .await;
}

async fn jobs_go_on_while_the_workflow_api_restarts(_: &TestApp) {
    let app = datacenter("coal", None).await;
    let (target, body) = has_vm(&app, "smartos").await;
    let services = app.dc.services().unwrap();
    let (workflow, cnapi) = (services.workflow(), services.cnapi());
    let polls_stall = || RestFaultRule::new(RestFault::Stall).method("GET").path("/tasks/");
    // The API stops in the middle of a job, but the runner continues.
    cnapi.faults().set(polls_stall());
    let started = start(&app, &target, &body).await;
    has_done(&app, &started, 2).await;
    workflow.stop().await;
    let image = started["image_uuid"].as_str().unwrap();
    let list = async || app.operator().get(&format!("/images/{image}/jobs")).await;
    wait_until("its absence", async || (list().await.status == 503).then_some(())).await;
    assert_eq!(app.operator().get("/ping").await.status, 200);
    let refused = app.operator().call(Method::POST, &target).json(&body).send().await;
    refused.refused(503, "ServiceUnavailableError");
    cnapi.faults().clear();
    becomes_active(&app, &started).await;
    workflow.start().await.unwrap();
    let listed =
        wait_until("its return", async || Some(list().await).filter(|jobs| jobs.status == 200)).await;
    assert_eq!(listed.ok()[0]["uuid"], started["job_uuid"]);
    assert_eq!(ended(&app, &started).await["execution"], "succeeded");
    // The runner is killed with its job; the compute node completes the image nevertheless.
    cnapi.faults().set(polls_stall());
    let started = start(&app, &target, &body).await;
    has_done(&app, &started, 2).await;
    workflow.restart_runner().await.unwrap();
    let lost = ended(&app, &started).await;
    assert_eq!((&lost["execution"], lost.get("runner_id")), (&json!("canceled"), None));
    becomes_active(&app, &started).await;
    cnapi.faults().clear();
    assert_eq!(run(&app, &target, &body).await["execution"], "succeeded");
    app.stop().await;
}

async fn every_placeholder_has_a_job_whatever_the_workflow_api_answers(_: &TestApp) {
    let app = datacenter("coal", None).await;
    let (target, body) = has_vm(&app, "smartos").await;
    run(&app, &target, &body).await;
    let workflow = app.dc.services().unwrap().workflow();
    let create = async || app.operator().call(Method::POST, &target).json(&body).send().await;
    let garbage = |body| RestFault::Garbage { body };
    let mut images = 1;
    for (fault, refusal) in [
        (garbage(Garbage::NoJson), None),
        (garbage(Garbage::WrongJson), None),
        (garbage(Garbage::Cut), None),
        (RestFault::HangUp, None),
        (RestFault::LostAnswer, None),
        (RestFault::InternalError, Some((500, "InternalError"))),
        (RestFault::Unavailable, Some((503, "ServiceUnavailable"))),
        (RestFault::Conflict, Some((409, "ConflictError"))),
    ] {
        workflow.faults().set(RestFaultRule::new(fault).method("POST").path("/jobs").times(1));
        let answer = create().await;
        match refusal {
            Some((status, code)) => drop(answer.refused(status, code)),
            None => {
                assert_eq!(ended(&app, &answer.ok()).await["execution"], "succeeded", "{fault:?}");
                images += 1;
            }
        }
    }
    // While the Workflow API sends no valid answers, everything else works.
    for fault in [RestFault::BackendDown, RestFault::InternalError, garbage(Garbage::NoJson)] {
        workflow.faults().set(fault);
        let image = create().await;
        assert!(image.status >= 500, "{image:?}");
        assert_eq!(app.operator().get("/ping").await.status, 200);
        workflow.faults().clear();
        assert_eq!(run(&app, &target, &body).await["execution"], "succeeded");
        images += 1;
    }
    let jobs: Value =
        app.http.get(format!("{}/jobs", workflow.url())).send().await.unwrap().json().await.unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), images);
    // A placeholder whose job could not be started is marked as failed, and none says that it is being created.
    assert_eq!(app.operator().list_uuids("state=creating").await, Vec::<String>::new());
    app.stop().await;
}
