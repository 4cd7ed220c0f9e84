// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The servers that the rows run against.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use coal::Datacenter;
use coal::datacenter::DatacenterBuilder;
use moray::{BatchRequest, CallOptions, Precondition};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client;
use super::language::{Mode, Row};

/// Time limit for a server to give the expected answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Interval between two attempts.
const INTERVAL: Duration = Duration::from_millis(5);

/// The image of one of the records in `test/data`.
const A_RECORD: &str = "/images/c58161c0-2547-11e2-a75e-9fdca1940570";

/// A server to test.
#[derive(Debug)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) authority: String,
    reference: bool,
}

impl Target {
    /// Returns whether the server is 4.13.1 itself.
    pub(crate) fn is_reference(&self) -> bool {
        self.reference
    }

    /// Waits until a GET of this path succeeds.
    pub(crate) fn wait_for(&self, path: &str) {
        let started = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: imgapi\r\n\r\n");
        while client::exchange(&self.authority, request.as_bytes()).map_or(0, |answer| answer.status) != 200 {
            assert!(started.elapsed() < DEADLINE, "GET {path} is no success");
            std::thread::sleep(INTERVAL);
        }
    }
}

/// The servers by mode: one that is given by its URL, or our own, which are started on demand.
pub(crate) struct Targets {
    given: Option<(Mode, Target)>,
    has_records: bool,
    own: BTreeMap<Mode, OnceLock<Target>>,
    runtime: Runtime,
    running: Mutex<Vec<Datacenter>>,
}

impl Targets {
    /// Reads the environment: `CONFORMANCE_URL` and, for a server outside a datacenter, `CONFORMANCE_MODE`. With
    /// `CONFORMANCE_RECORDS` the server's Moray contains the records of `test/data`; with `CONFORMANCE_REFERENCE` the server is
    /// 4.13.1.
    pub(crate) fn of_environment() -> Targets {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let given = set("CONFORMANCE_URL").map(|url| {
            let authority = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
            assert!(!authority.contains('/'), "CONFORMANCE_URL is http://HOST:PORT");
            let mode = set("CONFORMANCE_MODE").unwrap_or_else(|| "dc".to_owned());
            let mode = Mode::ALL.into_iter().find(|known| known.to_string() == mode).expect("a known mode");
            (mode, Target { authority, reference: set("CONFORMANCE_REFERENCE").is_some() })
        });
        Targets {
            has_records: given.is_none() || set("CONFORMANCE_RECORDS").is_some(),
            given,
            own: Mode::ALL.into_iter().map(|mode| (mode, OnceLock::new())).collect(),
            runtime: Runtime::new().expect("a runtime"),
            running: Mutex::default(),
        }
    }

    /// Returns whether there is a server of this kind.
    pub(crate) fn has(&self, mode: Mode) -> bool {
        self.given.as_ref().is_none_or(|(given, _)| *given == mode)
    }

    /// Returns whether a row can be run.
    pub(crate) fn runs(&self, row: &Row) -> bool {
        self.has_records || !row.stored
    }

    pub(crate) fn get(&self, mode: Mode) -> &Target {
        match &self.given {
            Some((_, target)) => target,
            None => self.own[&mode].get_or_init(|| self.start(mode)),
        }
    }

    fn start(&self, mode: Mode) -> Target {
        let settings = settings(mode);
        let configure =
            |builder: DatacenterBuilder, (key, value): (&str, Value)| builder.imgapi_config(key, value);
        let builder = Datacenter::builder().imgapi(env!("CARGO_BIN_EXE_imgapi")).services(mode == Mode::Dc);
        let builder = settings.into_iter().fold(builder, configure);
        let datacenter = self.runtime.block_on(async {
            let datacenter = builder.start().await.expect("a server");
            if mode == Mode::Dc {
                store_records(&datacenter).await;
            }
            datacenter
        });
        let authority = datacenter.imgapi_address().expect("an address").to_string();
        self.running.lock().expect("a lock").push(datacenter);
        let target = Target { authority, reference: false };
        if mode == Mode::Dc {
            target.wait_for(A_RECORD);
            // The service finds the Workflow API in the background.
            target.wait_for(&format!("{A_RECORD}/jobs"));
        }
        target
    }

    /// Stops the servers that were started, and checks that none has crashed.
    pub(crate) fn stop(&self) {
        for datacenter in self.running.lock().expect("a lock").drain(..) {
            assert!(datacenter.imgapi_pid().is_some(), "imgapi has ended before");
            self.runtime.block_on(datacenter.stop());
        }
    }
}

fn settings(mode: Mode) -> Vec<(&'static str, Value)> {
    let channels = json!([
        {"name": "dev", "description": "all images", "default": true},
        {"name": "staging", "description": "those that may be released"},
        {"name": "release", "description": "released images"},
    ]);
    match mode {
        Mode::Dc => vec![("allowLocalCreateImageFromVm", json!(true))],
        Mode::Public => vec![("mode", json!("public")), ("databaseType", json!("local"))],
        Mode::Channels => {
            vec![("mode", json!("public")), ("databaseType", json!("local")), ("channels", channels)]
        }
    }
}

/// Stores the records of 4.13.1 in Moray.
async fn store_records(datacenter: &Datacenter) {
    let address = datacenter.moray().address();
    let moray = moray::Client::new(moray::Config::direct(address.ip().to_string(), address.port()));
    let records: Vec<Value> = include_str!("../data/manifest/moray-imgapi_images.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect();
    let put = |record: &Value| {
        let key = record["uuid"].as_str().expect("a key");
        BatchRequest::put("imgapi_images", key, record, Precondition::Any).expect("a request")
    };
    let puts: Vec<_> = records.iter().map(put).collect();
    moray.batch(&puts, &CallOptions::default()).await.expect("records");
    moray.close(DEADLINE).await;
}
