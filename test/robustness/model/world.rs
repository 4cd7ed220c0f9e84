// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Two servers, the images that were created through them, and what must be true of these images.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use coal::Datacenter;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::support::{PATIENCE, Remote, TestFile, wait_for};

/// What is known about an image.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Index of its owner.
    pub(super) account: usize,
    /// Only the first server may change it, because its file may be on that server's disk.
    pub(super) is_local: bool,
    /// SHA-1 of each file whose upload to the image has begun, including uploads under its former UUID and to the image it was
    /// cloned from.
    pub(super) files: Arc<Mutex<BTreeSet<String>>>,
    /// Whether an activation was acknowledged.
    pub(super) is_active: bool,
    /// Whether a request has tried to delete it, or to change its UUID.
    pub(super) may_be_gone: bool,
}

pub(super) struct World {
    http: reqwest::Client,
    urls: [String; 2],
    /// UUIDs of two accounts.
    pub(super) accounts: [String; 2],
    images: Mutex<BTreeMap<String, Known>>,
    /// Number of successes of each kind of request.
    done: Mutex<BTreeMap<&'static str, usize>>,
    /// Whether a server may be killed, so that a request may have no answer.
    is_killed: bool,
}

/// An answer: its status and its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl World {
    pub(super) fn new(datacenter: &Datacenter, second: &str, is_killed: bool) -> World {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
        World {
            http: http.build().unwrap(),
            urls: [datacenter.imgapi_url().unwrap(), second.to_owned()],
            accounts: ["imgapitestluke", "imgapitestvader"]
                .map(|login| datacenter.account(login).unwrap().uuid.clone()),
            images: Mutex::default(),
            done: Mutex::default(),
            is_killed,
        }
    }

    /// Returns the world after a restart of the first server.
    pub(super) fn moved_to(mut self, datacenter: &Datacenter) -> World {
        self.urls[0] = datacenter.imgapi_url().unwrap();
        self
    }

    pub(super) fn request(&self, server: usize, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.urls[server]))
    }

    /// Sends a request. Returns `None` if it has no answer because of a kill. The only server errors allowed are those of an
    /// unavailable backend.
    pub(super) async fn send(&self, what: &'static str, request: RequestBuilder) -> Option<Answer> {
        let sent = async {
            let response = request.send().await?;
            let (status, url) = (response.status().as_u16(), response.url().clone());
            Ok::<_, reqwest::Error>((status, url, response.bytes().await?.to_vec()))
        };
        match sent.await {
            Ok((status, url, body)) => {
                let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
                assert!(status < 500 || status == 503, "{url}: {status} {text}");
                let answer = Answer { status, body };
                if answer.is_success() {
                    *self.done.lock().unwrap().entry(what).or_default() += 1;
                }
                Some(answer)
            }
            Err(error) => {
                assert!(self.is_killed, "{error}");
                None
            }
        }
    }

    /// Returns the number of successes of each kind of request.
    pub(super) fn done(&self) -> BTreeMap<&'static str, usize> {
        self.done.lock().unwrap().clone()
    }

    pub(super) fn add(&self, uuid: &str, known: Known) {
        self.images.lock().unwrap().insert(uuid.to_owned(), known);
    }

    pub(super) fn note(&self, uuid: &str, change: impl FnOnce(&mut Known)) {
        self.images.lock().unwrap().get_mut(uuid).map(change).unwrap();
    }

    pub(super) fn count(&self) -> usize {
        self.images.lock().unwrap().len()
    }

    /// Returns one of the images, selected by a random number.
    pub(super) fn any(&self, number: usize) -> Option<(String, Known)> {
        let images = self.images.lock().unwrap();
        let count = images.len().max(1);
        images.iter().nth(number % count).map(|(uuid, known)| (uuid.clone(), known.clone()))
    }

    /// Waits until both servers return the same, then checks that everything in the records is true.
    pub(super) async fn check(&self) {
        let list = wait_for("the same through both", PATIENCE, async || {
            let (one, other) = (self.list(0).await, self.list(1).await);
            if one == other { Ok(one) } else { Err(()) }
        })
        .await;
        let known = self.images.lock().unwrap().clone();
        let listed: BTreeMap<_, _> = list.iter().map(|image| (text(image, "uuid"), image)).collect();
        for (uuid, known) in &known {
            match listed.get(uuid) {
                Some(image) => self.check_image(image, known).await,
                None => assert!(known.may_be_gone || self.is_killed && !known.is_active, "{uuid} is lost"),
            }
        }
        for image in listed.values().filter(|image| image.get("origin").is_some()) {
            let origin = text(image, "origin");
            assert!(listed.contains_key(&origin), "{} has lost its origin {origin}", text(image, "uuid"));
        }
    }

    /// Checks that the owner sees the image and another account does not, and that the bytes of its file match the record.
    async fn check_image(&self, image: &Value, known: &Known) {
        let uuid = text(image, "uuid");
        assert!(!known.is_active || image["state"] == "active", "{image}");
        let stranger = format!("/images/{uuid}?account={}", self.accounts[1 - known.account]);
        let is_shared =
            image["acl"].as_array().is_some_and(|acl| !acl.is_empty()) && image["state"] == "active";
        let seen = self.send("look", self.request(0, Method::GET, &stranger)).await.unwrap().status;
        assert_eq!(seen == 200, is_shared, "{seen} {image}");
        let Some(file) = image["files"].get(0) else { return };
        let sha1 = text(file, "sha1");
        assert!(known.files.lock().unwrap().contains(&sha1), "{uuid} has a file that nobody gave it");
        for server in if known.is_local { 0..1 } else { 0..2 } {
            let path = format!("/images/{uuid}/file");
            let answer = self.send("look", self.request(server, Method::GET, &path)).await.unwrap();
            assert!(answer.is_success(), "{uuid}: {} {:?} {image}", answer.status, answer.json());
            assert_eq!(hex::encode(Sha1::digest(&answer.body)), sha1, "{uuid}");
        }
    }

    /// Checks that Manta contains exactly the files that records name.
    pub(super) async fn check_remote(&self, remote: &Remote) {
        wait_for("only files with a record in Manta", PATIENCE, async || {
            let mut named = BTreeSet::new();
            for image in self.list(0).await {
                let uuid = text(&image, "uuid");
                let record = self.request(0, Method::GET, &format!("/images/{uuid}?inclAdminFields=true"));
                let record = self.send("look", record).await.unwrap().json();
                if record["files"][0]["stor"] == "manta" {
                    named.insert((uuid.clone(), "file0".to_owned()));
                }
                if record["icon"].as_bool() == Some(true) || record["icon"].is_object() {
                    named.insert((uuid, "icon".to_owned()));
                }
            }
            let found = remote.files().await;
            let differ: Vec<_> = found.symmetric_difference(&named).cloned().collect();
            if differ.is_empty() { Ok(()) } else { Err(differ) }
        })
        .await;
    }

    async fn list(&self, server: usize) -> Vec<Value> {
        let answer = self.send("look", self.request(server, Method::GET, "/images?state=all")).await.unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member}: {value}")).to_owned()
}

/// Returns a small file that is determined by a number.
pub(super) fn file(seed: u64) -> TestFile {
    TestFile { seed, size: 1 + usize::try_from(seed % 40_000).unwrap() }
}
