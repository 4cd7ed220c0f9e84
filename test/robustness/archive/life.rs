// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The changes of one worker, and what it knows about its images.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Client, TestFile};

/// The result of a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Answered,
    /// There was no answer, so the change may or may not have been made.
    Unknown,
}

/// A change without an answer, which may have been made.
enum Pending {
    Change(String),
    Delete(String),
    Rename(String, String),
}

/// The images that only one worker changes, and what it knows about them; and images that other workers change as well.
pub(super) struct Life {
    random: StdRng,
    common: Vec<String>,
    images: BTreeMap<String, Value>,
    /// The last versions of deleted images.
    deleted: BTreeMap<String, Value>,
    pending: Option<Pending>,
    answered: usize,
}

impl Life {
    pub(super) fn new(seed: u64, common: Vec<String>) -> Life {
        let random = StdRng::seed_from_u64(seed);
        let (images, deleted) = (BTreeMap::new(), BTreeMap::new());
        Life { random, common, images, deleted, pending: None, answered: 0 }
    }

    pub(super) fn answered(&self) -> usize {
        self.answered
    }

    pub(super) fn deleted(&self) -> &BTreeMap<String, Value> {
        &self.deleted
    }

    /// Returns the images that must exist.
    pub(super) fn known(&self) -> impl Iterator<Item = String> {
        self.images.keys().cloned()
    }

    /// Makes a random change.
    pub(super) async fn step(&mut self, client: &Client) -> Step {
        let which = self.random.random_range(0..20);
        let any = self.random.random_range(0..self.images.len().max(1));
        let image = self.images.iter().nth(any).map(|(uuid, version)| (uuid.clone(), version.clone()));
        match (which, image) {
            (0..3, _) | (_, None) => self.create(client).await,
            (3..6, _) => self.share(client).await,
            (6..9, Some((uuid, _))) => self.delete_or_rename(client, uuid).await,
            (_, Some((uuid, version))) => self.change(client, uuid, &version).await,
        }
    }

    async fn create(&mut self, client: &Client) -> Step {
        let Ok(answer) = client.create().await else { return Step::Unknown };
        let image = success(&answer);
        self.images.insert(image["uuid"].as_str().unwrap().to_owned(), image);
        self.answer()
    }

    /// Changes an image that other workers change as well.
    async fn share(&mut self, client: &Client) -> Step {
        let uuid = &self.common[self.random.random_range(0..self.common.len())];
        let path = format!("/images/{uuid}/acl");
        let Ok(answer) = client.post(&path, &json!([Uuid::new_v4().to_string()])).await else {
            return Step::Unknown;
        };
        success(&answer);
        self.answer()
    }

    async fn delete_or_rename(&mut self, client: &Client, uuid: String) -> Step {
        let version = self.images[&uuid].clone();
        let is_movable = version["state"] == "unactivated" && version["files"][0].is_object();
        if !is_movable || self.random.random_bool(0.5) {
            self.pending = Some(Pending::Delete(uuid.clone()));
            let Ok(answer) = client.delete(&uuid).await else { return Step::Unknown };
            assert_eq!(answer.status, 204, "{:?}", answer.body);
            self.is_deleted(&uuid);
            return self.answer();
        }
        let new = Uuid::new_v4().to_string();
        self.pending = Some(Pending::Rename(uuid.clone(), new.clone()));
        let path = format!("/images/{uuid}?action=update");
        let Ok(answer) = client.post(&path, &json!({"uuid": new})).await else { return Step::Unknown };
        self.images.insert(new, success(&answer));
        self.is_deleted(&uuid);
        self.answer()
    }

    async fn change(&mut self, client: &Client, uuid: String, version: &Value) -> Step {
        self.pending = Some(Pending::Change(uuid.clone()));
        let Ok(answer) = self.changed(client, &uuid, version).await else { return Step::Unknown };
        self.images.insert(uuid, success(&answer));
        self.answer()
    }

    async fn changed(&mut self, client: &Client, uuid: &str, version: &Value) -> Result<Answer> {
        let action = match version["state"].as_str().unwrap() {
            "unactivated" if version["files"][0].is_object() => "activate",
            "active" => "disable",
            "disabled" => "enable",
            _ => "upload",
        };
        match self.random.random_range(0..3) {
            0 if action == "upload" => {
                let file = TestFile { seed: self.random.random(), size: self.random.random_range(1..50_000) };
                client.upload(uuid, file).await
            }
            0 => client.post(&format!("/images/{uuid}?action={action}"), &json!({})).await,
            1 => client.post(&format!("/images/{uuid}/acl"), &json!([Uuid::new_v4().to_string()])).await,
            _ => {
                let change = json!({"description": format!("{}", Uuid::new_v4())});
                client.post(&format!("/images/{uuid}?action=update"), &change).await
            }
        }
    }

    fn answer(&mut self) -> Step {
        self.pending = None;
        self.answered += 1;
        Step::Answered
    }

    fn is_deleted(&mut self, uuid: &str) {
        let version = self.images.remove(uuid).unwrap();
        self.deleted.insert(uuid.to_owned(), version);
    }

    /// Finds out whether the change without an answer was made.
    pub(super) async fn settle(&mut self, client: &Client) {
        let Some(pending) = self.pending.take() else { return };
        let image = async |uuid: &str| {
            let answer = client.image(uuid).await.unwrap();
            (answer.status != 404).then(|| success(&answer))
        };
        match pending {
            Pending::Change(uuid) => {
                let version = image(&uuid).await.unwrap();
                self.images.insert(uuid, version);
            }
            Pending::Delete(uuid) => {
                if image(&uuid).await.is_none() {
                    self.is_deleted(&uuid);
                }
            }
            Pending::Rename(old, new) => {
                if let Some(version) = image(&new).await {
                    self.images.insert(new, version);
                    self.is_deleted(&old);
                }
            }
        }
    }
}

fn success(answer: &Answer) -> Value {
    assert!(answer.is_success(), "{:?}", answer.outcome());
    answer.json()
}
