// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The methods.

use serde_json::{Map, Value, json};

use super::args::Args;
use super::batch;
use crate::moray::error::{MorayError, Result};
use crate::moray::store::{self, Store};

/// The supported methods. Some of Moray's, such as `listen`, are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    CreateBucket,
    GetBucket,
    ListBuckets,
    UpdateBucket,
    DelBucket,
    PutObject,
    GetObject,
    DelObject,
    FindObjects,
    UpdateObjects,
    DeleteMany,
    Batch,
    ReindexObjects,
    Sql,
    Ping,
    Version,
}

/// The methods, with their names on the wire and the number of their arguments.
const METHODS: [(Method, &str, usize); 16] = [
    (Method::CreateBucket, "createBucket", 3),
    (Method::GetBucket, "getBucket", 2),
    (Method::ListBuckets, "listBuckets", 1),
    (Method::UpdateBucket, "updateBucket", 3),
    (Method::DelBucket, "delBucket", 2),
    (Method::PutObject, "putObject", 4),
    (Method::GetObject, "getObject", 3),
    (Method::DelObject, "delObject", 3),
    (Method::FindObjects, "findObjects", 3),
    (Method::UpdateObjects, "updateObjects", 4),
    (Method::DeleteMany, "deleteMany", 3),
    (Method::Batch, "batch", 2),
    (Method::ReindexObjects, "reindexObjects", 3),
    (Method::Sql, "sql", 3),
    (Method::Ping, "ping", 1),
    (Method::Version, "version", 1),
];

/// Options that `findObjects` and `getObject` list as handled if the caller asks.
const HANDLED_OPTIONS: [&str; 8] =
    ["req_id", "limit", "offset", "sort", "noLimit", "no_count", "requireOnlineReindexing", "requireIndexes"];

impl Method {
    /// Returns the method called `name` on the wire.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        METHODS.into_iter().find(|(_, wire, _)| *wire == name).map(|(method, ..)| method)
    }

    /// Returns whether the method changes data.
    pub(crate) fn is_write(self) -> bool {
        !matches!(
            self,
            Self::GetBucket
                | Self::ListBuckets
                | Self::GetObject
                | Self::FindObjects
                | Self::Sql
                | Self::Ping
                | Self::Version
        )
    }
}

/// Runs a call and returns the objects of its reply.
pub(crate) async fn call(store: &Store, method: Method, items: Vec<Value>) -> Result<Vec<Value>> {
    let (_, name, count) = METHODS[method as usize];
    let args = Args::new(name, &items, count)?;
    match method {
        Method::CreateBucket | Method::UpdateBucket | Method::DelBucket => {
            change_bucket(store, method, &args).await
        }
        Method::GetBucket => {
            args.options(0)?;
            let bucket = args.string(1, "bucket")?.to_owned();
            store.read(move |t| store::get_bucket(t, &bucket)).await.map(|row| vec![row])
        }
        Method::ListBuckets => {
            args.options(0)?;
            store.read(store::list_buckets).await
        }
        Method::PutObject | Method::GetObject | Method::DelObject => object(store, method, &args).await,
        Method::FindObjects => find(store, &args).await,
        Method::UpdateObjects | Method::DeleteMany => many(store, method, &args).await,
        Method::Batch => {
            args.options(1)?;
            let none = Map::new();
            let items = batch::items(&args, items[1].as_object().unwrap_or(&none))?;
            let etags = store.write(move |t| store::batch(t, &items)).await?;
            Ok(vec![json!({"etags": etags})])
        }
        Method::ReindexObjects => reindex(store, &args).await,
        Method::Sql => {
            let (statement, values) =
                (args.string(0, "statement")?.to_owned(), args.array(1, "values")?.to_vec());
            args.options(2)?;
            store.read(move |t| store::sql(t, &statement, &values)).await
        }
        Method::Ping => {
            if args.options(0)?.deep {
                store.read(|t| Ok(t.query_row("SELECT 1", [], |_| Ok(()))?)).await?;
            }
            Ok(Vec::new())
        }
        Method::Version => {
            args.options(0)?;
            Ok(vec![json!({"version": 2})])
        }
    }
}

