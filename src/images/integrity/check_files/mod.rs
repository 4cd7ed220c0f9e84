// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Comparing stored files with the manifests, both ways, by a tool that runs beside the service.

mod cache;
mod examine;
mod known;
mod orphans;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::scrub::problem_of;
use crate::config::Config;
use crate::db::Records;
use crate::images::{ApiError, ApiResult, App, Problem};
use crate::manifest::{Compression, Stor, Uuid};
use crate::storage::{LocalStorage, Location, MantaConnection, MantaStorage, Storage, StorageError};
use crate::telemetry::{Metrics, err};

use cache::Cache;
use known::KnownRecords;

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// These images; none for all, and for files that no image has.
    pub uuids: Vec<Uuid>,
    /// Also files that were found to be good before.
    pub force: bool,
    /// Only images with a tag `docker:id` that begins with `sha256:`.
    pub docker_v2: bool,
    /// Only whether files are there, with the right size.
    pub simple: bool,
    /// Files of the local storage that no image has are moved to `orphans`.
    pub fix: bool,
    /// Files that no image has may be on their way to one while they are younger.
    pub orphan_age: Duration,
}

/// How far it is.
#[derive(Debug)]
pub enum Step<'a> {
    /// So many files, with so many bytes, will be looked at.
    Begin(u64, u64),
    /// This file is next.
    File(&'a str),
    /// So many bytes more have been read, or need not be.
    Bytes(u64),
}

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Images that were looked at.
    pub images: u64,
    /// Their files that were looked at.
    pub files: u64,
    /// Files that were left out because they were good the last time.
    pub skipped: u64,
    /// Files that are not as they should be.
    pub bad: Vec<BadFile>,
    /// Files that no image has.
    pub orphans: Vec<Orphan>,
    /// Records that cannot be used: their files have not been looked at.
    pub invalid: Vec<String>,
}

/// A file that is not what its image's manifest says.
#[derive(Debug, Serialize)]
pub struct BadFile {
    /// The image.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file: `file0`, `icon`, or the name of an object that waits for its final one.
    pub file: String,
    /// Where it should be.
    pub storage: Stor,
    /// What is wrong.
    pub problem: Problem,
    /// The same for people.
    pub reason: String,
    /// Images that need this one, the youngest first.
    pub dependents: Vec<Uuid>,
}

/// A file that no image has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// In whose directory it is; null for what is in nobody's.
    pub uuid: Option<Uuid>,
    /// Its name there, or its path below `images`.
    pub file: String,
    /// Where it is.
    pub storage: Stor,
    /// What is wrong.
    pub problem: Problem,
    /// Where it was moved to, below the local base directory; null if it was not.
    pub moved: Option<String>,
    /// Whether it can be moved: it is no directory, FIFO or link.
    pub is_file: bool,
}

/// Compares what the options say, with the database and the storages of this configuration.
///
/// # Errors
/// 404 for a UUID that is no image; when the database or a storage cannot be asked, so that it is not known what is there.
pub async fn check_files(
    config: &Config,
    metrics: Arc<Metrics>,
    options: &CheckOptions,
    tell: &(dyn Fn(Step<'_>) + Sync),
) -> ApiResult<CheckReport> {
    let manta = config.manta.clone().filter(|manta| manta.stores_files).map(MantaConnection::new);
    let manta = manta.map(MantaStorage::new);
    let storage = Storage::new(LocalStorage::new(config.local_base_dir.clone()), manta);
    let mut records = Records::open(config, metrics).map_err(StorageError::from)?;
    let known = KnownRecords::read(&mut records, App::rules_of(config)).await?;
    if let Some(uuid) = options.uuids.iter().find(|uuid| known.image(**uuid).is_none()) {
        return Err(ApiError::image_not_found(*uuid));
    }
    let cache = Cache::read(&config.local_base_dir).await;
    let mut check = Check { storage: &storage, records: &records, known: &known, options, cache, tell };
    let report = check.run().await;
    check.cache.write(&config.local_base_dir).await;
    records.close().await;
    report
}

struct Check<'a> {
    storage: &'a Storage,
    records: &'a Records,
    known: &'a KnownRecords,
    options: &'a CheckOptions,
    cache: Cache,
    tell: &'a (dyn Fn(Step<'_>) + Sync),
}

impl Check<'_> {
    async fn run(&mut self) -> ApiResult<CheckReport> {
        let mut report = CheckReport { invalid: self.known.invalid(), ..CheckReport::default() };
        let (known, options) = (self.known, self.options);
        let is_wanted = |image: &&known::Entry| {
            (options.uuids.is_empty() || options.uuids.contains(&image.uuid))
                && (!options.docker_v2 || image.is_docker_v2)
        };
        let images: Vec<_> = known.images().filter(is_wanted).collect();
        let files: Vec<_> =
            images.iter().flat_map(|image| image.files().map(move |file| (*image, file))).collect();
        (self.tell)(Step::Begin(files.len() as u64, files.iter().map(|(_, (file, _))| file.size).sum()));
        report.images = images.len() as u64;
        for (image, (location, compression)) in files {
            (self.tell)(Step::File(&format!("{} {}", image.uuid, name_of(&location))));
            let is_known_good = !options.force && !options.simple && self.cache.has(&location);
            if is_known_good {
                report.skipped += 1;
                (self.tell)(Step::Bytes(location.size));
                continue;
            }
            report.files += 1;
            match self.look_at(&location, compression).await? {
                None if !options.simple => self.cache.add(&location),
                None => {}
                Some((problem, reason)) => {
                    self.cache.remove(&location);
                    if self.is_still_named(&location).await? {
                        report.bad.push(self.bad(image, &location, problem, reason));
                    }
                }
            }
        }
        if options.uuids.is_empty() && !options.docker_v2 {
            report.orphans = self.orphans().await?;
        }
        Ok(report)
    }

    /// What is wrong with a file. A storage that cannot be asked says nothing about it.
    async fn look_at(
        &self,
        location: &Location,
        compression: Option<Compression>,
    ) -> ApiResult<Option<(Problem, String)>> {
        let looked = if self.options.simple {
            (self.tell)(Step::Bytes(location.size));
            examine::glance(self.storage, location).await
        } else {
            let read = |bytes| (self.tell)(Step::Bytes(bytes));
            examine::read(self.storage, location, compression, &read).await
        };
        match looked {
            Ok(found) => Ok(found),
            Err(error) => {
                let reason = err(&error).message();
                Ok(Some((problem_of(error, location.stor)?, reason)))
            }
        }
    }

    /// Whether it was the file that was found to be bad, and was not replaced, moved or deleted meanwhile.
    async fn is_still_named(&self, location: &Location) -> ApiResult<bool> {
        let now = self.records.get(location.uuid).await?;
        let now = now.and_then(|record| self.known.entry(record).ok());
        Ok(now.is_some_and(|image| image.files().any(|(named, _)| named == *location)))
    }

    fn bad(&self, image: &known::Entry, location: &Location, problem: Problem, reason: String) -> BadFile {
        BadFile {
            uuid: image.uuid,
            name: image.name.clone(),
            version: image.version.clone(),
            file: name_of(location),
            storage: location.stor,
            problem,
            reason,
            dependents: self.known.dependents(image.uuid),
        }
    }
}

/// The name of a file in its image's directory.
fn name_of(location: &Location) -> String {
    match &location.object {
        Some(own) => own.name.clone(),
        None => location.asset.to_string(),
    }
}
