// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The bucket, and the calls made to it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moray::{
    Attribute, BatchRequest, BucketConfig, CallOptions, Client, DeleteManyOptions, Error, Filter,
    FindOptions, Index, IndexType, Object, Order, Precondition, Sort,
};
use serde::{Deserialize, Serialize};

use crate::db::Deletion;
use crate::manifest::Uuid;
use crate::telemetry::Metrics;

pub(super) const BUCKET: &str = "imgapi_images";
/// The bucket of recent deletions, by UUID. A row is written in the same transaction as the deletion it records.
pub(super) const DELETIONS: &str = "imgapi_deletions";

const ID: Attribute = Attribute::from_static("_id");
const MTIME: Attribute = Attribute::from_static("_mtime");

/// The deadline of the queries that keep the replica current. Each is short, but Moray may be busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// The bucket in Moray. Its calls are recorded in the metrics.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) client: Client,
    metrics: Arc<Metrics>,
}

/// The note of a deletion.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    uuid: Uuid,
    /// The MD5 of the manifest that was deleted, in base64.
    #[serde(rename = "contentMD5", default, skip_serializing_if = "Option::is_none")]
    content_md5: Option<String>,
}

/// Some rows, in the order that was asked for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Object>,
    /// Whether these are the last rows.
    pub(super) is_last: bool,
}

/// A walk over rows by the time of their last write, and by `_id` among rows of the same time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    mtime: i64,
    /// The number of rows with that time that were passed.
    skip: u64,
}

impl Walk {
    /// Starts with the rows written at `mtime`.
    pub(super) fn since(mtime: i64) -> Walk {
        Walk { mtime, skip: 0 }
    }

    fn pass(&mut self, rows: &[Object]) {
        let Some(end) = rows.last().map(|row| row.mtime) else { return };
        // The next page begins with the last time of this one, some of whose rows were passed already.
        self.skip = if end == self.mtime { self.skip + rows.len() as u64 } else { 0 };
        self.mtime = end;
    }
}

impl Bucket {
    pub(super) fn new(client: Client, metrics: Arc<Metrics>) -> Bucket {
        Bucket { client, metrics }
    }

    /// Records a call and its duration in the metrics.
    pub(super) async fn timed<T>(
        &self,
        op: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let result = call.await;
        self.metrics.observe_backend("moray", op, outcome(&result), started.elapsed());
        result
    }

