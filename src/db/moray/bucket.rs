use std::time::Duration;

use moray::{BucketConfig, CallOptions, Client, Error, Index, IndexType};

use super::BUCKET;
use crate::telemetry::err;

const RETRY: Duration = Duration::from_secs(1);

/// Tries until the bucket is there. An existing one is left as it is.
pub(super) async fn make_bucket(client: Client) {
    while let Err(error) = bucket(&client).await {
        tracing::warn!(err.json = %err(&error), "Bucket was not loaded");
        tokio::time::sleep(RETRY).await;
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