async fn change_bucket(store: &Store, method: Method, args: &Args<'_>) -> Result<Vec<Value>> {
    let name = args.string(0, "name")?.to_owned();
    if method == Method::DelBucket {
        args.options(1)?;
        store.write(move |t| store::delete_bucket(t, &name)).await?;
        return Ok(Vec::new());
    }
    let config = args.object(1, "config")?.clone();
    let options = args.options(2)?;
    store
        .write(move |t| {
            if method == Method::CreateBucket {
                store::create_bucket(t, &name, &config)
            } else {
                store::update_bucket(t, &name, &config, options.no_reindex)
            }
        })
        .await?;
    Ok(Vec::new())
}

async fn object(store: &Store, method: Method, args: &Args<'_>) -> Result<Vec<Value>> {
    let bucket = args.string(0, "bucket")?.to_owned();
    let key = args.string(1, "key")?.to_owned();
    if method == Method::PutObject {
        let value = args.object(2, "value")?.clone();
        let expected = args.options(3)?.expected;
        let etag = store.write(move |t| store::put_object(t, &bucket, &key, &value, &expected)).await?;
        return Ok(vec![json!({"etag": etag})]);
    }
    let options = args.options(2)?;
    if method == Method::DelObject {
        store.write(move |t| store::delete_object(t, &bucket, &key, &options.expected)).await?;
        return Ok(vec![json!({})]);
    }
    let mut rows = handled_options(options.send_handled_options);
    rows.push(store.read(move |t| store::get_object(t, &bucket, &key)).await?);
    Ok(rows)
}

async fn find(store: &Store, args: &Args<'_>) -> Result<Vec<Value>> {
    let bucket = args.string(0, "bucket")?.to_owned();
    let filter = args.string(1, "filter")?.to_owned();
    let options = args.options(2)?;
    if options.sql_only {
        return Err(MorayError::Invocation("findObjects does not support \"sql_only\"".to_owned()));
    }
    let mut rows = handled_options(options.send_handled_options);
    rows.extend(store.read(move |t| store::find_objects(t, &bucket, &filter, &options.find)).await?);
    Ok(rows)
}

async fn many(store: &Store, method: Method, args: &Args<'_>) -> Result<Vec<Value>> {
    let bucket = args.string(0, "bucket")?.to_owned();
    if method == Method::DeleteMany {
        let filter = args.string(1, "filter")?.to_owned();
        let options = args.options(2)?.find;
        let count = store.write(move |t| store::delete_many(t, &bucket, &filter, &options)).await?;
        return Ok(vec![json!({"count": count})]);
    }
    let fields = args.object(1, "fields")?.clone();
    let filter = args.string(2, "filter")?.to_owned();
    let options = args.options(3)?.find;
    let (count, etag) =
        store.write(move |t| store::update_objects(t, &bucket, &fields, &filter, &options)).await?;
    Ok(vec![json!({"count": count, "etag": etag})])
}

async fn reindex(store: &Store, args: &Args<'_>) -> Result<Vec<Value>> {
    let bucket = args.string(0, "bucket")?.to_owned();
    let count = args.integer(1, "count")?;
    let no_count = args.options(2)?.find.no_count;
    let progress = store.write(move |t| store::reindex_objects(t, &bucket, count, no_count)).await?;
    let mut row = json!({"processed": progress.processed});
    if let (Some(row), Some(remaining)) = (row.as_object_mut(), progress.remaining) {
        row.insert("remaining".to_owned(), remaining.into());
    }
    Ok(vec![row])
}

fn handled_options(wanted: bool) -> Vec<Value> {
    if wanted { vec![json!({"_handledOptions": HANDLED_OPTIONS})] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_methods_is_in_the_order_of_the_enum() {
        for (at, (method, name, _)) in METHODS.into_iter().enumerate() {
            assert_eq!(method as usize, at);
            assert_eq!(Method::from_name(name), Some(method));
        }
    }
}
