// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Many objects by a filter.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{Stream, unfold};
use serde::Deserialize;

use super::objects::{Object, parse_row};
use super::options::{DeleteManyOptions, FindOptions};
use super::wire::{WireOptions, payload};
use crate::client::{Client, Effect, Request, RowStream, Shape};
use crate::error::Error;
use crate::filter::Filter;

const FIND: &str = "findObjects";

/// The objects that a filter matches, as they come. After an error there is nothing more, and the objects before it are
/// only a part of the result.
pub struct ObjectStream(Pin<Box<dyn Stream<Item = Result<Object, Error>> + Send>>);

impl Stream for ObjectStream {
    type Item = Result<Object, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream").finish_non_exhaustive()
    }
}

impl Client {
    /// `findObjects`, row by row. It is sent when the first row is asked for, and sent again when the connection is lost before
    /// the first row came.
    ///
    /// Rows wait in a buffer of the configured size. When it is full the connection waits, and with it the other requests on
    /// it; how long one request may cause that is configured as well, and then it fails with
    /// [`Error::SlowConsumer`]. The deadline counts from the first poll to the last row.
    ///
    /// # Errors
    ///
    /// `BucketNotFoundError`, `NotIndexedError`, `InvalidQueryError` as items of the stream.
    pub fn find_objects(&self, bucket: &str, filter: &Filter, options: &FindOptions) -> ObjectStream {
        match self.find_request(bucket, filter, options) {
            Ok(request) => {
                let rows = RowStream::new(self.clone(), request);
                ObjectStream(Box::pin(unfold(rows, async |mut rows| {
                    let row = rows.next().await?;
                    Some((row.and_then(|row| Object::parse(FIND, &row)), rows))
                })))
            }
            Err(error) => ObjectStream(Box::pin(futures_util::stream::iter([Err(error)]))),
        }
    }

    /// `findObjects`, collected. It is sent again when the connection is lost at any row.
    ///
    /// # Errors
    ///
    /// As [`Client::find_objects`], and [`Error::ResultTooLarge`].
    pub async fn find_all(
        &self,
        bucket: &str,
        filter: &Filter,
        options: &FindOptions,
    ) -> Result<Vec<Object>, Error> {
        let rows = self.call(&self.find_request(bucket, filter, options)?).await?;
        rows.iter().map(|row| Object::parse(FIND, row)).collect()
    }

    fn find_request(&self, bucket: &str, filter: &Filter, options: &FindOptions) -> Result<Request, Error> {
        Ok(Request {
            method: FIND,
            payload: payload(FIND, &(bucket, filter.to_string(), WireOptions::find(options)))?,
            effect: Effect::Read,
            shape: Shape::Rows,
            limit: options.call.limit(self.shared.config.find_deadline),
        })
    }

    /// `deleteMany`: deletes what the filter matches and returns how many objects that were. Every attribute of the filter
    /// needs a usable index. It is not sent again when its answer is lost.
    ///
    /// # Errors
    ///
    /// `BucketNotFoundError`, `NotIndexedError`, `InvalidQueryError`, [`Error::OutcomeUnknown`].
    pub async fn delete_many(
        &self,
        bucket: &str,
        filter: &Filter,
        options: &DeleteManyOptions,
    ) -> Result<u64, Error> {
        const METHOD: &str = "deleteMany";
        let request = Request {
            method: METHOD,
            payload: payload(METHOD, &(bucket, filter.to_string(), WireOptions::delete_many(options)))?,
            effect: Effect::Once,
            shape: Shape::Object,
            limit: options.call.limit(self.shared.config.write_deadline),
        };
        #[derive(Deserialize)]
        struct Row {
            count: u64,
        }
        let rows = self.call(&request).await?;
        let row: Row = parse_row(METHOD, &rows)?;
        Ok(row.count)
    }
}
