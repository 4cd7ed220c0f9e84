// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Setting up Manta with `imgapi manta-setup` and `imgapi external-manta-setup`. Each test has a datacenter of its own, whose
//! Manta is not used yet.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use coal::rest::{RestFault, RestFaultRule};
use coal::ufds::{SshKey, UfdsFault};
use coal::vmapi::{Nic, VmState};
use futures_util::TryStreamExt;
use http_signature::PrivateKey;
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::support::{ADMIN, TestApp, wait_until, within};

/// The name of the generated keys.
const NAME: &str = "coal imgapi key";

const KEYS: [&str; 7] = [
    "IMGAPI_MANTA_URL",
    "IMGAPI_MANTA_USER",
    "IMGAPI_MANTA_INSECURE",
    "IMGAPI_MANTA_REMOTE",
    "IMGAPI_PRIVATE_KEY",
    "IMGAPI_PUBLIC_KEY",
    "IMGAPI_KEY_ID",
];

/// A datacenter with a Manta that IMGAPI is not configured for.
struct Stage(TestApp);

impl Stage {
    async fn start() -> Stage {
        Stage(TestApp::start_with(|dc| dc.manta(MantaMode::Unused)).await)
    }

    /// Starts a datacenter with a config-agent, which renders the configuration.
    async fn start_with_agent() -> Stage {
        Stage(TestApp::start_with(|dc| dc.manta(MantaMode::Unused).config_from_sapi(true)).await)
    }

