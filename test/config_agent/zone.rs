// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A zone with an agent: its directories, its configuration, and the process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sapi::Sapi;

pub(crate) const INSTANCE: &str = "4f4a3b64-7e0c-4f24-9b04-6b8a3b1c0001";

pub(crate) struct Zone {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) sapi: Sapi,
    /// Additional members of the agent's configuration.
    pub(crate) more: Value,
}

impl Zone {
    pub(crate) fn new() -> Zone {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sapi_manifests")).unwrap();
        Zone { dir, sapi: Sapi::start(), more: json!({}) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Installs a local manifest of the file `name`. Its command appends a line to `ran`.
    pub(crate) fn manifest(&self, name: &str, template: &str) {
        let command = format!("echo {name} >> {}", self.path("ran").display());
        self.manifest_with(name, template, json!({"post_cmd": command}));
    }

    pub(crate) fn manifest_with(&self, name: &str, template: &str, more: Value) {
        let dir = self.path("sapi_manifests").join(name);
        fs::create_dir_all(&dir).unwrap();
        let mut manifest = json!({"name": name, "path": self.path(name)});
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(dir.join("template"), template).unwrap();
    }

    pub(crate) fn agent(&self, arguments: &[&str]) -> Command {
        let mut config = json!({
            "logLevel": "debug",
            "pollInterval": 100,
            "sapi": {"url": self.sapi.url},
            "localManifestDirs": [self.dir.path()],
            "instances": [INSTANCE],
            "stateDir": self.path("state"),
        });
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        fs::write(self.path("agent.json"), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
        command.args(["config-agent", "-f"]).arg(self.path("agent.json")).args(arguments);
        command
    }

    /// Runs one pass.
    pub(crate) fn once(&self) -> Pass {
        Pass::of(self.agent(&["-s"]).output().unwrap())
    }

    pub(crate) fn daemon(&self) -> Daemon {
        let log = self.path("log");
        let child =
            self.agent(&[]).stdout(File::create(&log).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        Daemon { child, log }
    }
}

/// The result of a process that ran one pass.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) good: bool,
    pub(crate) log: String,
    pub(crate) error: String,
}

impl Pass {
    pub(crate) fn of(output: Output) -> Pass {
        Pass {
            good: output.status.success(),
            log: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Pass {
        assert!(self.good, "{self:?}");
        self
    }

    /// Checks that the pass has failed and that its log contains `what`.
    #[track_caller]
    pub(crate) fn failed(self, what: &str) -> Pass {
        assert!(!self.good && self.log.contains(what), "{what}: {self:?}");
        self
    }
}

pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Stops the process as a service manager does.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