    /// Creates the bucket of 4.13.1 and the bucket of deletions if they are missing. Existing ones are left unchanged.
    pub(super) async fn ensure(&self) -> Result<(), Error> {
        for (name, schema) in [(BUCKET, schema()), (DELETIONS, BucketConfig::default())] {
            match self.client.get_bucket(name, &CallOptions::default()).await {
                Err(error) if error.is_not_found() => {
                    self.client.create_bucket(name, &schema, &CallOptions::default()).await?;
                }
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// Checks that Moray and its database answer.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        self.timed("ping", self.client.ping(true, &CallOptions::default())).await
    }

    /// Returns the row of a bucket with this key.
    pub(super) async fn get(&self, bucket: &str, key: &str) -> Result<Option<Object>, Error> {
        let got = self.timed("get", self.client.get_object(bucket, key, &CallOptions::default())).await;
        match got {
            Ok(row) => Ok(Some(row)),
            Err(error) if is_no_object(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns about `limit` of the first rows whose `_id` is from `first` to `last`, by `_id`.
    pub(super) async fn page(&self, first: u64, last: Option<u64>, limit: u64) -> Result<Page, Error> {
        self.find(&ids(first, last), vec![ascending(ID)], limit).await
    }

    /// Returns the next rows of a bucket, about `limit`.
    pub(super) async fn next_page(
        &self,
        bucket: &'static str,
        walk: &mut Walk,
        limit: u64,
    ) -> Result<Page, Error> {
        let filter = Filter::ge(MTIME, walk.mtime.to_string());
        let order = vec![ascending(MTIME), ascending(ID)];
        let page = self.find_from(bucket, &filter, order, walk.skip, limit).await?;
        walk.pass(&page.rows);
        Ok(page)
    }

    /// Returns the time of the last write.
    pub(super) async fn last_write(&self) -> Result<Option<i64>, Error> {
        Ok(self.last(BUCKET, MTIME).await?.map(|row| row.mtime))
    }

    /// Returns the time of the last deletion that was noted.
    pub(super) async fn last_deletion(&self) -> Result<Option<i64>, Error> {
        Ok(self.last(DELETIONS, MTIME).await?.map(|row| row.mtime))
    }

    /// Returns the greatest `_id`.
    pub(super) async fn last_id(&self) -> Result<Option<u64>, Error> {
        Ok(self.last(BUCKET, ID).await?.map(|row| row.id))
    }

    async fn last(&self, bucket: &'static str, attribute: Attribute) -> Result<Option<Object>, Error> {
        let order = vec![Sort { attribute, order: Order::Descending }];
        let page = self.find_from(bucket, &ids(0, None), order, 0, 1).await?;
        Ok(page.rows.into_iter().next())
    }

    /// Makes the request that notes the deletion of an image, for the transaction that deletes it.
    pub(super) fn note_deletion(old: &Deletion<'_>) -> Result<BatchRequest, Error> {
        let note = Note { uuid: old.uuid, content_md5: old.manifest_md5.clone() };
        BatchRequest::put(DELETIONS, old.uuid.to_string(), &note, Precondition::Any)
    }

    /// Returns the MD5 of the deleted manifest, if the note has it.
    pub(super) fn noted_manifest(row: &Object) -> Option<String> {
        row.value_as::<Note>().ok()?.content_md5
    }

    /// Removes the notes of deletions up to `mtime`.
    pub(super) async fn forget_deletions(&self, mtime: i64) -> Result<(), Error> {
        let filter = Filter::le(MTIME, mtime.to_string());
        let options = DeleteManyOptions::default();
        // Moray removes at most a thousand rows a call.
        while self.timed("delete", self.client.delete_many(DELETIONS, &filter, &options)).await? >= 1000 {}
        Ok(())
    }

    /// Returns how many rows have an `_id` from `first` to `last`.
    pub(super) async fn count(&self, first: u64, last: Option<u64>) -> Result<u64, Error> {
        let options = FindOptions { limit: Some(1), ..options() };
        let rows = self.timed("count", self.client.find_all(BUCKET, &ids(first, last), &options)).await?;
        Ok(rows.first().and_then(|row| row.count).unwrap_or(0))
    }

    /// Returns about `limit` of the first rows in this order.
    pub(super) async fn find(&self, filter: &Filter, sort: Vec<Sort>, limit: u64) -> Result<Page, Error> {
        self.find_from(BUCKET, filter, sort, 0, limit).await
    }

    /// Asks for `limit` rows, or for as many as the client accepts in one answer if they are too long.
    async fn find_from(
        &self,
        bucket: &'static str,
        filter: &Filter,
        sort: Vec<Sort>,
        skip: u64,
        mut limit: u64,
    ) -> Result<Page, Error> {
        loop {
            let offset = (skip > 0).then_some(skip);
            let options =
                FindOptions { limit: Some(limit), sort: sort.clone(), offset, no_count: true, ..options() };
            match self.timed("find", self.client.find_all(bucket, filter, &options)).await {
                Err(Error::ResultTooLarge { .. }) if limit > 1 => limit /= 4,
                rows => {
                    let rows = rows?;
                    return Ok(Page { is_last: (rows.len() as u64) < limit, rows });
                }
            }
            limit = limit.max(1);
        }
    }
}

fn options() -> FindOptions {
    let call = CallOptions { deadline: Some(DEADLINE), ..CallOptions::default() };
    FindOptions { call, ..FindOptions::default() }
}

fn ascending(attribute: Attribute) -> Sort {
    Sort { attribute, order: Order::Ascending }
}

/// Selects rows by `_id`, which Moray has an index of.
fn ids(first: u64, last: Option<u64>) -> Filter {
    let from = Filter::ge(ID, first.to_string());
    match last {
        None => from,
        Some(last) => Filter::all_of([from.clone(), Filter::le(ID, last.to_string())]).unwrap_or(from),
    }
}

fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) if error.is_not_found() => "not_found",
        Err(error) if error.is_conflict() => "conflict",
        Err(error) if error.is_transient() => "unavailable",
        Err(_) => "error",
    }
}

pub(super) fn is_no_object(error: &Error) -> bool {
    error.server_kind() == Some(moray::ServerErrorKind::ObjectNotFound)
}

/// The bucket of 4.13.1: no version, no triggers.
fn schema() -> BucketConfig {
    let unique = ["uuid", "urn"].map(|name| (name, IndexType::String, true));
    let strings = ["name", "version", "owner", "origin", "state", "os", "type", "expires_at", "published_at"]
        .map(|name| (name, IndexType::String, false));
    let lists = ["tags", "billing_tags", "acl"].map(|name| (name, IndexType::Strings, false));
    let flags = ["activated", "disabled", "public"].map(|name| (name, IndexType::Boolean, false));
    let index = unique.into_iter().chain(strings).chain(lists).chain(flags);
    let index = index.map(|(name, index_type, unique)| (name.to_owned(), Index { index_type, unique }));
    BucketConfig { index: index.collect(), ..BucketConfig::default() }
}
