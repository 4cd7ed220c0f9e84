// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Two processes on one Moray: a change through one is visible through the other, and no change is lost.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::random_range;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, IMGAPI, PATIENCE, SecondServer, scaled, start_datacenter, wait_for};

/// Total number of changes.
const CHANGES: usize = 400;
const WORKERS: usize = 4;
const IMAGES: usize = 20;
/// One in this many changes is watched through the other server at once.
const WATCHED: usize = 10;
/// The documented delay.
const PROMISED: Duration = Duration::from_secs(1);

/// Both servers, and what must be true of the images in the end.
struct Pair {
    http: reqwest::Client,
    urls: [String; 2],
    owner: String,
    /// The accounts with which each image was shared.
    shared: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// How long it took until a change was visible through the other server.
    delays: Mutex<Vec<Duration>>,
}

impl Pair {
    /// Sends a request to one of the servers. It must succeed, or be answered with 404. Returns the status and the body.
    async fn ask(&self, server: usize, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.urls[server]));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(status < 300 || status == 404, "{path}: {status} {text}");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn create(&self) -> String {
        let manifest = json!({
            "name": "shared", "version": "1.0.0", "os": "smartos", "type": "zone-dataset", "owner": self.owner,
        });
        let (_, image) = self.ask(random_range(0..2), Method::POST, "/images", Some(manifest)).await;
        image["uuid"].as_str().unwrap().to_owned()
    }

    fn any_image(&self) -> String {
        let shared = self.shared.lock().unwrap();
        shared.keys().nth(random_range(0..shared.len())).unwrap().clone()
    }

    /// AddImageAcl. Accounts that others add at the same moment must stay.
    async fn share(&self, is_watched: bool) {
        let (uuid, account, server) = (self.any_image(), Uuid::new_v4().to_string(), random_range(0..2));
        let path = format!("/images/{uuid}/acl");
        let (_, image) = self.ask(server, Method::POST, &path, Some(json!([account]))).await;
        assert!(acl(&image).contains(&account), "the answer has the change");
        self.shared.lock().unwrap().get_mut(&uuid).unwrap().insert(account.clone());
        let (_, own) = self.ask(server, Method::GET, &format!("/images/{uuid}"), None).await;
        assert!(acl(&own).contains(&account), "who has written sees it");
        if is_watched {
            self.watch(1 - server, |image| acl(image).contains(&account), &uuid).await;
        }
    }

    /// UpdateImage of a member that all workers change. The last value stays, and other members are not affected.
    async fn describe(&self, number: usize) {
        let path = format!("/images/{}?action=update", self.any_image());
        let change = json!({"description": format!("change {number}")});
        self.ask(random_range(0..2), Method::POST, &path, Some(change)).await;
    }

    /// Creates an image through one server and deletes it through the other.
    async fn come_and_go(&self) {
        let uuid = self.create().await;
        let path = format!("/images/{uuid}");
        for server in [0, 1] {
            assert_eq!(self.ask(server, Method::GET, &path, None).await.0, 200, "no 404 is stale");
        }
        let server = random_range(0..2);
        self.ask(server, Method::DELETE, &path, None).await;
        assert_eq!(self.ask(server, Method::GET, &path, None).await.0, 404);
        self.watch(1 - server, |image| image["code"] == "ResourceNotFound", &uuid).await;
    }

    /// Waits until the other server shows the change, and records how long that took.
    async fn watch(&self, server: usize, is_seen: impl Fn(&Value) -> bool, uuid: &str) {
        let began = Instant::now();
        wait_for("a change through the other server", PATIENCE, async || {
            let (_, image) = self.ask(server, Method::GET, &format!("/images/{uuid}"), None).await;
            if is_seen(&image) { Ok(()) } else { Err(image) }
        })
        .await;
        self.delays.lock().unwrap().push(began.elapsed());
    }

    async fn list(&self, server: usize) -> Value {
        self.ask(server, Method::GET, "/images?state=all", None).await.1
    }
}

