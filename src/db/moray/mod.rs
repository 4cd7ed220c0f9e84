// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manifests in Moray: one bucket, keyed by UUID, with the indexes of 4.13.1, and a replica of it in memory for reads.

mod bucket;
mod filter;
mod records;
mod replica;
mod scan;
mod search;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moray::{
    BatchRequest, CallOptions, Client, Endpoint, Error, FindOptions, Object, Precondition, PutOptions,
};

use super::{DbError, Deletion, Found, ListAnswer, Status, Stored, blocking};
use crate::config;
use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, FieldError, Image, Record, Rules, Uuid, View};
use crate::telemetry::{Metrics, err};

use bucket::{BUCKET, Bucket, DELETIONS, is_no_object};
pub(super) use records::MorayRecords;
use replica::{Freshness, KnownRecord, Replica, RequestKind};

/// The most images of each scope of a query without a limit. 4.13.1 searches for each scope separately, and Moray ends
/// a search there. Clients get the next page from the last image of the answer.
const PER_SCOPE: usize = 1000;
/// The longest record in bytes that is parsed on a thread of the runtime. Longer ones are parsed on a blocking thread.
const INLINE: usize = 16 << 10;

/// Manifests in the Moray of a datacenter.
#[derive(Debug)]
pub struct MorayDatabase {
    bucket: Bucket,
    rules: Rules,
    replica: Replica,
}

impl MorayDatabase {
    /// Connects in the background, creates the bucket if it is missing, and begins to load it. Must be called within
    /// the runtime.
    pub fn new(config: &config::Moray, rules: Rules, metrics: Arc<Metrics>) -> MorayDatabase {
        let bucket = connect(config, Arc::clone(&metrics));
        let replica = Replica::start(bucket.clone(), rules, config.stale_reads, metrics);
        MorayDatabase { bucket, rules, replica }
    }

