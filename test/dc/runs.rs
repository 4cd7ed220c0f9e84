//! Jobs that run to their end: coal's Workflow API executes the workflows that IMGAPI has stored there, on compute nodes that
//! really make images.

use coal::cnapi::{TaskFault, vm_file};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{ADMIN, TestApp, fresh, sha1_of, tests, wait_until};

tests! {
    a_vm_becomes_an_image,
    what_goes_wrong_on_a_compute_node_is_told,
    images_come_from_another_datacenter_with_their_origins,
}

/// A datacenter whose Workflow API, VMAPI and CNAPI are coal's.
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

/// Starts a job once that can be done, and waits for its end.
async fn run(app: &TestApp, target: &str, body: &Value) -> Value {
    let started = wait_until("the workflow API", async || {
        let answer = app.operator().call(Method::POST, target).json(body).send().await;
        let is_down = answer.status == 503 && answer.json()["code"] == "ServiceUnavailableError";
        (!is_down).then(|| answer.ok())
    })
    .await;
    let url = format!(
        "{}/jobs/{}",
        app.dc.services().unwrap().workflow().url(),
        started["job_uuid"].as_str().unwrap()
    );
    wait_until("the end of a job", async || {
        let job: Value = app.http.get(&url).send().await.unwrap().json().await.unwrap();
        (!matches!(job["execution"].as_str(), Some("queued" | "running"))).then_some(job)
    })
    .await
}

/// The image of coal's VM of this name is put into IMGAPI, and the body of a request for its own image is given back.
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
    // The origin of the operators is not copied on behalf of an account.
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
    // Again, with a file that has gone: what was begun is deleted, and what is complete stays.
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