fn acl(image: &Value) -> BTreeSet<String> {
    let accounts = image["acl"].as_array().into_iter().flatten();
    accounts.map(|account| account.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn random_changes_through_both_are_all_there_in_the_end() {
    let datacenter = start_datacenter().await;
    let second = SecondServer::start(&datacenter).await;
    let pair = Pair {
        http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
        urls: [datacenter.imgapi_url().unwrap(), second.url().to_owned()],
        owner: datacenter.account("admin").unwrap().uuid.clone(),
        shared: Mutex::default(),
        delays: Mutex::default(),
    };
    for _ in 0..IMAGES {
        let uuid = pair.create().await;
        pair.shared.lock().unwrap().insert(uuid, BTreeSet::new());
    }

    let changes = scaled(CHANGES);
    let work = async |worker: usize| {
        for number in (worker..changes).step_by(WORKERS) {
            match random_range(0..20) {
                0 => pair.come_and_go().await,
                1..5 => pair.describe(number).await,
                _ => pair.share(number % WATCHED == 0).await,
            }
        }
    };
    join_all((0..WORKERS).map(work)).await;

    // Finally both return the same images, which contain every acknowledged change.
    let list = wait_for("the same through both", PATIENCE, async || {
        let lists = (pair.list(0).await, pair.list(1).await);
        if lists.0 == lists.1 { Ok(lists.0) } else { Err(()) }
    })
    .await;
    let listed = list.as_array().unwrap().iter();
    let listed: BTreeMap<_, _> =
        listed.map(|image| (image["uuid"].as_str().unwrap().to_owned(), acl(image))).collect();
    assert_eq!(listed, *pair.shared.lock().unwrap());

    let mut delays = pair.delays.lock().unwrap().clone();
    delays.sort_unstable();
    let late = delays.iter().filter(|delay| **delay > PROMISED).count();
    let (median, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "{changes} changes; seen through the other server after {median:?} (median), {longest:?} (longest); {late} of {} later than promised",
        delays.len()
    );
    second.stop().await;
}

/// An image gets its origin through one server at the moment at which the origin is deleted through the other. One of the two
/// requests must fail.
#[tokio::test]
async fn no_image_is_left_without_its_origin() {
    let datacenter = start_datacenter().await;
    let second = SecondServer::start(&datacenter).await;
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let urls = [datacenter.imgapi_url().unwrap(), second.url().to_owned()];
    let owner = &datacenter.account("admin").unwrap().uuid;
    let manifest =
        json!({"name": "x", "version": "1", "os": "smartos", "type": "zone-dataset", "owner": owner});
    let nothing = json!({});
    let ask = async |server: usize, method: Method, path: &str, body: &Value| {
        let request = http.request(method, format!("{}{path}", urls[server])).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap_or_default())
    };
    let created = async || {
        let (status, image) = ask(0, Method::POST, "/images", &manifest).await;
        assert_eq!(status, 200, "{image}");
        image["uuid"].as_str().unwrap().to_owned()
    };
    let one = async |round: usize| {
        let (origin, child) = (created().await, created().await);
        let mut with_origin = manifest.clone();
        with_origin["origin"] = json!(origin);
        let update = format!("/images/{child}?action=update");
        let change = json!({"origin": origin});
        let (path, body) =
            if round.is_multiple_of(2) { ("/images", &with_origin) } else { (&*update, &change) };
        let gone = format!("/images/{origin}");
        let (naming, going) = (round / 2 % 2, 1 - round / 2 % 2);
        let (named, gone) =
            tokio::join!(ask(naming, Method::POST, path, body), ask(going, Method::DELETE, &gone, &nothing));
        let outcome = (named.0, named.1["code"].clone(), gone.0, gone.1["code"].clone());
        let kept = (200, Value::Null, 422, json!("ImageHasDependentImages"));
        let lost = (422, json!("OriginDoesNotExist"), 204, Value::Null);
        assert!([kept, lost].contains(&outcome), "{outcome:?}");
        let expected = if named.0 == 200 { 200 } else { 404 };
        wait_for("what is left", PATIENCE, async || {
            let (status, _) = ask(naming, Method::GET, &format!("/images/{origin}"), &nothing).await;
            if status == expected { Ok(()) } else { Err(status) }
        })
        .await;
    };
    for rounds in 0..8 {
        join_all((0..8).map(|round| one(rounds * 8 + round))).await;
    }
    second.stop().await;
}

#[tokio::test]
async fn a_second_server_does_not_get_the_directory_of_the_first() {
    let mut datacenter = start_datacenter().await;
    let text = std::fs::read_to_string(datacenter.config_file()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    (config["port"], config["metricsPort"]) = (json!(0), json!(0));
    let file = datacenter.data_dir().join("second.config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let second = tokio::process::Command::new(IMGAPI)
        .args(["serve", "-f"])
        .arg(&file)
        .env("IMGAPI_LOCAL_BASE_DIR", datacenter.local_dir())
        .kill_on_drop(true)
        .output();
    let second = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{told}");
    let expected = format!("another process uses the directory {}", datacenter.local_dir().display());
    assert!(told.contains(&expected), "{told}");
    // The first server continues, and the lock does not prevent its own next start.
    let client = Client::new(&datacenter);
    client.created().await;
    datacenter.kill_imgapi().await;
    datacenter.restart_imgapi().await.unwrap();
    Client::new(&datacenter).created().await;
}
