// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The directory of local data: its place, its creation, and that commands use the same directory as the service.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use super::configured;
use super::support::{SDC, TestApp, tests, wait_until, within};

tests! {
    commands_find_the_directory_in_the_configuration,
    commands_refuse_another_directory_than_that_of_the_service,
    a_service_that_tells_nothing_to_strangers_is_known_by_its_lock,
    while_the_service_is_down_a_directory_without_data_is_refused,
    a_server_makes_the_directory_that_is_named_and_nothing_above_it,
    nothing_makes_the_default_directory,
}

/// Commands that use the directory, with the exit status of their failure.
const COMMANDS: [(&[&str], i32); 4] =
    [(&["dump"], 1), (&["check-files"], 255), (&["drain", "on"], 1), (&["drain", "off"], 1)];

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn local(more: Value) -> TestApp {
    let mut settings = json!({"mode": "public", "databaseType": "local", "moray": null, "ufds": null});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let app = configured(settings).await;
    app.dc.moray().stop().await;
    app
}

async fn has_image(app: &TestApp) {
    let manifest =
        json!({"owner": SDC, "name": "a", "version": "1", "type": "other", "os": "other", "public": true});
    app.operator().create(&manifest).await.ok();
}

/// Runs `imgapi` with these arguments. The environment variable is set only if it is given.
async fn imgapi(words: &[&str], variable: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.args(words).env_remove("IMGAPI_LOCAL_BASE_DIR").kill_on_drop(true);
    command.envs(variable.map(|path| ("IMGAPI_LOCAL_BASE_DIR", path)));
    within(&words.join(" "), command.output()).await.unwrap()
}

async fn adm(app: &TestApp, words: &[&str], variable: Option<&Path>) -> Output {
    let file = app.dc.config_file().to_str().unwrap();
    imgapi(&[&["adm", "-f", file], words].concat(), variable).await
}

async fn assert_refused(app: &TestApp, directory: &Path, reason: &str) {
    for (words, status) in COMMANDS {
        let output = adm(app, words, Some(directory)).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*output.stdout), (Some(status), &b""[..]), "{words:?}: {told}");
        assert!(told.contains(reason) && told.contains("localBaseDir"), "{words:?}: {told}");
        assert!(told.contains(directory.to_str().unwrap()), "{words:?}: {told}");
    }
}

async fn commands_find_the_directory_in_the_configuration(_: &TestApp) {
    let app = local(json!({})).await;
    has_image(&app).await;
    let directory = app.dc.local_dir();
    assert_eq!(app.operator().get("/state").await.ok()["localBaseDir"], directory.to_str().unwrap());
    let file = app.dc.config_file().to_str().unwrap();
    let printed = imgapi(&["config", "-f", file, "localBaseDir"], None).await;
    assert_eq!(String::from_utf8_lossy(&printed.stdout), format!("{}\n", directory.display()));
    let other = imgapi(&["config", "-f", file, "localBaseDir"], Some(Path::new("/other"))).await;
    assert_eq!(other.stdout, b"/other\n", "the variable wins");

    let dump = adm(&app, &["dump"], None).await;
    assert_eq!((dump.status.code(), dump.stdout.iter().filter(|byte| **byte == b'\n').count()), (Some(0), 1));
    let check = adm(&app, &["check-files"], None).await;
    assert!(String::from_utf8_lossy(&check.stdout).starts_with("1 images"), "{check:?}");
    assert!(adm(&app, &["drain", "on"], None).await.status.success());
    app.operator().get("/ping").await.refused(503, "ServiceUnavailableError");
    assert!(adm(&app, &["drain", "off"], None).await.status.success());
    app.stop().await;
}

async fn commands_refuse_another_directory_than_that_of_the_service(_: &TestApp) {
    let mut app = local(json!({})).await;
    has_image(&app).await;
    let other = tempfile::tempdir().unwrap();
    assert_refused(&app, other.path(), "is not that of the service").await;
    // Now the directory looks like one of another service.
    fs::create_dir(other.path().join("manifests")).unwrap();
    assert_refused(&app, other.path(), "is not that of the service").await;
    let load = adm(&app, &["load", "/dev/null"], Some(other.path())).await;
    assert_eq!(load.status.code(), Some(1), "{load:?}");
    assert_eq!(entries(other.path()), ["manifests"]);
    // The same directory under another name is accepted.
    let link = app.dc.data_dir().join("link");
    std::os::unix::fs::symlink(app.dc.local_dir(), &link).unwrap();
    assert!(adm(&app, &["dump"], Some(&link)).await.status.success());
    app.dc.restart_imgapi().await.unwrap();
    app.stop().await;
}

