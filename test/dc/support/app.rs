// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The application under test: a datacenter, and what the tests use besides HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use coal::Datacenter;
use coal::datacenter::DatacenterBuilder;
use moray::{BatchRequest, CallOptions, Precondition};
use serde_json::Value;

use super::log::LogReader;
use super::{ADMIN, Actor, Connection, EMPEROR, LUKE, SDC, VADER, takeover_records, wait_until, within};

const BUCKET: &str = "imgapi_images";

/// Maximum number of writes in one request to Moray.
const BATCH: usize = 200;

/// A running datacenter and clients of its services.
pub(crate) struct TestApp {
    pub(crate) dc: Datacenter,
    pub(crate) http: reqwest::Client,
    pub(crate) moray: moray::Client,
    log: Mutex<LogReader>,
}

impl TestApp {
    /// Starts an application with the records of an installation that is taken over.
    pub(crate) async fn start() -> TestApp {
        let app = TestApp::start_empty().await;
        app.store_all(&takeover_records()).await;
        app
    }

    /// Starts an application without images.
    pub(crate) async fn start_empty() -> TestApp {
        TestApp::start_with(|builder| builder).await
    }

    /// Starts an application without images, in a datacenter that `build` changes.
    pub(crate) async fn start_with(build: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder) -> TestApp {
        let builder = build(Datacenter::builder().services(false).imgapi(env!("CARGO_BIN_EXE_imgapi")));
        let dc = builder.start().await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(super::DEADLINE).build().unwrap();
        let address = dc.moray().address();
        let moray = moray::Client::new(moray::Config::direct(address.ip().to_string(), address.port()));
        TestApp { dc, http, moray, log: Mutex::default() }
    }

    /// Stops the application. Its process must not have ended before, and must end with success.
    pub(crate) async fn stop(self) {
        assert!(self.dc.imgapi_pid().is_some(), "imgapi has ended before");
        assert!(self.dc.stop_imgapi().await.unwrap().success());
        assert_eq!(entries(&self.incoming()), Vec::<String>::new(), "unfinished files remain");
        self.end().await;
    }

    /// Stops the backends after the process has ended.
    pub(crate) async fn end(self) {
        self.moray.close(super::DEADLINE).await;
        self.dc.stop().await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.dc.imgapi_address().unwrap()
    }

    /// Opens a new connection to the API.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// Begins luke's upload of `bytes`. It has passed all checks and waits for the second half of its body.
    pub(crate) async fn half_an_upload(&self, uuid: &str, bytes: &str) -> Connection {
        let mut connection = self.connect().await;
        let head = format!(
            "PUT /images/{uuid}/file?compression=none&account={LUKE} HTTP/1.1\r\nHost: x\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            bytes.len()
        );
        connection.send(head).await;
        // The server asks for the body when it reads it, which is after the checks.
        assert_eq!(connection.read_head().await.status, 100);
        connection.send(&bytes[..bytes.len() / 2]).await;
        connection
    }

    /// Returns a caller without an account.
    pub(crate) fn operator(&self) -> Actor<'_> {
        Actor::new(self, None)
    }

    pub(crate) fn admin(&self) -> Actor<'_> {
        Actor::new(self, Some(ADMIN))
    }

    pub(crate) fn vader(&self) -> Actor<'_> {
        Actor::new(self, Some(VADER))
    }

    pub(crate) fn luke(&self) -> Actor<'_> {
        Actor::new(self, Some(LUKE))
    }

    pub(crate) fn emperor(&self) -> Actor<'_> {
        Actor::new(self, Some(EMPEROR))
    }

    pub(crate) fn sdc(&self) -> Actor<'_> {
        Actor::new(self, Some(SDC))
    }

    /// Stores a record in Moray unchanged, as another writer would.
    pub(crate) async fn store(&self, record: &Value) {
        self.store_all(std::slice::from_ref(record)).await;
    }

    /// Stores many records in Moray unchanged.
    pub(crate) async fn store_all(&self, records: &[Value]) {
        for chunk in records.chunks(BATCH) {
            let puts = chunk.iter().map(|record| {
                let key = record["uuid"].as_str().unwrap();
                BatchRequest::put(BUCKET, key, record, Precondition::Any).unwrap()
            });
            let puts: Vec<_> = puts.collect();
            self.moray.batch(&puts, &CallOptions::default()).await.unwrap();
        }
        self.knows_what_others_wrote().await;
    }

    /// Waits until the application has seen all changes that other writers have made in Moray.
    pub(crate) async fn knows_what_others_wrote(&self) {
        let before = self.rounds().await;
        // The first round may have begun before the changes.
        wait_until("two rounds", async || {
            // Without requests there is only one round every ten seconds.
            self.operator().get("/images?limit=1&name=nothing").await;
            (self.rounds().await >= before + 2.0).then_some(())
        })
        .await;
    }

    /// Returns how often the application has compared its replica with Moray.
    async fn rounds(&self) -> f64 {
        let text = self.metrics().await;
        let rounds = text.lines().filter(|line| {
            line.starts_with("imgapi_replica_rounds_total") && !line.contains("outcome=\"failed\"")
        });
        rounds.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Returns the record of an image and its etag.
    pub(crate) async fn stored(&self, uuid: &str) -> Option<(Value, String)> {
        match self.moray.get_object(BUCKET, uuid, &CallOptions::default()).await {
            Ok(object) => Some((object.value_as().unwrap(), object.etag)),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the path of an image's file.
    pub(crate) fn file(&self, uuid: &str) -> PathBuf {
        self.dc.local_dir().join("images").join(&uuid[..3]).join(uuid).join("file0")
    }

    /// Returns the path of the last archived version of an image's manifest.
    pub(crate) fn archived(&self, uuid: &str) -> PathBuf {
        self.dc.local_dir().join("archive").join(&uuid[..3]).join(format!("{uuid}.json"))
    }

    /// Returns the directory of unfinished files.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.dc.local_dir().join("incoming")
    }

    /// Waits until there are no unfinished files, neither of this test nor of concurrent ones.
    pub(crate) async fn nothing_unfinished(&self) {
        let incoming = self.incoming();
        wait_until("incoming is empty", async || entries(&incoming).is_empty().then_some(())).await;
    }

    /// Returns whether there is an unfinished file.
    pub(crate) fn has_unfinished(&self) -> bool {
        !entries(&self.incoming()).is_empty()
    }

    /// Returns all complete records of the log.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().records(&self.dc.log_file()).to_vec()
    }

    /// Waits for the audit record of the request with this id, and returns it.
    pub(crate) async fn audit(&self, req_id: &str) -> Value {
        let find = async || self.log.lock().unwrap().audit(&self.dc.log_file(), req_id).cloned();
        wait_until("an audit record", find).await
    }

    /// Returns the text of the metrics.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.dc.metrics_url().unwrap());
        within("metrics", async { self.http.get(url).send().await.unwrap().text().await.unwrap() }).await
    }
}

/// Returns the names in a directory.
pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