    fn manta_url(&self) -> String {
        self.0.dc.manta().unwrap().url()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
        command.arg(words[0]).arg("-c").arg(self.0.dc.config_file()).args(&words[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a command. Its output must not contain a private key.
    async fn run(&self, words: &[&str]) -> Output {
        let output = within(&words.join(" "), self.command(words).output()).await.unwrap();
        assert!(!format!("{output:?}{}", text(&output.stdout)).contains("PRIVATE KEY"));
        output
    }

    /// Sets up the Manta of the datacenter, with these additional arguments.
    async fn set_up(&self, words: &[&str]) -> Output {
        let url = self.manta_url();
        let output = self.run(&[&["manta-setup", &url], words].concat()).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(messages(&output).last().unwrap(), "Done.");
        output
    }

    fn begin(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Returns the service's metadata in SAPI.
    async fn metadata(&self) -> Map<String, Value> {
        let url = format!("{}/services/{}", self.0.dc.sapi().url(), self.0.dc.imgapi_service());
        let service: Value = self.0.http.get(url).send().await.unwrap().json().await.unwrap();
        service["metadata"].as_object().unwrap().clone()
    }

    /// Returns the settings for Manta in SAPI.
    async fn settings(&self) -> Map<String, Value> {
        let metadata = self.metadata().await;
        metadata.into_iter().filter(|(key, _)| KEYS.contains(&key.as_str())).collect()
    }

    /// Returns the keys with our name of the administrator's account.
    fn keys(&self) -> Vec<SshKey> {
        let keys = self.0.dc.ufds().directory().keys("admin").into_iter();
        keys.filter(|key| key.name == NAME).collect()
    }

    /// Checks that SAPI and UFDS contain the same single key, and that Manta accepts it.
    async fn is_set_up(&self) -> Map<String, Value> {
        let settings = self.settings().await;
        assert_eq!(settings.len(), KEYS.len(), "{:?}", settings.keys());
        let keys = self.keys();
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert_eq!(settings["IMGAPI_PUBLIC_KEY"], keys[0].openssh);
        let client = client(&settings);
        client.list(&manta::Path::new("/admin/stor").unwrap()).try_collect::<Vec<_>>().await.unwrap();
        settings
    }

    /// Renders the configuration as the config-agent does, and restarts the service.
    async fn render(&mut self) {
        self.write_configuration().await;
        self.0.dc.restart_imgapi().await.unwrap();
    }

    async fn write_configuration(&self) {
        let settings = self.settings().await;
        let text = |key: &str| settings[key].as_str().unwrap();
        let key = self.key_file();
        std::fs::write(&key, format!("{}\n", text("IMGAPI_PRIVATE_KEY"))).unwrap();
        let file = self.0.dc.config_file();
        let mut config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        config["storageTypes"] = json!(["manta", "local"]);
        config["manta"] = json!({
            "url": text("IMGAPI_MANTA_URL"),
            "user": text("IMGAPI_MANTA_USER"),
            "key": key,
            "keyId": text("IMGAPI_KEY_ID"),
            "insecure": settings["IMGAPI_MANTA_INSECURE"],
            "remote": settings["IMGAPI_MANTA_REMOTE"],
            "baseDir": "imgapi",
        });
        let new = file.with_extension("new");
        std::fs::write(&new, config.to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn key_file(&self) -> PathBuf {
        self.0.dc.data_dir().join("imgapi.key")
    }

    /// Checks that a new image's file is stored in Manta, below `user`.
    async fn stores_in_manta(&self, user: &str) {
        let uuid = self.0.luke().has_image_with_file(json!({}), b"bytes").await;
        assert_eq!(self.0.stored(&uuid).await.unwrap().0["files"][0]["stor"], "manta");
        let path = format!("/{user}/stor/imgapi/coal/images/{}/{uuid}/file0", &uuid[..3]);
        let client = client(&self.settings().await);
        let object = client.get(&manta::Path::new(path).unwrap(), &Default::default()).await.unwrap();
        assert_eq!(object.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"bytes");
    }
}

/// Returns a client that signs with the settings in SAPI.
fn client(settings: &Map<String, Value>) -> manta::Client {
    let text = |key: &str| settings[key].as_str().unwrap();
    let key = PrivateKey::from_pem(text("IMGAPI_PRIVATE_KEY")).unwrap();
    let config = manta::Config::new(text("IMGAPI_MANTA_URL"), text("IMGAPI_MANTA_USER"), key);
    manta::Client::new(config).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn messages(output: &Output) -> Vec<String> {
    let records = text(&output.stdout).lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["msg"].as_str().unwrap().to_owned()).collect()
}

fn assert_error(output: &Output, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let line = stderr.lines().next().unwrap();
    assert!(
        line.starts_with("imgapi-") && line.contains("manta-setup: error: ") && line.contains(message),
        "{line}"
    );
}

#[tokio::test]
async fn from_nothing_to_images_in_manta() {
    let stage = Stage::start_with_agent().await;
    assert!(stage.settings().await.is_empty() && stage.keys().is_empty());
    let nothing = stage.run(&["manta-env"]).await;
    assert!(nothing.status.success() && nothing.stdout.is_empty());
    let local = stage.0.luke().has_image_with_file(json!({}), b"bytes").await;
    assert_eq!(stage.0.stored(&local).await.unwrap().0["files"][0]["stor"], "local");

    stage.set_up(&[]).await;
    let settings = stage.is_set_up().await;
    assert_eq!(settings["IMGAPI_MANTA_URL"], stage.manta_url());
    assert_eq!(settings["IMGAPI_MANTA_USER"], "admin");
    assert_eq!(
        (&settings["IMGAPI_MANTA_INSECURE"], &settings["IMGAPI_MANTA_REMOTE"]),
        (&json!(false), &json!(false))
    );
    assert!(settings["IMGAPI_KEY_ID"].as_str().unwrap().starts_with("SHA256:"));
    assert!(settings["IMGAPI_PUBLIC_KEY"].as_str().unwrap().ends_with(NAME));
    wait_until("files go to Manta", async || {
        let state = stage.0.operator().get("/state").await.ok();
        (state["storageTypes"] == json!(["manta", "local"])).then_some(())
    })
    .await;
    stage.stores_in_manta("admin").await;
    let env = stage.run(&["manta-env"]).await;
    let expected = format!(
        "export MANTA_URL={}\nexport MANTA_USER=admin\nexport MANTA_KEY_ID={}\n",
        stage.manta_url(),
        settings["IMGAPI_KEY_ID"].as_str().unwrap()
    );
    assert_eq!(text(&env.stdout), expected);

    // A repeated run, also with other arguments, changes nothing and says so.
    let keys = stage.keys();
    stage.set_up(&[]).await;
    let other = stage.run(&["manta-setup", "https://other.example.com", "--remote"]).await;
    assert!(other.status.success(), "{other:?}");
    let warning = text(&other.stdout).lines().find(|line| line.contains("\"level\":40")).unwrap();
    assert!(warning.contains("IMGAPI_MANTA_URL, IMGAPI_MANTA_REMOTE"), "{warning}");
    assert_eq!((stage.settings().await, &stage.keys()), (settings, &keys));

    // Another key is set up, and the agent renders it.
    stage.set_up(&["--force", "--grace", "0"]).await;
    stage.is_set_up().await;
    assert_ne!(stage.keys(), keys);
    let image = stage.0.luke().has_image(json!({})).await;
    wait_until("the service signs with the new key", async || {
        let stored = stage.0.luke().upload(&image, "compression=none", "bytes").await;
        (stored.status == 200).then_some(())
    })
    .await;
    stage.stores_in_manta("admin").await;
    stage.0.stop().await;
}

#[tokio::test]
async fn a_key_is_rotated_while_the_old_one_still_works() {
    let mut stage = Stage::start().await;
    stage.set_up(&[]).await;
    stage.render().await;
    let old = stage.is_set_up().await;
    let url = stage.manta_url();
    let child = stage.command(&["manta-setup", &url, "--force", "--remote", "--grace", "0"]).spawn().unwrap();
    wait_until("a new key in SAPI", async || {
        (stage.settings().await["IMGAPI_KEY_ID"] != old["IMGAPI_KEY_ID"]).then_some(())
    })
    .await;
    // The configuration still contains the old key, and the service works with it.
    assert_eq!(stage.keys().len(), 2);
    stage.stores_in_manta("admin").await;
    stage.render().await;
    let output = within("the end of the rotation", child.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let new = stage.is_set_up().await;
    assert_ne!(new["IMGAPI_PRIVATE_KEY"], old["IMGAPI_PRIVATE_KEY"]);
    assert_eq!(new["IMGAPI_MANTA_REMOTE"], true);
    stage.stores_in_manta("admin").await;
    let refused = client(&old).get(&manta::Path::new("/admin/stor").unwrap(), &Default::default()).await;
    assert_eq!(refused.err().unwrap().code(), Some(manta::ErrorCode::KeyDoesNotExist));
    // The new configuration does not arrive in time: the old key stays, and another run deletes it.
    let late = stage.run(&["manta-setup", &url, "--force", "--agent-wait", "0"]).await;
    assert_error(&late, "has not got the new key");
    assert_eq!(stage.keys().len(), 2);
    stage.stores_in_manta("admin").await;
    stage.render().await;
    stage.set_up(&["--grace", "0"]).await;
    stage.is_set_up().await;
    stage.stores_in_manta("admin").await;
    stage.0.stop().await;
}

/// Kills a run at each step, and repairs the state with another run.
#[tokio::test]
async fn a_run_that_is_killed_is_repaired_by_another() {
    let mut stage = Stage::start().await;
    let url = stage.manta_url();
    let kill = async |mut child: Child| {
        child.kill().await.unwrap();
        child.wait().await.unwrap();
    };
    for force in [&[][..], &["--force"]] {
        let words = [&["manta-setup", url.as_str()], force].concat();
        let before = (stage.settings().await, stage.keys());
        // Only the account has the new key.
        let faults = stage.0.dc.manta().unwrap().faults();
        let met = faults.applied();
        faults.set(MantaFaultRule::new(MantaFault::Stall).path("/admin/stor"));
        let child = stage.begin(&words);
        within("Manta is asked", faults.wait_applied(met + 1)).await;
        kill(child).await;
        faults.clear();
        assert_eq!((stage.settings().await, stage.keys().len()), (before.0.clone(), before.1.len() + 1));
        // The request to SAPI was sent, but not processed.
        let faults = stage.0.dc.sapi().faults();
        let met = faults.applied();
        faults.set(RestFaultRule::new(RestFault::Stall).method("PUT"));
        let child = stage.begin(&words);
        within("SAPI is told", faults.wait_applied(met + 1)).await;
        kill(child).await;
        faults.clear();
        // SAPI has processed the request, but its answer was lost.
        let met = faults.applied();
        faults.set(RestFaultRule::new(RestFault::LostAnswer).method("PUT").times(1));
        let mut child = stage.begin(&words);
        within("SAPI has been told", faults.wait_applied(met + 1)).await;
        wait_until("a key in SAPI", async || (stage.settings().await != before.0).then_some(())).await;
        kill_if_it_runs(&mut child).await;
        stage.render().await;
        stage.set_up(&["--grace", "0"]).await;
        stage.is_set_up().await;
        stage.render().await;
        stage.stores_in_manta("admin").await;
    }
    stage.0.stop().await;
}

async fn kill_if_it_runs(child: &mut Child) {
    // The run may have ended by itself.
    let _ = child.start_kill();
    within("the end of a killed run", child.wait()).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_of_sapi_is_found_out_about() {
    let stage = Stage::start().await;
    let faults = stage.0.dc.sapi().faults();
    faults.set(RestFaultRule::new(RestFault::LostAnswer).method("PUT").times(1));
    stage.set_up(&[]).await;
    stage.is_set_up().await;
    stage.0.stop().await;
}

#[tokio::test]
async fn without_a_service_nothing_is_changed() {
    let stage = Stage::start().await;
    let url = stage.manta_url();
    let fails = async |message: &str| {
        assert_error(&stage.run(&["manta-setup", &url]).await, message);
        assert!(stage.keys().is_empty());
    };
    stage.0.dc.sapi().stop().await;
    fails("SAPI is not available").await;
    stage.0.dc.sapi().start().await.unwrap();
    stage.0.dc.sapi().faults().set(RestFaultRule::new(RestFault::Conflict).method("GET"));
    fails("SAPI answered 409").await;
    stage.0.dc.sapi().faults().clear();
    stage.0.dc.ufds().stop().await;
    fails("UFDS is not available").await;
    stage.0.dc.ufds().start().await.unwrap();
    stage.0.dc.ufds().faults().set(UfdsFault::Unavailable);
    fails("UFDS answered with result code 52").await;
    stage.0.dc.ufds().faults().clear();
    // The new key is removed from the account again.
    stage.0.dc.manta().unwrap().stop().await;
    fails("does not take the key").await;
    stage.0.dc.manta().unwrap().start().await.unwrap();
    assert!(stage.settings().await.is_empty());
    // SAPI may have stored the settings, so the key stays on the account for another run.
    stage.0.dc.sapi().faults().set(RestFaultRule::new(RestFault::HangUp).method("PUT").times(1));
    assert_error(&stage.run(&["manta-setup", &url]).await, "SAPI's answer was lost");
    assert_eq!((stage.settings().await.len(), stage.keys().len()), (0, 1));
    stage.set_up(&[]).await;
    stage.is_set_up().await;
    stage.0.stop().await;
}

#[tokio::test]
async fn what_is_set_up_otherwise_is_not_overwritten_unasked() {
    let stage = Stage::start().await;
    stage.set_up(&[]).await;
    let change = async |metadata: Value| {
        let url = format!("{}/services/{}", stage.0.dc.sapi().url(), stage.0.dc.imgapi_service());
        let sent = stage.0.http.put(url).json(&json!({"metadata": metadata})).send().await.unwrap();
        assert!(sent.status().is_success());
    };
    let url = stage.manta_url();
    let keys = stage.keys();
    change(json!({"IMGAPI_MANTA_USER": "poseidon"})).await;
    assert_error(&stage.run(&["manta-setup", &url]).await, "another account of Manta, poseidon: use --force");
    change(json!({"IMGAPI_MANTA_USER": "admin", "IMGAPI_PUBLIC_KEY": "ssh-ed25519 nonsense"})).await;
    assert_error(&stage.run(&["manta-setup", &url]).await, "the key in SAPI: the public key");
    assert_eq!(stage.keys(), keys);
    // A key that was removed from the account is added again.
    change(json!({"IMGAPI_PUBLIC_KEY": keys[0].openssh})).await;
    let settings = stage.settings().await;
    let (dn, password) = {
        let config: Value =
            serde_json::from_slice(&std::fs::read(stage.0.dc.config_file()).unwrap()).unwrap();
        (config["ufds"]["bindDN"].clone(), config["ufds"]["bindPassword"].clone())
    };
    let connect = ldap3::LdapConnSettings::new().set_no_tls_verify(true);
    let address = format!("ldaps://{}", stage.0.dc.ufds().address());
    let (connection, mut ldap) = ldap3::LdapConnAsync::with_settings(connect, &address).await.unwrap();
    tokio::spawn(connection.drive());
    ldap.simple_bind(dn.as_str().unwrap(), password.as_str().unwrap()).await.unwrap().success().unwrap();
    let entry = format!("fingerprint={}, uuid={ADMIN}, ou=users, o=smartdc", keys[0].fingerprint);
    ldap.delete(&entry).await.unwrap().success().unwrap();
    assert!(stage.keys().is_empty());
    stage.set_up(&[]).await;
    assert_eq!(stage.is_set_up().await, settings);
    stage.0.stop().await;
}

#[tokio::test]
async fn another_manta_is_set_up_with_a_key_of_its_account() {
    let mut stage = Stage::start().await;
    let url = stage.manta_url();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let write = |private: &str, public: &str| {
        std::fs::write(&file, private).unwrap();
        std::fs::write(file.with_extension("pub"), format!("{public}\n")).unwrap();
    };
    let word = file.to_str().unwrap();
    let words = ["external-manta-setup", &url, "imgapitestluke", word, "--key-wait", "1"];
    assert_error(&stage.run(&words).await, "cannot read");
    // The account does not have this key.
    let stranger = PrivateKey::generate().unwrap();
    write(&stranger.to_pem().unwrap(), &stranger.public_openssh("x"));
    assert_error(&stage.run(&words).await, "does not take the key");
    // The private and the public key do not belong together.
    let lukes = std::fs::read_to_string(stage.0.dc.key_file("imgapitestluke")).unwrap();
    write(&lukes, &stranger.public_openssh("x"));
    assert_error(&stage.run(&words).await, "the public key is not that of the private key");
    assert!(stage.settings().await.is_empty());
    let public = PrivateKey::from_pem(&lukes).unwrap().public_openssh("luke's");
    write(&lukes, &public);
    for _ in 0..2 {
        let output = stage.run(&words).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(messages(&output).last().unwrap(), "Done.");
    }
    let settings = stage.settings().await;
    assert_eq!(
        (&settings["IMGAPI_MANTA_REMOTE"], &settings["IMGAPI_MANTA_INSECURE"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(settings["IMGAPI_PUBLIC_KEY"], public);
    assert!(stage.keys().is_empty());
    stage.render().await;
    stage.stores_in_manta("imgapitestluke").await;
    stage.0.stop().await;
}

#[tokio::test]
async fn the_first_balancer_is_found_by_its_tag() {
    let stage = Stage(TestApp::start_with(|dc| dc.manta(MantaMode::Unused).services(true)).await);
    let words = ["manta-setup", "FIRST-LB", "--key-wait", "0", "-i"];
    assert_error(&stage.run(&words).await, "no manta \"loadbalancer\" VMs were found");
    let fleet = stage.0.dc.services().unwrap().fleet();
    let mut vm = fleet.vm_called("running").unwrap();
    vm.owner_uuid = ADMIN.to_owned();
    vm.tags.insert("manta_role".to_owned(), json!("loadbalancer"));
    let nic = |nic_tag: &str, ip: &str| Nic { nic_tag: nic_tag.to_owned(), ip: ip.to_owned() };
    vm.nics = vec![nic("admin", "10.0.0.5")];
    fleet.put_vm(vm.clone());
    assert_error(&stage.run(&words).await, "no external IP on the first Manta LB");
    vm.nics.push(nic("external", "192.0.2.7"));
    fleet.put_vm(vm.clone());
    let output = stage.run(&words).await;
    assert!(output.status.success(), "{output:?}");
    let settings = stage.settings().await;
    assert_eq!(
        (&settings["IMGAPI_MANTA_URL"], &settings["IMGAPI_MANTA_INSECURE"]),
        (&json!("https://192.0.2.7"), &json!(true))
    );
    vm.state = VmState::Stopped;
    fleet.put_vm(vm);
    assert_error(&stage.run(&words).await, "no manta \"loadbalancer\" VMs were found");
    stage.0.stop().await;
}

#[tokio::test]
async fn arguments_that_are_wrong_are_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "{\"sapi_service\": \"127.0.0.1:1\"}").unwrap();
    let stage = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
        command.arg(words[0]).arg("-c").arg(file.path()).args(&words[1..]);
        async move { tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap() }
    };
    assert_error(
        &stage(&["manta-setup"]).await,
        "incorrect number of args (try \"imgapi-manta-setup --help\")",
    );
    assert_error(&stage(&["external-manta-setup", "a", "b"]).await, "incorrect number of args");
    assert_error(&stage(&["manta-setup", "https://user:secret@manta"]).await, "the URL of Manta must be");
    let help = stage(&["manta-setup", "--help"]).await;
    assert!(help.status.success() && text(&help.stdout).contains("<MANTA-URL>"), "{help:?}");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_imgapi"))
        .args(["manta-env", "-c", "/nowhere"])
        .output()
        .await
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}
