// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The examples of the documentation.

use coal::datacenter::MantaMode;
use serde_json::{Map, Value, json};

use super::support::lxd;
use super::support::registry::{DockerFiles, RegistryServer};
use super::support::{Foreign, LUKE, Script, TestApp, VADER, merged, replay, sha1_of, tests, wait_until};

tests! {
    the_examples_of_the_documentation_are_true,
}

const FILE: &[u8] = b"the bytes of the file";

/// Starts the IMGAPIs that the examples import from.
async fn others() -> Foreign {
    let others = Foreign::http("127.0.0.1").await;
    let manifest = |uuid: &str, changes: Value| {
        let shown = json!({
            "v": 2, "uuid": uuid, "owner": VADER, "name": "imported", "version": "2.0.0", "state": "active",
            "disabled": false, "public": true, "published_at": "2026-03-01T12:00:00.000Z", "type": "zone-dataset",
            "os": "smartos", "files": [{"sha1": sha1_of(FILE), "size": FILE.len(), "compression": "none"}],
        });
        Script::json(200, &merged(shown, changes))
    };
    let [imported, by_job, copied] = [
        "5f2b3e1c-7d0a-4c56-9a7e-2f0d6f1f0a11",
        "6a3c4f2d-8e1b-4d67-8b8f-3a1e7a2a1b22",
        "6b4d5a3e-9f2c-4e78-9c9a-4b2f8b3b2c33",
    ];
    others.on(&format!("/images/{imported}"), manifest(imported, json!({})));
    others.on(&format!("/images/{imported}/file"), Script::answer(200, &[], FILE));
    others.on(&format!("/images/{by_job}"), manifest(by_job, json!({})));
    for query in [String::new(), format!("?account={VADER}")] {
        others.on(&format!("/images/{copied}{query}"), manifest(copied, json!({"public": false})));
    }
    others
}

async fn the_examples_of_the_documentation_are_true(_: &TestApp) {
    let others = others().await;
    let archive = "metadata and root file system";
    let items = json!({"lxd_combined.tar.gz": {
        "ftype": "lxd_combined.tar.gz", "path": "lxd.tar.gz", "size": archive.len(), "sha256": lxd::sha256_of(archive),
    }});
    others.on("/streams/v1/index.json", lxd::index(["p"].into_iter()));
    others.on(
        "/streams/v1/images.json",
        lxd::list(&Map::from_iter([("p".to_owned(), lxd::product("alpine/3.16", &items))])),
    );
    others.on("/lxd.tar.gz", Script::answer(200, &[], archive));
    let registries = json!({"images": others.url("")});
    let datacenters = json!({"us-east-2": others.url("")});
    let app = TestApp::start_with(|dc| {
        let dc = dc.manta(MantaMode::Local).services(true).images(true);
        let dc = dc.imgapi_config("lxdRegistries", registries);
        let dc = dc.imgapi_config("registryAllow", json!(["127.0.0.1"]));
        dc.imgapi_config("imgapiUrlFromDatacenter", datacenters)
    })
    .await;
    wait_until("the workflow API", async || {
        let state = app.operator().get("/state").await.ok();
        let workers = state["workers"].as_array().unwrap();
        workers.iter().any(|worker| worker["detail"] == "connected").then_some(())
    })
    .await;
    let registry = RegistryServer::start().await;
    DockerFiles::new(&[b"layer"]).stored(&app).await;
    // The UUIDs of the accounts are fixed; no answer chooses them.
    let accounts = [VADER, LUKE].map(|account| (account, account.to_owned()));
    let servers = [
        ("https://images.example.com", others.url("")),
        ("registry.example.com", registry.address.to_string()),
    ];
    let known = [&accounts[..], &servers].concat();
    replay(&app, "http", &known).await;
    app.stop().await;
}
