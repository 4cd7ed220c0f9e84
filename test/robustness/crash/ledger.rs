// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is known about every image, and whether the service agrees.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::support::{Client, TestFile};

/// A change of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    File(TestFile),
    Activate,
    Delete,
}

/// What is known about an image: the acknowledged changes, and one change that may or may not have been made.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) uuid: String,
    file: Option<TestFile>,
    is_active: bool,
    is_deleted: bool,
    /// Its deletion was interrupted, so its file may still exist.
    is_orphaned: bool,
    pending: Option<Change>,
}

impl Record {
    pub(super) fn new(uuid: String) -> Record {
        let (file, pending) = (None, None);
        Record { uuid, file, is_active: false, is_deleted: false, is_orphaned: false, pending }
    }

    /// Records a change that was acknowledged or observed.
    pub(super) fn acknowledge(&mut self, change: Change) {
        match change {
            Change::File(file) => self.file = Some(file),
            Change::Activate => self.is_active = true,
            Change::Delete => self.is_deleted = true,
        }
    }

    /// Records a change without an answer.
    pub(super) fn suspect(&mut self, change: Change) {
        self.pending = Some(change);
    }

    /// Returns whether there is a change that may or may not have been made.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns whether a file of this image must exist on disk.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some() && !self.is_deleted
    }

    /// Returns whether a file may exist although the image does not.
    pub(super) fn may_have_left_a_file(&self) -> bool {
        self.is_orphaned
    }

    /// Finds out whether the pending change was made. Returns `true` if it was.
    async fn settle(&mut self, client: &Client) -> bool {
        let Some(change) = self.pending.take() else { return false };
        let answer = client.image(&self.uuid).await.unwrap();
        let image = answer.json();
        let is_made = match change {
            Change::File(file) => image["files"][0]["sha1"] == file.sha1(),
            Change::Activate => image["state"] == "active",
            Change::Delete => answer.status == 404,
        };
        if is_made {
            self.acknowledge(change);
            self.is_orphaned = change == Change::Delete;
        }
        is_made
    }

    /// Checks that the service agrees with the record, and that the bytes match the manifest and the upload.
    async fn check(&self, client: &Client) {
        let answer = client.image(&self.uuid).await.unwrap();
        if self.is_deleted {
            assert_eq!(answer.status, 404, "{self:?}");
            return;
        }
        assert_eq!(answer.status, 200, "{self:?}");
        let state = if self.is_active { "active" } else { "unactivated" };
        assert_eq!(answer.json()["state"], state, "{self:?}");
        match self.file {
            Some(file) => client.assert_holds(&self.uuid, file).await,
            None => client.assert_has_no_file(&self.uuid).await,
        }
    }
}

/// All images, and the results of interrupted changes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    records: BTreeMap<String, Record>,
    /// The images of the latest round.
    latest: Vec<String>,
    uploads: [usize; 2],
    others: [usize; 2],
}

impl Ledger {
    /// Draws `count` images for a round: about half are existing images that can take another file, the others are new (`None`).
    pub(super) fn draw(&mut self, random: &mut StdRng, count: usize) -> Vec<Option<Record>> {
        let mut open: Vec<_> =
            self.records.values().filter(|known| !known.is_active && !known.is_deleted).cloned().collect();
        let mut draw = || {
            let is_old = !open.is_empty() && random.random_bool(0.5);
            is_old.then(|| open.swap_remove(random.random_range(0..open.len())))
        };
        (0..count).map(|_| draw()).collect()
    }

    /// Adds the records of a round's images.
    pub(super) fn add(&mut self, records: Vec<Option<Record>>) {
        self.latest.clear();
        for record in records.into_iter().flatten() {
            self.latest.push(record.uuid.clone());
            self.records.insert(record.uuid.clone(), record);
        }
    }

    /// Returns the number of uploads without an answer.
    pub(super) fn interrupted_uploads(&self) -> usize {
        self.uploads.iter().sum()
    }

    /// Finds out the results of the latest round's interrupted changes, and checks its images.
    pub(super) async fn settle(&mut self, client: &Client) {
        for uuid in &self.latest {
            let Some(record) = self.records.get_mut(uuid) else { continue };
            if let Some(change) = record.pending {
                let is_made = usize::from(record.settle(client).await);
                match change {
                    Change::File(_) => self.uploads[is_made] += 1,
                    _ => self.others[is_made] += 1,
                }
            }
            record.check(client).await;
        }
    }

    /// Checks every image, and that images without a record have no file.
    pub(super) async fn check_all(&self, client: &Client) {
        for record in self.records.values() {
            record.check(client).await;
        }
        let all = client.get("/images?state=all&limit=1000").await.unwrap().json();
        let listed = all.as_array().unwrap();
        for image in listed {
            let uuid = image["uuid"].as_str().unwrap();
            match self.records.get(uuid) {
                Some(record) => assert!(!record.is_deleted, "{record:?}"),
                None => client.assert_has_no_file(uuid).await,
            }
        }
        let existing = self.records.values().filter(|record| !record.is_deleted);
        assert!(existing.count() <= listed.len());
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    pub(super) fn summary(&self) -> String {
        let [lost, made] = self.uploads;
        let [others_lost, others_made] = self.others;
        format!(
            "interrupted uploads: {lost} not made, {made} made; interrupted activations and deletes: {others_lost} \
             not made, {others_made} made; {} images",
            self.records.len()
        )
    }
}
