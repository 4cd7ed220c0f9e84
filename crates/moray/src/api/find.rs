// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The methods that select many objects by a filter.

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

/// The objects that a filter matches, as they arrive. An error ends the stream; the objects before it are then only a part of the
/// result.
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
    /// Calls `findObjects` and streams the rows. The request is sent when the stream is first polled. It is sent again if the
    /// connection is lost before the first row arrived.
    ///
    /// Rows wait in a buffer of the configured size. While the buffer is full, the connection waits, and with it all other
    /// requests on the connection. If one request makes it wait longer than [`Config::stall_limit`](crate::Config::stall_limit),
    /// the request fails with [`Error::SlowConsumer`]. The deadline counts from the first poll to the last row.
    ///
    /// # Errors
    ///
    /// `BucketNotFoundError`, `NotIndexedError`, `InvalidQueryError`; all errors are items of the stream.
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

    /// Calls `findObjects` and collects the rows. The request is sent again if the connection is lost at any row.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::find_objects`], and [`Error::ResultTooLarge`].
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

    /// Calls `deleteMany`: deletes the objects that the filter matches and returns their number. Every attribute of the filter
    /// needs a usable index. The request is not sent again if its answer is lost.
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