    /// Returns the record of `uuid`, from Moray itself.
    pub(super) async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        let row = self.get_row(uuid).await?;
        Ok(row.and_then(|row| load(&row, self.rules)))
    }

    async fn get_row(&self, uuid: Uuid) -> Result<Option<Object>, DbError> {
        let bucket = self.bucket.clone();
        self.ask(async move { bucket.get(BUCKET, &uuid.to_string()).await }).await
    }

    /// Waits for the answer to a call on behalf of a client. When the client stops waiting, the call goes on: after its
    /// deadline Moray's client takes care of the connection.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, DbError> {
        match self.replica.unless_long_away(tokio::spawn(ask)).await {
            Some(Ok(answer)) => answer.map_err(failed),
            Some(Err(stopped)) => Err(DbError::Failed(stopped.into())),
            None => Err(DbError::Unavailable(MorayUnavailable.into())),
        }
    }

    /// Returns the record from memory.
    pub(super) async fn known(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        self.replica.note_use();
        let Some(KnownRecord { record, etag, .. }) = self.replica.record(uuid) else { return Ok(None) };
        let (rules, length) = (self.rules, record.len());
        let parse =
            move || serde_json::from_str(&record).ok().and_then(|record| Image::load(record, rules).ok());
        let image = if length <= INLINE { parse() } else { blocking(parse).await? };
        Ok(image.map(|image| Stored { image, etag }))
    }

    /// Returns the image. If the replica does not have it, Moray itself is asked.
    pub(super) async fn view(
        &self,
        uuid: Uuid,
        is_shown: impl Fn(&View) -> bool,
    ) -> Result<Found<Option<Arc<View>>>, DbError> {
        let known = || self.replica.index().get(uuid).filter(|view| is_shown(view));
        let asked = match self.freshness().await? {
            Freshness::Fresh => match known() {
                Some(view) => return Ok(Found::current(Some(view))),
                None => return self.look_up(uuid).await.map(Found::current),
            },
            Freshness::Late => match self.replica.unless_away(self.look_up(uuid)).await {
                Some(answer) => Some(answer),
                None => Some(Err(DbError::Unavailable(NotInMemory.into()))),
            },
            Freshness::Incomplete => {
                self.replica.unless_complete(RequestKind::Image, self.get_view(uuid)).await
            }
            Freshness::Stale(age) => match self.stale_view(uuid, known(), age) {
                // Moray may be able to answer some calls, if not all.
                None if self.bucket.client.state().is_connected() => Some(self.look_up(uuid).await),
                None => return Err(DbError::Unavailable(NotInMemory.into())),
                Some(found) => return Ok(found),
            },
        };
        match asked {
            Some(Err(error @ DbError::Unavailable(_))) => {
                let age = self.without_moray(error)?;
                self.stale_view(uuid, known(), age).ok_or_else(|| DbError::Unavailable(NotInMemory.into()))
            }
            Some(answer) => answer.map(Found::current),
            None => match known() {
                Some(view) => Ok(Found::current(Some(view))),
                None => self.look_up(uuid).await.map(Found::current),
            },
        }
    }

    /// Returns what is known of an image while Moray is unavailable; `None` if it is unknown, because another process
    /// may have created it since.
    fn stale_view(
        &self,
        uuid: Uuid,
        value: Option<Arc<View>>,
        age: Duration,
    ) -> Option<Found<Option<Arc<View>>>> {
        let is_known = value.is_some() || self.replica.is_damaged(uuid);
        is_known.then_some(Found { value, stale: Some(age) })
    }

    async fn freshness(&self) -> Result<Freshness, DbError> {
        self.replica.freshness().await.map_err(|error| DbError::Unavailable(error.into()))
    }

    /// Looks up an image that the replica does not have or may have in an outdated version: another process may have created or
    /// changed it within the last second. If too many look-ups are in progress, it waits for the next round instead.
    async fn look_up(&self, uuid: Uuid) -> Result<Option<Arc<View>>, DbError> {
        if self.replica.is_damaged(uuid) {
            return Ok(None);
        }
        if let Some(_permit) = self.replica.lookup_permit() {
            return self.get_view(uuid).await;
        }
        if self.replica.next_round().await {
            return Ok(self.replica.index().get(uuid));
        }
        Err(DbError::Unavailable(NotInMemory.into()))
    }

    pub(super) async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<Found<ListAnswer>, DbError> {
        let asked = match self.freshness().await? {
            Freshness::Fresh => None,
            Freshness::Late if self.replica.next_round().await => None,
            Freshness::Late | Freshness::Incomplete => {
                self.replica.unless_complete(RequestKind::List, self.search(query, form)).await
            }
            Freshness::Stale(age) => {
                return Ok(Found { value: self.replica.list(query, form).await?, stale: Some(age) });
            }
        };
        let stale = match asked {
            None => None,
            Some(Err(error @ DbError::Unavailable(_))) => Some(self.without_moray(error)?),
            Some(answer) => return answer.map(Found::current),
        };
        Ok(Found { value: self.replica.list(query, form).await?, stale })
    }

    /// Returns the age of the replica, if a read may use it instead of returning this error.
    fn without_moray(&self, error: DbError) -> Result<Duration, DbError> {
        match self.replica.without_moray() {
            Ok(Freshness::Stale(age)) => Ok(age),
            _ => Err(error),
        }
    }

    pub(super) async fn insert(&self, image: &Image) -> Result<(), DbError> {
        self.put(image, None).await
    }

    pub(super) async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        self.put(image, Some(etag)).await
    }

    /// Puts a record in the place of the version `replaced`, or of none.
    async fn put(&self, image: &Image, replaced: Option<&str>) -> Result<(), DbError> {
        let precondition =
            replaced.map_or(Precondition::MustNotExist, |etag| Precondition::Etag(etag.to_owned()));
        let options = PutOptions { precondition, ..PutOptions::default() };
        let key = image.uuid().to_string();
        let sent = self.replica.ticket();
        let put = self.bucket.client.put_object(BUCKET, &key, image.record(), &options);
        let put = self.bucket.timed("put", put).await.map_err(failed);
        if matches!(put, Err(DbError::OutcomeUnknown(_))) {
            self.replica.read_back(image.uuid()).await;
        }
        let etag = put?;
        self.replica.wrote(sent, image, replaced, etag).await;
        Ok(())
    }

    /// Makes all writes in one transaction. The origins become new versions.
    pub(super) async fn put_with_origins(
        &self,
        image: &Image,
        replaced: Option<&str>,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        self.write_all(None, &Write::with_origins(image, replaced, origins)?).await
    }

    pub(super) async fn delete(&self, old: &Deletion<'_>) -> Result<(), DbError> {
        match self.write_all(Some(old), &[]).await {
            // If the record is gone, it does not matter which of two requests deleted it.
            Err(DbError::OutcomeUnknown(_)) if matches!(self.get_row(old.uuid).await, Ok(None)) => Ok(()),
            deleted => deleted,
        }
    }

    /// Returns what the last deletion of an image has noted, from Moray itself.
    pub(super) async fn last_manifest(&self, uuid: Uuid) -> Result<Option<String>, DbError> {
        let bucket = self.bucket.clone();
        let row = self.ask(async move { bucket.get(DELETIONS, &uuid.to_string()).await }).await?;
        Ok(row.and_then(|row| Bucket::noted_manifest(&row)))
    }

    /// Makes all writes in one transaction.
    pub(super) async fn rename(
        &self,
        image: &Image,
        old: &Deletion<'_>,
        origins: &[Stored],
    ) -> Result<(), DbError> {
        self.write_all(Some(old), &Write::with_origins(image, None, origins)?).await
    }

    /// Deletes this version, if one is given, and then makes these writes: all, or none.
    async fn write_all(&self, deleted: Option<&Deletion<'_>>, writes: &[Write]) -> Result<(), DbError> {
        // The delete comes first, because two records may share the unique `urn`.
        let mut requests = Vec::with_capacity(2 + writes.len());
        requests.extend(deleted.map(|old| {
            BatchRequest::delete(BUCKET, old.uuid.to_string(), Precondition::Etag(old.etag.to_owned()))
        }));
        for write in writes {
            requests.push(write.request()?);
        }
        // Other processes look for this note.
        if let Some(old) = deleted {
            requests.push(Bucket::note_deletion(old).map_err(failed)?);
        }
        let sent = self.replica.ticket();
        let options = CallOptions::default();
        let made = match self.bucket.timed("batch", self.bucket.client.batch(&requests, &options)).await {
            Err(error) if is_no_object(&error) => return Err(DbError::Conflict),
            made => made.map_err(failed),
        };
        let uuids = writes.iter().map(|write| write.image.uuid()).chain(deleted.map(|old| old.uuid));
        if matches!(made, Err(DbError::OutcomeUnknown(_))) {
            for uuid in uuids {
                self.replica.read_back(uuid).await;
            }
        }
        let put = made?.into_iter().filter(|item| item.bucket == BUCKET);
        let mut etags: HashMap<_, _> = put.filter_map(|item| item.key.zip(item.etag)).collect();
        for Write { image, replaced } in writes {
            let etag = etags.remove(&image.uuid().to_string()).unwrap_or_default();
            self.replica.wrote(sent, image, replaced.as_deref(), etag).await;
        }
        if let Some(old) = deleted {
            self.replica.deleted(sent, old.uuid, old.etag).await;
        }
        Ok(())
    }

    /// Returns the image, from Moray itself.
    async fn get_view(&self, uuid: Uuid) -> Result<Option<Arc<View>>, DbError> {
        let Some(stored) = self.get(uuid).await? else { return Ok(None) };
        Ok(blocking(move || stored.view()).await?.map(Arc::new))
    }

    pub(super) async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        let bucket = self.bucket.clone();
        let find = async move {
            let (filter, options) = (filter::with_origin(uuid), FindOptions::default());
            bucket.timed("find", bucket.client.find_all(BUCKET, &filter, &options)).await
        };
        let rows = self.ask(find).await?;
        Ok(rows.iter().filter_map(|row| row.key.parse().ok()).collect())
    }

    /// Returns the dependents of this version of an image from memory; `None` if memory may not have all of them yet.
    pub(super) async fn known_dependents(&self, stored: &Stored) -> Result<Option<Vec<Uuid>>, DbError> {
        self.replica.dependents(stored.image.uuid(), &stored.etag).await
    }

    pub(super) async fn filtered(&self, wanted: fn(&View) -> bool) -> Result<Vec<Arc<View>>, DbError> {
        self.replica.filtered(wanted).await
    }

    pub(super) async fn probe(&self) -> Result<(), DbError> {
        self.bucket.probe().await.map_err(failed)
    }

    pub(super) fn status(&self) -> Status {
        self.replica.status()
    }

    pub(super) fn connections(&self) -> usize {
        self.bucket.client.state().connections
    }

    pub(super) async fn close(&self, limit: Duration) {
        self.replica.stop();
        self.bucket.client.close(limit).await;
    }
}

