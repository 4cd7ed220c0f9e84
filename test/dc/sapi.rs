// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A configuration that follows SAPI's metadata: the config-agent renders it, and the service applies it. These tests start their
//! own datacenters.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use coal::Cloud;
use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::rest::RestFault;
use http_signature::PrivateKey;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::command_line::print;
use super::support::{Answer, Connection, LUKE, NOBODY, TestApp, sha1_of, tests, wait_until};

tests! {
    metadata_take_effect_while_transfers_go_on,
    what_cannot_be_leaves_the_service_as_it_was,
    the_service_goes_on_without_its_agent,
    datacenters_of_a_cloud_know_each_other,
}

/// A datacenter whose configuration follows the metadata.
struct Stage(TestApp);

impl Stage {
    async fn start(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> Stage {
        // Transfers wait for as long as a change takes on any machine.
        let patient =
            |dc: DatacenterBuilder| dc.config_from_sapi(true).imgapi_config("transferIdleSeconds", 3_600);
        Stage(TestApp::start_with(|dc| build(patient(dc.services(true)))).await)
    }

    fn service(&self) -> String {
        format!("/services/{}", self.0.dc.imgapi_service())
    }

    /// Updates an object as `sapiadm update` does.
    async fn put(&self, path: &str, body: Value) {
        let url = format!("{}{path}", self.0.dc.sapi().url());
        let answer = self.0.http.put(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Sets metadata of IMGAPI.
    async fn set(&self, metadata: Value) {
        self.put(&self.service(), json!({"metadata": metadata})).await;
    }

    /// Removes metadata of IMGAPI.
    async fn unset(&self, names: &[&str]) {
        let names: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(""))).collect();
        self.put(&self.service(), json!({"action": "delete", "metadata": names})).await;
    }

    /// Sets metadata of the datacenter.
    async fn set_all(&self, metadata: Value) {
        let path = format!("/applications/{}", self.0.dc.sdc_application());
        self.put(&path, json!({"metadata": metadata})).await;
    }

    async fn state(&self) -> Value {
        self.0.operator().get("/state").await.ok()
    }

    /// Returns how many reloads of the configuration had this result.
    async fn reloads(&self, result: &str) -> f64 {
        let metrics = self.0.metrics().await;
        let name = format!("result=\"{result}\"");
        let is_it = |line: &&str| line.starts_with("imgapi_config_reloads_total") && line.contains(&name);
        metrics.lines().find(is_it).map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    /// Returns the datacenters from which images can be copied.
    async fn datacenters(&self) -> String {
        let action = format!("/images/{NOBODY}?action=import-from-datacenter&datacenter=nowhere");
        let answer = self.0.luke().call(Method::POST, &action).send().await.json();
        let message = answer["errors"][0]["message"].as_str().unwrap();
        message.strip_prefix("must be one of: ").unwrap().to_owned()
    }

    /// Returns whether images can be created from VMs.
    async fn makes_images_of_vms(&self) -> bool {
        let create = self.0.luke().call(Method::POST, "/images?action=create-from-vm").json(&json!({}));
        create.send().await.json()["code"] != "NotAvailable"
    }

    /// Returns a value of the rendered configuration.
    async fn configured(&self, key: &str) -> String {
        String::from_utf8(print(self.0.dc.config_file(), key).await.stdout).unwrap().trim_end().to_owned()
    }

    fn config_text(&self) -> String {
        fs::read_to_string(self.0.dc.config_file()).unwrap()
    }

    fn agent_log(&self) -> String {
        fs::read_to_string(self.0.dc.agent_log_file().unwrap()).unwrap()
    }

    fn template(&self) -> PathBuf {
        self.0.dc.data_dir().join("config-agent/sapi_manifests/imgapi/template")
    }
}

/// Waits until a change is in effect, and prints how long that took.
async fn in_effect(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    wait_until(what, async || condition().await.then_some(())).await;
    println!("in effect after {:.1} s: {what}", began.elapsed().as_secs_f64());
}

/// Transfers whose clients wait until they are told to continue.
struct Transfers {
    bytes: Vec<u8>,
    sources: Vec<String>,
    downloads: Vec<(Connection, Answer)>,
    uploads: Vec<(String, Connection)>,
}

/// Number of transfers of each kind.
const TRANSFERS: usize = 25;
const UPLOADED: &str = "a small file, of which the second half comes later";

impl Transfers {
    /// Begins the transfers. Some of them use Manta, if there is one, the others use local files.
    async fn begin(app: &TestApp) -> Transfers {
        // More bytes than socket buffers hold.
        let bytes: Vec<u8> = (0..16u32 << 20).map(|n| (n >> 9) as u8).collect();
        let mut sources = Vec::new();
        for place in ["", "&storage=local"] {
            let uuid = app.luke().has_image(json!({})).await;
            app.operator().upload(&uuid, &format!("compression=none{place}"), bytes.clone()).await.ok();
            sources.push(uuid);
        }
        let (mut downloads, mut uploads) = (Vec::new(), Vec::new());
        for (index, source) in sources.iter().cycle().take(TRANSFERS).enumerate() {
            let mut download = app.connect().await;
            download.send(format!("GET /images/{source}/file HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            let head = download.read_head().await;
            assert_eq!(head.status, 200, "{head:?}");
            downloads.push((download, head));
            let uuid = app.luke().has_image(json!({})).await;
            let upload = if index % 2 == 0 {
                app.half_an_upload(&uuid, UPLOADED).await
            } else {
                half_a_local_upload(app, &uuid).await
            };
            uploads.push((uuid, upload));
        }
        Transfers { bytes, sources, downloads, uploads }
    }

    /// Checks that all transfers end completely.
    async fn end(self, app: &TestApp) {
        let has_ended = |record: &Value| {
            let target = record["req"]["url"].as_str().unwrap_or_default();
            record["route"] == "getimagefile" && self.sources.iter().any(|source| target.contains(source))
        };
        let ended = app.log().into_iter().find(has_ended);
        assert_eq!(ended, None, "a download has ended before its client has read it");
        for (uuid, mut upload) in self.uploads {
            upload.send(&UPLOADED[UPLOADED.len() / 2..]).await;
            let image = upload.read_answer().await.ok();
            assert_eq!(image["files"][0]["sha1"], sha1_of(UPLOADED.as_bytes()), "{image}");
            assert_eq!(app.operator().download(&uuid).await.text(), UPLOADED);
        }
        let expected = sha1_of(&self.bytes);
        for (mut download, head) in self.downloads {
            assert_eq!(sha1_of(&download.read_body(&head).await), expected);
        }
    }
}

async fn half_a_local_upload(app: &TestApp, uuid: &str) -> Connection {
    let mut connection = app.connect().await;
    let head = format!(
        "PUT /images/{uuid}/file?compression=none&storage=local HTTP/1.1\r\nHost: x\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        UPLOADED.len()
    );
    connection.send(head).await;
    assert_eq!(connection.read_head().await.status, 100);
    connection.send(&UPLOADED[..UPLOADED.len() / 2]).await;
    connection
}

async fn metadata_take_effect_while_transfers_go_on(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc.manta(MantaMode::Local)).await;
    let app = &stage.0;
    let transfers = Transfers::begin(app).await;
    assert_eq!(stage.datacenters().await, "");

    stage.set(json!({"IMGAPI_URL_FROM_DATACENTER": {"far": "http://127.0.0.1:1"}})).await;
    in_effect("another datacenter", async || stage.datacenters().await == "far").await;

    stage.set_all(json!({"ufds_admin_login": "ad\"min"})).await;
    in_effect("the admin's login", async || {
        let changed = |record: &Value| {
            let keys = record["changed"].as_str().unwrap_or_default();
            keys.split(", ").any(|key| key == "ufds_admin_login")
        };
        app.log().iter().any(changed)
    })
    .await;
    assert_eq!(stage.configured("ufds_admin_login").await, "ad\"min");

    rotate_key(&stage).await;

    // Without Manta, images cannot be created from VMs, unless that is allowed.
    let url = app.dc.manta().unwrap().url();
    assert!(stage.makes_images_of_vms().await);
    stage.unset(&["IMGAPI_MANTA_URL"]).await;
    in_effect("no Manta", async || stage.state().await["storageTypes"] == json!(["local"])).await;
    assert!(!stage.makes_images_of_vms().await);
    stage.set(json!({"IMGAPI_ALLOW_LOCAL_CREATE_IMAGE_FROM_VM": true})).await;
    in_effect("images of VMs", async || stage.makes_images_of_vms().await).await;
    stage.set(json!({"IMGAPI_MANTA_URL": url})).await;
    in_effect("Manta", async || stage.state().await["storageTypes"] == json!(["manta", "local"])).await;

    assert_eq!(stage.reloads("refused").await, 0.0);
    transfers.end(app).await;
    stage.0.stop().await;
}

/// The admin and IMGAPI get another key. The old key is deleted as soon as the new one is in use.
async fn rotate_key(stage: &Stage) {
    let app = &stage.0;
    let (manta, directory) = (app.dc.manta().unwrap(), app.dc.ufds().directory());
    let old = directory.keys("admin").remove(0);
    assert_eq!(manta.latest_key(), Some(old.fingerprint.clone()));
    let key = PrivateKey::generate().unwrap();
    let public = key.public_openssh("coal imgapi key");
    directory.add_key("admin", &public).unwrap();
    stage
        .set(json!({
            "IMGAPI_KEY_ID": format!("SHA256:{}", key.sha256_fingerprint()),
            "IMGAPI_PRIVATE_KEY": key.to_pem().unwrap(),
            "IMGAPI_PUBLIC_KEY": public,
        }))
        .await;
    let fingerprint = key.md5_fingerprint();
    in_effect("another key", async || {
        app.luke().has_image_with_file(json!({}), b"any").await;
        manta.latest_key().is_some_and(|latest| latest == fingerprint)
    })
    .await;
    directory.delete_key(&old.fingerprint).unwrap();
    let uuid = app.luke().has_image_with_file(json!({}), b"signed with the new key").await;
    assert_eq!(app.stored(&uuid).await.unwrap().0["files"][0]["stor"], "manta");
    assert_eq!(app.operator().download(&uuid).await.text(), "signed with the new key");
    let logs = fs::read_to_string(app.dc.log_file()).unwrap() + &stage.agent_log();
    assert!(!logs.contains("PRIVATE KEY"), "the key is in a log");
}

async fn what_cannot_be_leaves_the_service_as_it_was(_shared: &TestApp) {
    let stage = Stage::start(|dc| dc).await;
    let app = &stage.0;
    let far = json!({"IMGAPI_URL_FROM_DATACENTER": {"far": "http://127.0.0.1:1"}});

    // The template has an error: the agent reports it, and the file stays as it is.
    let (config, template) = (stage.config_text(), fs::read_to_string(stage.template()).unwrap());
    fs::write(stage.template(), format!("{{{{#nobody_closes_this}}}}{template}")).unwrap();
    stage.set(far).await;
    wait_until("a mistake is told", async || stage.agent_log().contains("nobody_closes_this").then_some(()))
        .await;
    assert_eq!((stage.config_text(), stage.datacenters().await), (config, String::new()));
    fs::write(stage.template(), template).unwrap();
    in_effect("a template without a mistake", async || stage.datacenters().await == "far").await;

    // The metadata do not result in valid JSON: the agent reports it, and the file stays as it is.
    let (config, told) = (stage.config_text(), stage.agent_log().len());
    stage.set(json!({"IMGAPI_URL_FROM_DATACENTER": "{\"far\": "})).await;
    let is_told = async || stage.agent_log()[told..].contains("is not JSON").then_some(());
    wait_until("what is no JSON is told", is_told).await;
    assert_eq!((stage.config_text(), stage.datacenters().await.as_str()), (config, "far"));
    stage.set(json!({"IMGAPI_URL_FROM_DATACENTER": {"far": "http://127.0.0.1:1"}})).await;

    // SAPI is unavailable: nothing changes, and later metadata take effect.
    let (config, told) = (stage.config_text(), stage.agent_log().len());
    let sapi = app.dc.sapi();
    sapi.faults().set(RestFault::Unavailable);
    let is_told = async || stage.agent_log()[told..].contains("503").then_some(());
    wait_until("SAPI's failure is told", is_told).await;
    sapi.faults().clear();
    sapi.stop().await;
    let told = stage.agent_log().len();
    wait_until("SAPI's absence is told", async || (stage.agent_log().len() > told).then_some(())).await;
    assert_eq!((stage.config_text(), stage.datacenters().await.as_str()), (config, "far"));
    sapi.start().await.unwrap();
    stage.set(json!({"IMGAPI_URL_FROM_DATACENTER": {"farther": "http://127.0.0.1:1"}})).await;
    in_effect("what SAPI says after an outage", async || stage.datacenters().await == "farther").await;

    // Invalid values: the service reports them, and keeps its current configuration.
    for (metadata, key) in [
        (json!({"IMGAPI_URL_FROM_DATACENTER": {"farther": "nowhere at all"}}), "imgapiUrlFromDatacenter"),
        (json!({"IMGAPI_LOG_LEVEL": "deafening"}), "logLevel"),
    ] {
        let before = stage.reloads("refused").await;
        let name = metadata.as_object().unwrap().keys().next().unwrap().clone();
        stage.set(metadata).await;
        in_effect("a refusal", async || stage.reloads("refused").await > before).await;
        let config = stage.state().await["config"].clone();
        let reason = config["lastError"]["message"].as_str().unwrap().to_owned();
        assert!(reason.contains(key), "{reason}");
        assert_eq!(stage.datacenters().await, "farther");
        wait_until("the reason is logged", async || {
            app.log()
                .iter()
                .any(|record| record["err"]["message"].as_str().is_some_and(|m| m.contains(key)))
                .then_some(())
        })
        .await;
        let good = json!({"IMGAPI_URL_FROM_DATACENTER": {"farther": "http://127.0.0.1:1"}});
        if name == "IMGAPI_LOG_LEVEL" {
            stage.unset(&[&name]).await
        } else {
            stage.set(good).await
        }
        in_effect("no refusal", async || stage.state().await["config"]["lastError"].is_null()).await;
    }
    a_password_is_exact_and_secret(&stage).await;
    stage.0.stop().await;
}

/// A password may contain any characters: the configuration stays valid JSON, and no log contains the password.
async fn a_password_is_exact_and_secret(stage: &Stage) {
    let app = &stage.0;
    let password = stage.configured("ufds.bindPassword").await;
    let before = stage.reloads("applied").await;
    stage.set_all(json!({"ufds_ldap_root_pw": "quo\"te\\ & <sla/sh>"})).await;
    in_effect("another password", async || stage.config_text().contains("quo")).await;
    assert_eq!(stage.configured("ufds.bindPassword").await, "quo\"te\\ & <sla/sh>");
    in_effect("it is taken over", async || stage.reloads("applied").await > before).await;
    let before = stage.reloads("applied").await;
    stage.set_all(json!({"ufds_ldap_root_pw": password})).await;
    in_effect("the right password", async || stage.reloads("applied").await > before).await;
    app.luke().has_image(json!({})).await;
    let logs = fs::read_to_string(app.dc.log_file()).unwrap() + &stage.agent_log();
    assert!(!logs.contains("quo\\") && !logs.contains(&password), "a password is in a log");
}

async fn the_service_goes_on_without_its_agent(_shared: &TestApp) {
    let mut stage = Stage::start(|dc| dc).await;
    stage.0.dc.kill_agent().await;
    assert!(stage.0.dc.agent_pid().is_none());
    stage.set(json!({"IMGAPI_URL_FROM_DATACENTER": {"far": "http://127.0.0.1:1"}})).await;
    assert_eq!(stage.datacenters().await, "");
    stage.0.dc.restart_agent().await.unwrap();
    in_effect("what was missed", async || stage.datacenters().await == "far").await;
    // After a restart, the service has the same configuration.
    stage.0.dc.restart_imgapi().await.unwrap();
    assert_eq!(stage.datacenters().await, "far");
    stage.0.stop().await;
}

async fn datacenters_of_a_cloud_know_each_other(_shared: &TestApp) {
    let template = coal::Datacenter::builder().imgapi(env!("CARGO_BIN_EXE_imgapi")).config_from_sapi(true);
    let cloud = Cloud::builder(template, ["east".to_owned(), "west".to_owned()]).start().await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (datacenter, other) in [(0, "west"), (1, "east")] {
        let datacenter = &cloud.datacenters()[datacenter];
        let url = format!(
            "{}/images/{NOBODY}?action=import-from-datacenter&datacenter=x&account={LUKE}",
            datacenter.imgapi_url().unwrap()
        );
        let answer: Value = http.post(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["errors"][0]["message"], format!("must be one of: {other}"), "{answer}");
        let message = format!("datacenter \"x\" is not supported, valid datacenters names are: {other}");
        assert_eq!(answer["message"], message);
        let config: Value = serde_json::from_slice(&fs::read(datacenter.config_file()).unwrap()).unwrap();
        assert_eq!(config["instanceUuid"], datacenter.imgapi_instance());
    }
    cloud.stop().await;
}
