// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;
use std::time::Duration;

use moray::Object;

use super::bucket::{BUCKET, Bucket};
use super::{connect, failed};
use crate::config;
use crate::db::{DbError, StoredRecord, blocking};
use crate::manifest::Uuid;
use crate::telemetry::Metrics;

/// The number of rows that one query asks for.
const PAGE: u64 = 500;

/// How long closing the connections may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Iterates over all rows of the bucket by `_id`, which does not change when a row is written again.
#[derive(Debug)]
pub(in crate::db) struct MorayRecords {
    bucket: Bucket,
    /// The `_id` of the next row; `None` at the end.
    next: Option<u64>,
}

impl MorayRecords {
    pub(in crate::db) fn new(config: &config::Moray, metrics: Arc<Metrics>) -> MorayRecords {
        MorayRecords { bucket: connect(config, metrics), next: Some(0) }
    }

    pub(in crate::db) async fn next_page(&mut self) -> Result<Vec<StoredRecord>, DbError> {
        let Some(first) = self.next else { return Ok(Vec::new()) };
        let page = self.bucket.page(first, None, PAGE).await.map_err(failed)?;
        self.next = page.rows.last().filter(|_| !page.is_last).map(|last| last.id + 1);
        blocking(move || page.rows.iter().map(stored).collect()).await
    }

    pub(in crate::db) async fn get(&self, uuid: Uuid) -> Result<Option<StoredRecord>, DbError> {
        Ok(self.bucket.get(BUCKET, &uuid.to_string()).await.map_err(failed)?.as_ref().map(stored))
    }

    pub(in crate::db) async fn close(&self) {
        self.bucket.client.close(CLOSE_LIMIT).await;
    }
}

fn stored(row: &Object) -> StoredRecord {
    let record = row.value_as().map_err(|error| format!("no JSON object: {error}"));
    StoredRecord { key: row.key.clone(), record }
}