/// One of several records that are written together, in the place of the version `replaced`, or of none.
struct Write {
    image: Image,
    replaced: Option<String>,
}

impl Write {
    fn new(image: &Image, replaced: Option<&str>) -> Write {
        Write { image: image.clone(), replaced: replaced.map(str::to_owned) }
    }

    /// Returns the writes of a record and of new versions of its origins, in a fixed order, so that transactions in Moray cannot
    /// deadlock.
    fn with_origins(
        image: &Image,
        replaced: Option<&str>,
        origins: &[Stored],
    ) -> Result<Vec<Write>, DbError> {
        let mut writes = vec![Write::new(image, replaced)];
        for origin in origins {
            writes.push(Write::fence(origin)?);
        }
        writes.sort_by_key(|write| write.image.uuid());
        Ok(writes)
    }

    /// Makes the record another version without changing its content.
    fn fence(stored: &Stored) -> Result<Write, DbError> {
        let invalid = |problems: Vec<FieldError>| DbError::Failed(format!("{problems:?}").into());
        Ok(Write { image: stored.image.fenced().map_err(invalid)?, replaced: Some(stored.etag.clone()) })
    }

    fn request(&self) -> Result<BatchRequest, DbError> {
        let precondition = self.replaced.clone().map_or(Precondition::MustNotExist, Precondition::Etag);
        let key = self.image.uuid().to_string();
        BatchRequest::put(BUCKET, key, self.image.record(), precondition).map_err(failed)
    }
}

