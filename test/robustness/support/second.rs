// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;
use std::process::Stdio;

use coal::Datacenter;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{IMGAPI, PATIENCE, wait_for};

/// Another IMGAPI of the same datacenter, with a directory of its own. It ends when dropped.
pub(crate) struct SecondServer {
    url: String,
    child: Child,
    data: TempDir,
}

impl SecondServer {
    /// Starts the server and waits until it answers.
    pub(crate) async fn start(datacenter: &Datacenter) -> SecondServer {
        let data = TempDir::new().unwrap();
        let (port, metrics) = (free_port(), free_port());
        let text = std::fs::read_to_string(datacenter.config_file()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["port"] = json!(port);
        config["metricsPort"] = json!(metrics);
        let file = data.path().join("second.config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let log = std::fs::File::create(data.path().join("second.log")).unwrap();
        let child = Command::new(IMGAPI)
            .args(["serve", "-f"])
            .arg(&file)
            .env("IMGAPI_LOCAL_BASE_DIR", data.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let second = SecondServer { url: format!("http://127.0.0.1:{port}"), child, data };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_for("the second server", PATIENCE, async || {
            let answer = http.get(format!("{}/images", second.url)).send().await;
            answer.and_then(reqwest::Response::error_for_status).map(drop)
        })
        .await;
        second
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the directory in which it stores files.
    pub(crate) fn local_dir(&self) -> &Path {
        self.data.path()
    }

    /// Stops the server, which must end with success.
    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success());
    }
}

fn free_port() -> u16 {
    coal::datacenter::free_port().unwrap().local_addr().unwrap().port()
}
