// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The methods on single objects.

use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::options::{CallOptions, DeleteOptions, Precondition, PutOptions};
use super::wire::{WireOptions, object_text, payload};
use crate::client::{Client, Effect, Request, Shape};
use crate::error::Error;
use crate::server_error::ServerErrorKind;

/// A stored object.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Object {
    /// Name of the bucket.
    pub bucket: String,
    /// Key within the bucket.
    pub key: String,
    /// The value, a JSON object. Indexed members are read from their index, so their type may differ from the stored one: under a
    /// string index, a number becomes a string.
    pub value: Box<RawValue>,
    /// Row number. It stays the same when the object is overwritten, and changes when the object is deleted and created again.
    #[serde(rename = "_id")]
    pub id: u64,
    /// The etag, for use in a [`Precondition`].
    #[serde(rename = "_etag")]
    pub etag: String,
    /// Time of the last write, in milliseconds since 1970.
    #[serde(rename = "_mtime")]
    pub mtime: i64,
    /// Number of objects that match the filter, regardless of limit and offset. Absent for `getObject` and with `no_count`. It
    /// can be too great: the database counts before Moray applies the parts of the filter that have no index.
    #[serde(rename = "_count", default)]
    pub count: Option<u64>,
}

impl Object {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// Fails if the value cannot be deserialized as `T`.
    pub fn value_as<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.value.get())
    }

    pub(super) fn parse(method: &'static str, row: &RawValue) -> Result<Self, Error> {
        serde_json::from_str(row.get()).map_err(|error| Error::bad_reply(method, error))
    }
}

impl Client {
    /// Calls `getObject`, bypassing the object cache of the server process.
    ///
    /// # Errors
    ///
    /// `ObjectNotFoundError`, `BucketNotFoundError`.
    pub async fn get_object(&self, bucket: &str, key: &str, options: &CallOptions) -> Result<Object, Error> {
        const METHOD: &str = "getObject";
        let wire = WireOptions::uncached(options);
        let request = Request {
            method: METHOD,
            payload: payload(METHOD, &(bucket, key, wire))?,
            effect: Effect::Read,
            shape: Shape::Object,
            limit: options.limit(self.shared.config.read_deadline),
        };
        let rows = self.call(&request).await?;
        Object::parse(METHOD, only_row(METHOD, &rows)?)
    }

    /// Calls `putObject`: stores `value`, which must serialize as a JSON object, and returns its etag.
    ///
    /// Without a precondition, repeating the write gives the same result. So the request is sent again if its answer was lost,
    /// and once more if it lost a race between two first writes of the key. With a precondition it is not sent again, because a
    /// repeated request would meet the etag that the first one stored. Read the object then, and decide by what it contains.
    ///
    /// # Errors
    ///
    /// `EtagConflictError`, also for a lost race between two first writes under [`Precondition::MustNotExist`];
    /// `UniqueAttributeError`; `InvalidIndexTypeError`; [`Error::OutcomeUnknown`]; [`Error::Serialize`].
    pub async fn put_object<T: Serialize + ?Sized>(
        &self,
        bucket: &str,
        key: &str,
        value: &T,
        options: &PutOptions,
    ) -> Result<String, Error> {
        const METHOD: &str = "putObject";
        let wire = WireOptions::conditional(&options.precondition, &options.call);
        let unconditional = options.precondition == Precondition::Any;
        let start = Instant::now();
        let mut request = Request {
            method: METHOD,
            payload: payload(METHOD, &(bucket, key, object_text(value)?, wire))?,
            effect: if unconditional { Effect::Idempotent } else { Effect::Once },
            shape: Shape::Object,
            limit: options.call.limit(self.shared.config.write_deadline),
        };
        let mut result = self.call(&request).await;
        if unconditional && matches!(&result, Err(Error::Server(error)) if error.is_lost_insert()) {
            request.limit = request.limit.saturating_sub(start.elapsed());
            result = self.call(&request).await;
        }
        let rows = match result {
            Ok(rows) => rows,
            Err(Error::Server(error))
                if error.is_lost_insert() && options.precondition == Precondition::MustNotExist =>
            {
                return Err(error.with_kind(ServerErrorKind::EtagConflict).into());
            }
            Err(error) => return Err(error),
        };
        #[derive(Deserialize)]
        struct Row {
            etag: String,
        }
        let row: Row = parse_row(METHOD, &rows)?;
        Ok(row.etag)
    }

    /// Calls `delObject`. The request is sent again if its answer was lost; if the object is then gone, the call succeeds.
    ///
    /// # Errors
    ///
    /// `ObjectNotFoundError`, `EtagConflictError`, [`Error::OutcomeUnknown`].
    pub async fn del_object(&self, bucket: &str, key: &str, options: &DeleteOptions) -> Result<(), Error> {
        const METHOD: &str = "delObject";
        let wire = WireOptions::conditional(&options.precondition, &options.call);
        let request = Request {
            method: METHOD,
            payload: payload(METHOD, &(bucket, key, wire))?,
            effect: Effect::Idempotent,
            shape: Shape::Rows,
            limit: options.call.limit(self.shared.config.write_deadline),
        };
        let answer = self.call_and_tell(&request).await;
        match answer.result {
            Err(error) if answer.repeated && error.server_kind() == Some(ServerErrorKind::ObjectNotFound) => {
                Ok(())
            }
            result => result.map(drop),
        }
    }
}

/// Returns the row of an answer that must have exactly one.
pub(super) fn only_row<'a>(method: &'static str, rows: &'a [Box<RawValue>]) -> Result<&'a RawValue, Error> {
    match rows {
        [row] => Ok(row),
        _ => Err(Error::bad_reply(method, format_args!("{} rows instead of one", rows.len()))),
    }
}

pub(super) fn parse_row<'a, T: Deserialize<'a>>(
    method: &'static str,
    rows: &'a [Box<RawValue>],
) -> Result<T, Error> {
    serde_json::from_str(only_row(method, rows)?.get()).map_err(|error| Error::bad_reply(method, error))
}