/// Returns the bucket that the configuration names. The connection is made in the background.
fn connect(config: &config::Moray, metrics: Arc<Metrics>) -> Bucket {
    let host = config.host.clone();
    let port = config.port;
    // A domain may have SRV records for Moray's processes. An address or a simple host name has none.
    let is_domain = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    let endpoint = if is_domain {
        Endpoint::Srv { domain: host, fallback_port: port }
    } else {
        Endpoint::Direct { host, port }
    };
    let mut client = moray::Config::new(endpoint);
    client.connect_timeout = config.connect_timeout;
    Bucket::new(Client::new(client), metrics)
}

/// Moray does not answer.
#[derive(Debug, thiserror::Error)]
#[error("moray does not answer")]
struct MorayUnavailable;

/// Moray does not answer, and the image is not in memory.
#[derive(Debug, thiserror::Error)]
#[error("moray is away, and the image is not in memory")]
struct NotInMemory;

/// Loads the record of an object. An invalid one is logged.
fn load(object: &Object, rules: Rules) -> Option<Stored> {
    let record = match object.value_as::<Record>() {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(uuid = object.key, err.json = %err(&error), "a stored image is no JSON object");
            return None;
        }
    };
    match Image::load(record, rules) {
        Ok(image) => Some(Stored { image, etag: object.etag.clone() }),
        Err(problems) => {
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            tracing::warn!(uuid = object.key, fields = fields.join(", "), "a stored image is not valid");
            None
        }
    }
}

fn failed(error: Error) -> DbError {
    if error.is_outcome_unknown() {
        DbError::OutcomeUnknown(error.into())
    } else if error.server_kind() == Some(moray::ServerErrorKind::UniqueAttribute) {
        DbError::NotUnique
    } else if error.server_kind() == Some(moray::ServerErrorKind::Unstorable) {
        DbError::Unstorable(error.into())
    } else if error.is_conflict() {
        DbError::Conflict
    } else if error.is_transient() || error.is_not_found() {
        // Without its bucket the database is not ready yet. The bucket is created in the background.
        DbError::Unavailable(error.into())
    } else {
        DbError::Failed(error.into())
    }
}
