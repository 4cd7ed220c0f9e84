// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AdminPushDockerImage to a registry of the tests, and what builds of Docker images on compute nodes need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coal::datacenter::MantaMode;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::lxd::sha256_of;
use super::support::registry::{DockerFiles, MANIFEST_TYPE, RegistryServer, has_layer, messages, refusal};
use super::support::{ADMIN, BASE, LUKE, NOBODY, Script, TestApp, fresh, merged, tests, wait_until};

tests! {
    a_push_is_checked_before_it_begins,
    an_image_is_pushed,
    a_push_that_the_registry_refuses_fails_with_its_code,
    every_layer_must_be_here_and_active,
    a_damaged_file_is_not_pushed,
    the_configuration_must_have_its_digest,
    a_layer_that_was_compressed_anew_is_not_sent,
    a_registry_must_be_allowed,
    a_file_in_manta_is_pushed,
    a_client_that_leaves_ends_the_push,
    a_build_on_a_compute_node_is_stored,
}

async fn started() -> (RegistryServer, TestApp) {
    RegistryServer::start_with(|dc| dc).await
}

async fn a_push_is_checked_before_it_begins(app: &TestApp) {
    let push = async |uuid: &str, query: &str, body: Value| {
        app.operator().call(Method::POST, &format!("/images/{uuid}/push{query}")).json(&body).send().await
    };
    push("x", "", json!({})).await.not_found();
    push(NOBODY, "", json!({})).await.not_found();
    push(BASE, &format!("?account={LUKE}"), json!({})).await.refused(422, "NotImageOwner");
    push(BASE, "", json!({})).await.refused_field("ValidationFailed", "type", "Invalid");
    let layer = app.luke().has_image(json!({"type": "docker", "os": "linux"})).await;
    for query in ["", "?repoAndTag="] {
        let refused = push(&layer, query, json!({})).await;
        refused.refused_field("ValidationFailed", "repoAndTag", "MissingParameter");
    }
    for reference in ["UP:1", "a:b:c", "u:p@h.x/aa/b:1", "aa/b:-"] {
        let refused = push(&layer, &format!("?repoAndTag={reference}"), json!({})).await;
        refused.refused_field("ValidationFailed", "repoAndTag", "Invalid");
    }
    let target = "?repoAndTag=127.0.0.1:1/aa/b:1";
    let empty = app.operator().call(Method::POST, &format!("/images/{layer}/push{target}")).send().await;
    empty.refused_field("ValidationFailed", "body", "MissingParameter");
    let good = DockerFiles::new(&[b"x"]).record();
    for (changes, field, code) in [
        (json!({"manifest_str": null}), "manifest_str", "MissingParameter"),
        (json!({"manifest_str": "{"}), "manifest_str", "Invalid"),
        (json!({"manifest_str": {}}), "manifest_str", "Invalid"),
        (json!({"manifest_str": 5}), "manifest_str", "Invalid"),
        (json!({"manifest_str": "[]"}), "manifest_str", "Invalid"),
        (json!({"manifest_str": "{}"}), "layers", "MissingParameter"),
        (json!({"manifest_str": "{\"layers\":[]}"}), "manifest_str", "Invalid"),
        (json!({"image": null}), "image", "MissingParameter"),
        (json!({"image": "x"}), "image", "Invalid"),
        (json!({"config_digest": null}), "config_digest", "MissingParameter"),
        (json!({"config_digest": "md5:1"}), "config_digest", "Invalid"),
    ] {
        let refused = push(&layer, target, merged(good.clone(), changes)).await;
        refused.refused_field("ValidationFailed", field, code);
    }
    let token = STANDARD.encode(json!({"identitytoken": "t"}).to_string());
    let call = app.operator().call(Method::POST, &format!("/images/{layer}/push{target}")).json(&good);
    call.header("x-registry-auth", &token).send().await.refused(400, "NotImplemented");
}

/// Returns the `id` and `status` of each message about layers, without those about bytes, in order of the layers.
fn steps(messages: &[Value], digests: &[String]) -> Vec<Vec<String>> {
    let of_layer = |digest: &String| {
        let about = messages.iter().filter(|message| message["payload"]["id"] == digest[7..19]);
        let statuses = about.map(|message| message["payload"]["status"].as_str().unwrap().to_owned());
        statuses.filter(|status| status != "Pushing").collect()
    };
    digests.iter().map(of_layer).collect()
}

