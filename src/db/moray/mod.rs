//! Manifests in Moray: one bucket, keyed by UUID, with the indexes of 4.13.1.

mod bucket;
mod filter;
mod search;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moray::{
    BatchRequest, CallOptions, Client, DeleteOptions, Endpoint, Error, FindOptions, Object, Precondition,
    PutOptions,
};

use super::{DbError, Found, ListAnswer, Status, Stored, blocking};
use crate::config;
use crate::manifest::list::ListQuery;
use crate::manifest::{ApiForm, Image, Record, Rules, Uuid, View};
use crate::telemetry::{Metrics, err};

use bucket::make_bucket;

const BUCKET: &str = "imgapi_images";

/// Most images of an answer to a query without a limit. Clients page on from the last one.
const DEFAULT_LIMIT: usize = 1000;

/// Manifests in the Moray of a datacenter.
#[derive(Debug, Clone)]
pub struct MorayDatabase {
    client: Client,
    rules: Rules,
    metrics: Arc<Metrics>,
}

impl MorayDatabase {
    /// Connects in the background, and makes the bucket when it is missing. To be called within the runtime.
    pub fn new(config: &config::Moray, rules: Rules, metrics: Arc<Metrics>) -> MorayDatabase {
        let host = config.host.clone();
        let port = config.port;
        // A domain may have SRV records for the processes of Moray; an address or a plain host has none.
        let is_domain = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
        let endpoint = if is_domain {
            Endpoint::Srv { domain: host, fallback_port: port }
        } else {
            Endpoint::Direct { host, port }
        };
        let mut client = moray::Config::new(endpoint);
        client.connect_timeout = config.connect_timeout;
        let database = MorayDatabase { client: Client::new(client), rules, metrics };
        tokio::spawn(make_bucket(database.client.clone()));
        database
    }

    /// The record of `uuid`. One that is not valid does not exist for clients, as in 4.13.1, and is logged.
    pub(super) async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        let key = uuid.to_string();
        let got = self.timed("get", self.client.get_object(BUCKET, &key, &CallOptions::default())).await;
        match got {
            Ok(object) => Ok(load(&object, self.rules)),
            Err(error) if is_no_object(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a new record. A `Conflict` means that the UUID is taken.
    pub(super) async fn insert(&self, image: &Image) -> Result<(), DbError> {
        self.put(image, Precondition::MustNotExist).await
    }

    /// Stores a changed record in the place of the version that `etag` names.
    pub(super) async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        self.put(image, Precondition::Etag(etag.to_owned())).await
    }

    async fn put(&self, image: &Image, precondition: Precondition) -> Result<(), DbError> {
        let options = PutOptions { precondition, ..PutOptions::default() };
        let key = image.uuid().to_string();
        let put = self.client.put_object(BUCKET, &key, image.record(), &options);
        self.timed("put", put).await.map(drop).map_err(failed)
    }

    /// Deletes the version of the record that `etag` names. One that is gone already is a `Conflict`.
    pub(super) async fn delete(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        let options =
            DeleteOptions { precondition: Precondition::Etag(etag.to_owned()), ..DeleteOptions::default() };
        let key = uuid.to_string();
        match self.timed("delete", self.client.del_object(BUCKET, &key, &options)).await {
            Err(error) if is_no_object(&error) => Err(DbError::Conflict),
            result => result.map_err(failed),
        }
    }

    /// In one transaction.
    pub(super) async fn rename(&self, image: &Image, old: Uuid, etag: &str) -> Result<(), DbError> {
        // In this order: the two records may share the unique `urn`.
        let requests = [
            BatchRequest::delete(BUCKET, old.to_string(), Precondition::Etag(etag.to_owned())),
            BatchRequest::put(BUCKET, image.uuid().to_string(), image.record(), Precondition::MustNotExist)
                .map_err(failed)?,
        ];
        match self.timed("batch", self.client.batch(&requests, &CallOptions::default())).await {
            Err(error) if is_no_object(&error) => Err(DbError::Conflict),
            result => result.map(drop).map_err(failed),
        }
    }

    pub(super) async fn view(&self, uuid: Uuid) -> Result<Found<Option<Arc<View>>>, DbError> {
        self.get_view(uuid).await.map(Found::current)
    }

    pub(super) async fn list(&self, query: &ListQuery, form: ApiForm) -> Result<Found<ListAnswer>, DbError> {
        self.search(query, form).await.map(Found::current)
    }

    pub(super) fn status(&self) -> Status {
        Status { images: None, age: None, damaged: Vec::new() }
    }

    /// The image, from Moray itself.
    async fn get_view(&self, uuid: Uuid) -> Result<Option<Arc<View>>, DbError> {
        let Some(stored) = self.get(uuid).await? else { return Ok(None) };
        Ok(blocking(move || stored.view()).await?.map(Arc::new))
    }

    /// UUIDs of the images, valid or not, whose origin is `uuid`: the first thousand of them.
    pub(super) async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        let filter = filter::with_origin(uuid);
        let rows = self.timed("find", self.client.find_all(BUCKET, &filter, &FindOptions::default())).await;
        Ok(rows.map_err(failed)?.iter().filter_map(|row| row.key.parse().ok()).collect())
    }

    /// Open connections to Moray.
    pub(super) fn connections(&self) -> usize {
        self.client.state().connections
    }

    /// Ends the connections, waiting up to `limit` for calls under way.
    pub(super) async fn close(&self, limit: Duration) {
        self.client.close(limit).await;
    }

    async fn timed<T>(&self, op: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let started = Instant::now();
        let result = call.await;
        self.metrics.observe_backend("moray", op, outcome(&result), started.elapsed());
        result
    }
}

/// The record of an object, if it is valid; it is logged if it is not.
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

fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) if error.is_not_found() => "not_found",
        Err(error) if error.is_conflict() => "conflict",
        Err(error) if error.is_transient() => "unavailable",
        Err(_) => "error",
    }
}

fn is_no_object(error: &Error) -> bool {
    error.server_kind() == Some(moray::ServerErrorKind::ObjectNotFound)
}

fn failed(error: Error) -> DbError {
    if error.is_outcome_unknown() {
        DbError::OutcomeUnknown(error.into())
    } else if error.server_kind() == Some(moray::ServerErrorKind::UniqueAttribute) {
        DbError::NotUnique
    } else if error.is_conflict() {
        DbError::Conflict
    } else if error.is_transient() || error.is_not_found() {
        // Without its bucket the database is not ready yet: it is made in the background.
        DbError::Unavailable(error.into())
    } else {
        DbError::Failed(error.into())
    }
}
