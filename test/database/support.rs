// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coal::moray::{Location, MorayServer};
use imgapi::config;
use imgapi::db::{Database, Deletion, Found, LocalDatabase, MorayDatabase};
use imgapi::files::DirectoryLock;
use imgapi::manifest::list::{Caller, ListQuery};
use imgapi::manifest::{ApiForm, ApiVersion, Image, Mode, Rules, Uuid};
use imgapi::telemetry::{Metrics, StaticLabels};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const RULES: Rules = Rules { mode: Mode::Dc, channels_configured: false };
pub(crate) const FORM: ApiForm = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: false };
/// Longer than any working operation takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database, and its parts.
pub(crate) struct Subject {
    pub(crate) database: Database,
    data: TempDir,
    moray: Option<MorayServer>,
}

fn metrics() -> Arc<Metrics> {
    let empty = String::new;
    let labels = StaticLabels { datacenter: empty(), instance: empty(), server: empty(), service: empty() };
    Arc::new(Metrics::new(&labels).unwrap())
}

pub(crate) async fn start_moray(data: &Path) -> MorayServer {
    let location = Location::File(data.join("moray.sqlite"));
    MorayServer::bind("127.0.0.1:0".parse().unwrap(), location).await.unwrap()
}

/// Returns a database in Moray after its replica is complete.
pub(crate) async fn in_moray(moray: &MorayServer) -> Database {
    let database = unloaded_in_moray(moray);
    wait_until(async || database.status().images.is_some()).await;
    database
}

/// Returns a database in Moray that has just begun to load its replica.
pub(crate) fn unloaded_in_moray(moray: &MorayServer) -> Database {
    let config = config::Moray {
        host: moray.address().ip().to_string(),
        port: moray.address().port(),
        connect_timeout: Duration::from_secs(3),
        stale_reads: Duration::from_secs(300),
    };
    Database::Moray(MorayDatabase::new(&config, RULES, metrics()))
}

impl Subject {
    pub(crate) async fn moray() -> Subject {
        let data = TempDir::new().unwrap();
        let moray = start_moray(data.path()).await;
        Subject { database: in_moray(&moray).await, data, moray: Some(moray) }
    }

    pub(crate) async fn local() -> Subject {
        let data = TempDir::new().unwrap();
        Subject { database: open_local(data.path()).await, data, moray: None }
    }

    /// Closes the database and opens another one on the same data.
    pub(crate) async fn reopened(self) -> Subject {
        let Subject { database, data, moray } = self;
        database.close(PATIENCE).await;
        drop(database);
        let database = match &moray {
            Some(moray) => in_moray(moray).await,
            None => open_local(data.path()).await,
        };
        Subject { database, data, moray }
    }

    /// Returns the text of the image for reads.
    pub(crate) async fn text(&self, uuid: Uuid) -> Option<String> {
        text(&self.database, uuid).await
    }

    /// Returns the UUIDs that a query selects, in its order.
    pub(crate) async fn listed(&self, query: &str) -> Vec<Uuid> {
        listed(&self.database, query).await
    }
}

async fn open_local(path: &Path) -> Database {
    Database::Local(LocalDatabase::open(DirectoryLock::take(path).unwrap(), RULES, metrics()).await.unwrap())
}

/// Returns the text of the image for reads.
pub(crate) async fn text(database: &Database, uuid: Uuid) -> Option<String> {
    let found = fresh(async || database.view(uuid).await.unwrap()).await;
    found.map(|view| String::from_utf8(view.text(&FORM).to_vec()).unwrap())
}

/// Returns the UUIDs that a query selects, in its order.
pub(crate) async fn listed(database: &Database, query: &str) -> Vec<Uuid> {
    let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = ListQuery::parse(&pairs, Caller { mode: Mode::Dc, anonymous: true }).unwrap().unwrap();
    let found = fresh(async || database.list(&query, FORM).await.unwrap()).await;
    let images: Vec<Value> = serde_json::from_slice(&found.text).unwrap();
    images.iter().map(|image| image["uuid"].as_str().unwrap().parse().unwrap()).collect()
}

/// Reads until the result is not stale: on a busy machine, Moray may seem unavailable for a moment.
async fn fresh<T>(mut read: impl AsyncFnMut() -> Found<T>) -> T {
    let wait = async {
        loop {
            match read().await {
                Found { value, stale: None } => return value,
                Found { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

/// Polls until the condition holds.
pub(crate) async fn wait_until(mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// Returns the record of an active image, published in this second of a minute.
pub(crate) fn record(uuid: Uuid, second: u32, changes: Value) -> Value {
    let mut record = json!({
        "v": 2, "uuid": uuid, "owner": "86055c40-2547-11e2-8a6b-4bb37edc84ba", "name": "base", "version": "1.0",
        "type": "zone-dataset", "os": "smartos", "state": "active", "disabled": false, "activated": true,
        "published_at": format!("2030-01-01T00:00:{second:02}.000Z"), "public": false, "acl": [],
        "files": [{"sha1": "aa", "size": 4, "compression": "none", "stor": "local"}],
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

/// Returns a valid image.
pub(crate) fn image(record: Value) -> Image {
    let Value::Object(record) = record else { unreachable!() };
    Image::load(record, RULES).unwrap()
}

/// Returns the image with another description.
pub(crate) fn described(image: &Image, text: &str) -> Image {
    image.with(|record| drop(record.insert("description".to_owned(), json!(text)))).unwrap()
}

/// Runs each test with each kind of database.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod moray {
            $(#[tokio::test] async fn $test() { super::$test(crate::support::Subject::moray().await).await; })*
        }
        mod local {
            $(#[tokio::test] async fn $test() { super::$test(crate::support::Subject::local().await).await; })*
        }
    };
}
pub(crate) use on_both;

/// The deletion of a version whose manifest is in no archive.
pub(crate) fn deletion(uuid: Uuid, etag: &str) -> Deletion<'_> {
    Deletion { uuid, etag, manifest_md5: None }
}