async fn an_image_is_pushed(_shared: &TestApp) {
    let (registry, app) = started().await;
    let mut image = DockerFiles::new(&[b"base", &[7; 1_500_000], b"top", b"base"]);
    image.config = r#"{"z":1,"config":{"Cmd":["a \u0026\u0026 b"]},"a":1.5}"#.to_owned();
    image.stored(&app).await;
    registry.has_blob(b"top");
    let auth = STANDARD.encode(json!({"username": "u", "password": "p"}).to_string());
    let call = image.push(&app, &registry.target()).header("x-registry-auth", &auth);
    let told = messages(&call.header("request-id", "mine").send().await);
    assert!(told.iter().all(|message| message["type"] == "progress" && message["id"] == "mine"), "{told:?}");
    let digests = image.digests();
    let [pushed, exists] =
        ["Pushed", "Layer already exists"].map(|last| ["Preparing", last].map(str::to_owned));
    assert_eq!(steps(&told, &digests[..3]), [&pushed, &pushed, &exists].map(|steps| steps.to_vec()));
    let pushing = told.iter().find(|message| message["payload"]["status"] == "Pushing").unwrap();
    assert!(pushing["payload"]["progressDetail"]["total"].is_number(), "{pushing}");
    let manifest = image.manifest();
    let (digest, size) = (format!("sha256:{}", sha256_of(&manifest)), manifest.len());
    let last = [
        json!({"status": format!("1: digest: {digest} size: {size}")}),
        json!({"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest, "Size": size}}),
    ];
    let payloads: Vec<_> = told[told.len() - 2..].iter().map(|message| message["payload"].clone()).collect();
    assert_eq!(payloads, last);
    for (digest, bytes) in digests.iter().zip(&image.layers) {
        assert_eq!(registry.blob(digest).as_ref(), Some(bytes));
    }
    assert_eq!(registry.blob(&image.config_digest()), Some(image.config.clone().into_bytes()));
    assert_eq!(registry.manifest("1"), Some((MANIFEST_TYPE.to_owned(), manifest)));
    let uploads =
        |registry: &RegistryServer| registry.heads().iter().filter(|head| head.starts_with("POST ")).count();
    assert_eq!(uploads(&registry), 3, "each blob is sent once");
    // Nobody is told a password without asking.
    assert!(registry.heads().iter().all(|head| !head.to_lowercase().contains("authorization:")));
    let again = messages(&image.push(&app, &registry.target()).send().await);
    assert_eq!(steps(&again, &digests[..3]), vec![exists.to_vec(); 3]);
    assert_eq!(uploads(&registry), 3);
    app.stop().await;
}

/// Pushes an image, which must fail with this code, and returns the messages.
async fn fails(app: &TestApp, registry: &RegistryServer, image: &DockerFiles, code: &str) -> Vec<Value> {
    let told = messages(&image.push(app, &registry.target()).header("request-id", "mine").send().await);
    let last = told.last().unwrap();
    let error = json!({"code": code, "message": last["error"]["message"].as_str().unwrap()});
    assert_eq!(*last, json!({"type": "error", "id": "mine", "error": error}), "{told:?}");
    assert_eq!(registry.manifest("1"), None);
    told
}

async fn succeeds(app: &TestApp, registry: &RegistryServer, image: &DockerFiles) {
    let told = messages(&image.push(app, &registry.target()).send().await);
    assert!(told.last().unwrap()["payload"]["aux"].is_object(), "{told:?}");
    assert_eq!(registry.manifest("1").unwrap().1, image.manifest());
}

async fn a_push_that_the_registry_refuses_fails_with_its_code(_shared: &TestApp) {
    let (registry, app) =
        RegistryServer::start_with(|dc| dc.imgapi_config("transferIdleSeconds", json!(2))).await;
    let image = DockerFiles::new(&[b"base", b"top"]);
    image.stored(&app).await;
    let (layer, upload) = ("HEAD /v2/aa/b/blobs/", "PUT /v2/aa/b/blobs/uploads/");
    for (request, script, code) in [
        ("GET /v2/ ", Script::answer(404, &[], ""), "NotAvailable"),
        (layer, Script::answer(500, &[], ""), "InternalError"),
        (layer, Script::answer(401, &[], ""), "UnauthorizedError"),
        ("POST ", refusal(403, "DENIED"), "UnauthorizedError"),
        ("POST ", refusal(404, "NAME_UNKNOWN"), "ResourceNotFound"),
        ("POST ", Script::answer(202, &[], ""), "RemoteSourceError"),
        (upload, refusal(400, "DIGEST_INVALID"), "DIGEST_INVALID"),
        (upload, Script::answer(503, &[], ""), "InternalError"),
        (upload, Script::silence(), "RemoteSourceError"),
        ("PUT /v2/aa/b/manifests/1", refusal(400, "MANIFEST_BLOB_UNKNOWN"), "MANIFEST_BLOB_UNKNOWN"),
    ] {
        registry.fails(request, script);
        let told = fails(&app, &registry, &image, code).await;
        let is_about_a_layer = request == layer || request == "POST " || request == upload;
        let failed = told.iter().any(|message| message["payload"]["status"] == "Image push failed");
        assert_eq!(failed, is_about_a_layer, "{request}: {told:?}");
        registry.works();
    }
    succeeds(&app, &registry, &image).await;
    let gone = "repoAndTag=127.0.0.1:1/aa/b:1";
    let told = messages(&image.push(&app, gone).send().await);
    assert_eq!(told.last().unwrap()["error"]["code"], "ECONNREFUSED", "{told:?}");
    app.stop().await;
}

async fn every_layer_must_be_here_and_active(_shared: &TestApp) {
    let (registry, app) = started().await;
    let image = DockerFiles::new(&[b"base", b"top"]);
    let top = &image.uuids()[1];
    has_layer(&app, top, None, b"top").await;
    fails(&app, &registry, &image, "ResourceNotFound").await;
    let base = &image.uuids()[0];
    has_layer(&app, base, None, b"base").await;
    app.operator().act(base, "disable").await.ok();
    fails(&app, &registry, &image, "ResourceNotFound").await;
    assert!(registry.heads().iter().all(|head| head.starts_with("GET /v2/ ")), "nothing is sent");
    app.operator().act(base, "enable").await.ok();
    succeeds(&app, &registry, &image).await;
    app.stop().await;
}

async fn a_damaged_file_is_not_pushed(_shared: &TestApp) {
    let (registry, app) = started().await;
    let image = DockerFiles::new(&[&[7; 700_000]]);
    image.stored(&app).await;
    let file = app.file(&image.uuids()[0]);
    let mut damaged = image.layers[0].clone();
    damaged[5] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    fails(&app, &registry, &image, "InternalError").await;
    std::fs::write(&file, &damaged[..600_000]).unwrap();
    fails(&app, &registry, &image, "InternalError").await;
    assert_eq!(registry.blob(&image.digests()[0]), None);
    std::fs::write(&file, &image.layers[0]).unwrap();
    succeeds(&app, &registry, &image).await;
    app.stop().await;
}

async fn the_configuration_must_have_its_digest(_shared: &TestApp) {
    let (registry, app) = started().await;
    let mut image = DockerFiles::new(&[b"base"]);
    image.config = r#"{"a": 1}"#.to_owned();
    image.stored(&app).await;
    fails(&app, &registry, &image, "InvalidParameter").await;
    // It need not be made again where the registry has it.
    registry.has_blob(image.config.as_bytes());
    succeeds(&app, &registry, &image).await;
    app.stop().await;
}

async fn a_layer_that_was_compressed_anew_is_not_sent(_shared: &TestApp) {
    let (registry, app) = started().await;
    let image = DockerFiles::new(&[b"a zstd layer"]);
    has_layer(&app, &image.uuids()[0], None, b"the same as gzip").await;
    fails(&app, &registry, &image, "ResourceNotFound").await;
    assert!(registry.heads().iter().all(|head| !head.starts_with("POST ")));
    registry.has_blob(b"a zstd layer");
    succeeds(&app, &registry, &image).await;
    app.stop().await;
}

async fn a_registry_must_be_allowed(_shared: &TestApp) {
    let (registry, app) = started().await;
    let image = DockerFiles::new(&[b"base"]);
    image.stored(&app).await;
    let port = registry.address.port();
    let told =
        messages(&image.push(&app, &format!("repoAndTag=http://127.0.0.2:{port}/aa/b:1")).send().await);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["error"]["code"], "RemoteSourceError", "{told:?}");
    app.stop().await;
}

async fn a_file_in_manta_is_pushed(_shared: &TestApp) {
    let (registry, app) = RegistryServer::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let image = DockerFiles::new(&[b"base", &[9; 700_000]]);
    image.stored(&app).await;
    let (stored, _) = app.stored(&image.uuids()[1]).await.unwrap();
    assert_eq!(stored["files"][0]["stor"], "manta");
    succeeds(&app, &registry, &image).await;
    assert_eq!(registry.blob(&image.digests()[1]).as_ref(), Some(&image.layers[1]));
    app.stop().await;
}

async fn a_client_that_leaves_ends_the_push(_shared: &TestApp) {
    let (registry, app) = started().await;
    let image = DockerFiles::new(&[b"base"]);
    image.stored(&app).await;
    registry.fails("PUT ", Script::silence());
    let (body, target) = (image.record().to_string(), registry.target());
    let mut client = app.connect().await;
    let head = format!(
        "POST /images/{}/push?{target} HTTP/1.1\r\nHost: x\r\nRequest-Id: mine\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        image.uuids()[0],
        body.len()
    );
    client.send(head).await;
    assert_eq!(client.read_head().await.status, 200);
    let running = async || app.operator().get("/state").await.ok()["imports"].as_array().unwrap().clone();
    let push =
        wait_until("4 bytes", async || running().await.into_iter().find(|push| push["bytes"] == 4)).await;
    let name = format!("{}/aa/b:1", registry.address);
    assert_eq!(
        [&push["kind"], &push["name"], &push["reqId"]],
        [&json!("push"), &json!(name), &json!("mine")]
    );
    assert!(app.metrics().await.contains("imgapi_imports_running{kind=\"push\""));
    drop(client);
    wait_until("the end of the push", async || running().await.is_empty().then_some(())).await;
    registry.works();
    succeeds(&app, &registry, &image).await;
    app.stop().await;
}

async fn a_build_on_a_compute_node_is_stored(app: &TestApp) {
    // The layer gets its UUID when its digest is known; the empty image that builds begin with has it from the beginning.
    for renamed in [true, false] {
        let base = fresh();
        has_layer(app, &base, None, b"base").await;
        let (provisional, bytes) = (fresh(), fresh());
        let uuid = if renamed { fresh() } else { provisional.clone() };
        let manifest = json!({
            "v": 2, "uuid": provisional, "owner": ADMIN, "name": "docker-layer", "version": "provisional", "type": "docker",
            "os": "linux",
        });
        let post = async |uuid: &str, action: &str, body: &Value| {
            let target = format!("/images/{uuid}?action={action}");
            app.operator().call(Method::POST, &target).json(body).send().await.ok()
        };
        post(&provisional, "import", &manifest).await;
        let added = app.operator().upload(&provisional, "compression=none", bytes.clone()).await.ok();
        let digest = format!("sha256:{}", sha256_of(&bytes));
        let file = merged(
            added["files"][0].clone(),
            json!({"digest": digest, "uncompressedDigest": format!("sha256:{}", sha256_of("x"))}),
        );
        let mut changes = json!({"files": [file]});
        if renamed {
            let tags = json!({"docker:repo": "aa/b", "docker:id": digest});
            changes = merged(
                changes,
                json!({"uuid": uuid, "origin": base, "version": &digest[7..19], "tags": tags}),
            );
        }
        post(&provisional, "update", &changes).await;
        let active = app.operator().activate(&uuid).await.ok();
        assert_eq!((&active["state"], &active["uuid"]), (&json!("active"), &json!(uuid)));
        if renamed {
            assert_eq!((&active["origin"], &active["version"]), (&json!(base), &json!(digest[7..19])));
            assert_eq!(active["tags"]["docker:id"], digest);
            app.operator().get_image(&provisional).await.not_found();
        }
        assert_eq!(app.operator().download(&uuid).await.text(), bytes);
        let (stored, _) = app.stored(&uuid).await.unwrap();
        let kept = &stored["files"][0];
        assert_eq!(
            (&kept["digest"], &kept["uncompressedDigest"]),
            (&file["digest"], &file["uncompressedDigest"])
        );
    }
}