async fn a_service_that_tells_nothing_to_strangers_is_known_by_its_lock(_: &TestApp) {
    let app = local(json!({"authType": "signature", "authKeys": {}})).await;
    let dump = adm(&app, &["dump"], None).await;
    assert!(dump.status.success(), "{dump:?}");
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("manifests")).unwrap();
    assert_refused(&app, other.path(), "is used by no service").await;
    app.stop().await;
}

async fn while_the_service_is_down_a_directory_without_data_is_refused(_: &TestApp) {
    let app = local(json!({})).await;
    has_image(&app).await;
    assert!(app.dc.stop_imgapi().await.unwrap().success());
    let dump = adm(&app, &["dump"], None).await;
    assert!(dump.status.success() && !dump.stdout.is_empty(), "{dump:?}");
    let saved = tempfile::tempdir().unwrap();
    let file = saved.path().join("dump");
    fs::write(&file, &dump.stdout).unwrap();

    let empty = tempfile::tempdir().unwrap();
    assert_refused(&app, empty.path(), "has nothing that a service has left").await;
    assert_refused(&app, &empty.path().join("none"), "No such file").await;
    assert_refused(&app, &file, "is no directory").await;
    assert!(entries(empty.path()).is_empty());
    // A new server has an empty directory.
    let load = adm(&app, &["load", file.to_str().unwrap()], Some(empty.path())).await;
    assert!(load.status.success(), "{load:?}");
    assert!(empty.path().join("manifests").is_dir());
    app.end().await;
}

/// Returns the configuration of a server that stops at once, because its port is in use.
fn config(directory: &Path, port: u16, more: Value) -> String {
    let mut config = json!({"mode": "public", "authType": "none", "port": port, "adminIp": ""});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let file = directory.join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn a_server_makes_the_directory_that_is_named_and_nothing_above_it(_: &TestApp) {
    let directory = tempfile::tempdir().unwrap();
    let (named, deep) = (directory.path().join("named"), directory.path().join("a/b"));
    let file = config(directory.path(), 0, json!({"localBaseDir": deep}));
    let output = imgapi(&["serve", "-f", &file], None).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(deep.to_str().unwrap()) && told.contains("(localBaseDir) cannot be made"),
        "{told}"
    );
    assert!(!directory.path().join("a").exists());
    let output = imgapi(&["serve", "-f", &file], Some(Path::new(&file))).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("(IMGAPI_LOCAL_BASE_DIR) is no directory"));

    let mut server = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    server.args(["serve", "-f", &file]).env("IMGAPI_LOCAL_BASE_DIR", &named).kill_on_drop(true);
    let mut server = server.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the directory", async || named.join("manifests").is_dir().then_some(())).await;
    server.kill().await.unwrap();
    fs::write(&file, json!({"mode": "public", "localBaseDir": "data"}).to_string()).unwrap();
    let output = imgapi(&["serve", "-f", &file], None).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("localBaseDir must be an absolute path"));
}

async fn nothing_makes_the_default_directory(_: &TestApp) {
    let default = Path::new("/data/imgapi");
    // If the machine has the default directory, this cannot be tested.
    if default.exists() {
        return;
    }
    let above = Path::new("/data").exists();
    let directory = tempfile::tempdir().unwrap();
    let file = config(directory.path(), 0, json!({}));
    let commands: [(&[&str], i32); 6] = [
        (&["serve", "-f", &file], 1),
        (&["adm", "-f", &file, "dump"], 1),
        (&["adm", "-f", &file, "check-files"], 255),
        (&["adm", "-f", &file, "drain", "on"], 1),
        (&["adm", "-f", &file, "drain", "off"], 1),
        (&["adm", "-f", &file, "load", "/dev/null"], 1),
    ];
    for (words, status) in commands {
        let output = imgapi(words, None).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {told}");
        assert!(told.contains("/data/imgapi (the default)"), "{words:?}: {told}");
    }
    assert_eq!((default.exists(), Path::new("/data").exists()), (false, above));
}
