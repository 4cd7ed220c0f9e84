// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Compares the stored files with the manifests, in both directions. This tool runs beside the service.

mod cache;
mod examine;
mod known;
mod orphans;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::problem::problem_of;
use crate::config::Config;
use crate::db::Records;
use crate::images::{ApiError, ApiResult, App, Problem};
use crate::manifest::{Compression, Stor, Uuid};
use crate::storage::{LocalStorage, Location, MantaConnection, MantaStorage, Storage, StorageError};
use crate::telemetry::{Metrics, err};

use cache::Cache;
use known::KnownRecords;

/// What to compare, and how.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// The images to check. If empty, all images are checked, and files without an image are searched for.
    pub uuids: Vec<Uuid>,
    /// Also check files that were good at the last check.
    pub force: bool,
    /// Check only images with a tag `docker:id` that begins with `sha256:`.
    pub docker_v2: bool,
    /// Check only whether files exist and have the right size.
    pub simple: bool,
    /// Move local files without an image to `orphans`.
    pub fix: bool,
    /// A file without an image that is younger than this may belong to a running upload.
    pub orphan_age: Duration,
}

/// The progress of a check.
#[derive(Debug)]
pub enum Step<'a> {
    /// The check begins; it will look at so many files, with so many bytes.
    Begin(u64, u64),
    /// The check of this file begins.
    File(&'a str),
    /// So many more bytes have been read, or need not be read.
    Bytes(u64),
}

/// The results of a check.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Images that were checked.
    pub images: u64,
    /// Files of these images that were checked.
    pub files: u64,
    /// Files that were skipped because they were good at the last check.
    pub skipped: u64,
    /// Files that are missing, damaged or unreadable.
    pub bad: Vec<BadFile>,
    /// Files without an image.
    pub orphans: Vec<Orphan>,
    /// Unusable records, whose files have not been checked.
    pub invalid: Vec<String>,
}

/// A file that is not what its image's manifest says.
#[derive(Debug, Serialize)]
pub struct BadFile {
    /// The image.
    pub uuid: Uuid,
    /// The name of the image.
    pub name: String,
    /// The version of the image.
    pub version: String,
    /// The name of the file: `file0`, `icon`, or the name of an object that waits for its final name.
    pub file: String,
    /// The storage where the file should be.
    pub storage: Stor,
    /// What is wrong.
    pub problem: Problem,
    /// The problem in words, with details.
    pub reason: String,
    /// Images that depend on this one, the youngest first.
    pub dependents: Vec<Uuid>,
}

/// A file without an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// The UUID of the directory that the file is in; null if it is not in the directory of an image.
    pub uuid: Option<Uuid>,
    /// The file's name there, or its path below `images`.
    pub file: String,
    /// The storage where the file is.
    pub storage: Stor,
    /// What is wrong.
    pub problem: Problem,
    /// The path that the file was moved to, below the local base directory; null if it was not moved.
    pub moved: Option<String>,
    /// Whether the file can be moved; a directory, FIFO or link cannot.
    pub is_file: bool,
}

/// Compares the database with the storages of this configuration.
///
/// # Errors
/// 404 for a UUID that no image has. Also if the database or a storage is not available, because then it is not known what
/// should exist or does.
pub async fn check_files(
    config: &Config,
    metrics: Arc<Metrics>,
    options: &CheckOptions,
    on_step: &(dyn Fn(Step<'_>) + Sync),
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
    let mut check = Check { storage: &storage, records: &records, known: &known, options, cache, on_step };
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
    on_step: &'a (dyn Fn(Step<'_>) + Sync),
}

impl Check<'_> {
    async fn run(&mut self) -> ApiResult<CheckReport> {
        let mut report = CheckReport { invalid: self.known.invalid(), ..CheckReport::default() };
        let (known, options) = (self.known, self.options);
        let is_wanted = |image: &&known::KnownImage| {
            (options.uuids.is_empty() || options.uuids.contains(&image.uuid))
                && (!options.docker_v2 || image.is_docker_v2)
        };
        let images: Vec<_> = known.images().filter(is_wanted).collect();
        let files: Vec<_> =
            images.iter().flat_map(|image| image.files().map(move |file| (*image, file))).collect();
        (self.on_step)(Step::Begin(files.len() as u64, files.iter().map(|(_, (file, _))| file.size).sum()));
        report.images = images.len() as u64;
        for (image, (location, compression)) in files {
            (self.on_step)(Step::File(&format!("{} {}", image.uuid, name_of(&location))));
            // Taken before the file is read, so that the next check notices a later change.
            let state = match options.simple {
                true => String::new(),
                // Reading the file finds the same problem, and reports it.
                false => self.storage.state(&location).await.unwrap_or_default(),
            };
            if !options.force && self.cache.has(&location, &state) {
                report.skipped += 1;
                (self.on_step)(Step::Bytes(location.size));
                continue;
            }
            report.files += 1;
            match self.examine(&location, compression).await? {
                None if !options.simple => self.cache.add(&location, &state),
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

    /// Returns what is wrong with a file. An unavailable storage is an error: it says nothing about the file.
    async fn examine(
        &self,
        location: &Location,
        compression: Option<Compression>,
    ) -> ApiResult<Option<(Problem, String)>> {
        let looked = if self.options.simple {
            (self.on_step)(Step::Bytes(location.size));
            examine::check_size(self.storage, location).await
        } else {
            let read = |bytes| (self.on_step)(Step::Bytes(bytes));
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

    /// Returns whether the record still names the file that was found bad. It may have been replaced, moved or deleted
    /// meanwhile.
    async fn is_still_named(&self, location: &Location) -> ApiResult<bool> {
        let now = self.records.get(location.uuid).await?;
        let now = now.and_then(|record| self.known.entry(record).ok());
        Ok(now.is_some_and(|image| image.files().any(|(named, _)| named == *location)))
    }

    fn bad(
        &self,
        image: &known::KnownImage,
        location: &Location,
        problem: Problem,
        reason: String,
    ) -> BadFile {
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
