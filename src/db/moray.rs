//! Manifests in Moray: one bucket, keyed by UUID, with the indexes of 4.13.1.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moray::{
    Attribute, BatchRequest, BucketConfig, CallOptions, Client, DeleteOptions, Endpoint, Error, FindOptions,
    Index, IndexType, Object, Order, Precondition, PutOptions, Sort,
};

use super::{DbError, Stored, filter};
use crate::config;
use crate::manifest::list::{Condition, SortDirection, matches};
use crate::manifest::{Image, Record, Rules, Uuid};
use crate::telemetry::{Metrics, err};

const BUCKET: &str = "imgapi_images";

const UUID: Attribute = Attribute::from_static("uuid");
const PUBLISHED_AT: Attribute = Attribute::from_static("published_at");

/// Most rows asked for at once.
const PAGE: u64 = 1000;

const BUCKET_RETRY: Duration = Duration::from_secs(1);

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
    pub async fn get(&self, uuid: Uuid) -> Result<Option<Stored>, DbError> {
        let key = uuid.to_string();
        let got = self.timed("get", self.client.get_object(BUCKET, &key, &CallOptions::default())).await;
        match got {
            Ok(object) => Ok(load(&object, self.rules)),
            Err(error) if is_no_object(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Stores a new record. A `Conflict` means that the UUID is taken.
    pub async fn insert(&self, image: &Image) -> Result<(), DbError> {
        self.put(image, Precondition::MustNotExist).await
    }

    /// Stores a changed record in the place of the version that `etag` names.
    pub async fn replace(&self, image: &Image, etag: &str) -> Result<(), DbError> {
        self.put(image, Precondition::Etag(etag.to_owned())).await
    }

    async fn put(&self, image: &Image, precondition: Precondition) -> Result<(), DbError> {
        let options = PutOptions { precondition, ..PutOptions::default() };
        let key = image.uuid().to_string();
        let put = self.client.put_object(BUCKET, &key, image.record(), &options);
        self.timed("put", put).await.map(drop).map_err(failed)
    }

    /// Deletes the version of the record that `etag` names. One that is gone already is a `Conflict`.
    pub async fn delete(&self, uuid: Uuid, etag: &str) -> Result<(), DbError> {
        let options =
            DeleteOptions { precondition: Precondition::Etag(etag.to_owned()), ..DeleteOptions::default() };
        let key = uuid.to_string();
        match self.timed("delete", self.client.del_object(BUCKET, &key, &options)).await {
            Err(error) if is_no_object(&error) => Err(DbError::Conflict),
            result => result.map_err(failed),
        }
    }

    /// Stores `image`, whose UUID is new, in the place of the version of `old` that `etag` names, in one transaction. A
    /// `Conflict` means that the new UUID is taken, or that the old record has changed.
    pub async fn rename(&self, image: &Image, old: Uuid, etag: &str) -> Result<(), DbError> {
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

    /// The first `limit` valid records that meet all conditions.
    ///
    /// Moray cuts before all conditions are applied, and knows nothing of validity; so pages are fetched until there
    /// are enough, or no more.
    pub async fn find(
        &self,
        scope: &[Condition],
        direction: SortDirection,
        limit: u64,
    ) -> Result<Vec<Image>, DbError> {
        let filter = filter::of_scope(scope);
        let mut options =
            FindOptions { sort: order(direction), limit: Some(limit.min(PAGE)), ..FindOptions::default() };
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            options.offset = Some(offset);
            let rows =
                self.timed("find", self.client.find_all(BUCKET, &filter, &options)).await.map_err(failed)?;
            let total = rows.first().and_then(|row| row.count).unwrap_or_default();
            found.extend(self.load_matching(rows, scope).await);
            offset += limit.min(PAGE);
            if found.len() as u64 >= limit || offset >= total {
                found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(found);
            }
        }
    }

    /// UUIDs of the images, valid or not, whose origin is `uuid`: the first thousand of them.
    pub async fn dependents(&self, uuid: Uuid) -> Result<Vec<Uuid>, DbError> {
        let filter = filter::with_origin(uuid);
        let rows = self.timed("find", self.client.find_all(BUCKET, &filter, &FindOptions::default())).await;
        Ok(rows.map_err(failed)?.iter().filter_map(|row| row.key.parse().ok()).collect())
    }

    /// Open connections to Moray.
    pub fn connections(&self) -> usize {
        self.client.state().connections
    }

    /// Ends the connections, waiting up to `limit` for calls under way.
    pub async fn close(&self, limit: Duration) {
        self.client.close(limit).await;
    }

    /// Decodes and validates a page off the runtime's threads: a full one takes milliseconds.
    async fn load_matching(&self, rows: Vec<Object>, scope: &[Condition]) -> Vec<Image> {
        let (rules, scope) = (self.rules, scope.to_vec());
        let load = move || {
            let loaded = rows.iter().filter_map(|row| load(row, rules)).map(|stored| stored.image);
            loaded.filter(|image| matches(&scope, image)).collect()
        };
        // It fails only when the process is being stopped.
        tokio::task::spawn_blocking(load).await.unwrap_or_default()
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
        DbError::OutcomeUnknown(error)
    } else if error.server_kind() == Some(moray::ServerErrorKind::UniqueAttribute) {
        DbError::NotUnique
    } else if error.is_conflict() {
        DbError::Conflict
    } else if error.is_transient() || error.is_not_found() {
        // Without its bucket the database is not ready yet: it is made in the background.
        DbError::Unavailable(error)
    } else {
        DbError::Failed(error)
    }
}

/// By time of publication, and then by UUID so that pages have a fixed order.
fn order(direction: SortDirection) -> Vec<Sort> {
    let order = match direction {
        SortDirection::Ascending => Order::Ascending,
        SortDirection::Descending => Order::Descending,
    };
    vec![Sort { attribute: PUBLISHED_AT, order }, Sort { attribute: UUID, order }]
}

/// Tries until the bucket is there. An existing one is left as it is.
async fn make_bucket(client: Client) {
    while let Err(error) = bucket(&client).await {
        tracing::warn!(err.json = %err(&error), "Bucket was not loaded");
        tokio::time::sleep(BUCKET_RETRY).await;
    }
    tracing::info!("Bucket has been loaded");
}

async fn bucket(client: &Client) -> Result<(), Error> {
    match client.get_bucket(BUCKET, &CallOptions::default()).await {
        Err(error) if error.is_not_found() => {
            client.create_bucket(BUCKET, &schema(), &CallOptions::default()).await
        }
        result => result.map(drop),
    }
}

/// The bucket of 4.13.1: unversioned, without triggers.
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
