use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::{ApiError, ApiResult, App, Code};
use crate::config::ChannelId;
use crate::manifest::list::{ListQuery, Marker, scopes};
use crate::manifest::{Image, Uuid};

/// Most images of an answer to a query without a limit. Clients page on from the last one.
const DEFAULT_LIMIT: u64 = 1000;

/// The images that a query selects in a channel, in its order.
pub async fn list(app: &App, query: ListQuery, channel: Option<ChannelId>) -> ApiResult<Vec<Image>> {
    let query = &ListQuery { channel: app.channel_name(channel), ..query };
    let marker = marker_time(app, query).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let scopes = scopes(query, marker.as_deref());
    let found = try_join_all(scopes.iter().map(|scope| app.db.find(scope, query.sort, limit))).await?;

    // Each scope has its first `limit` images, so the first `limit` of all are among them.
    let union: HashMap<Uuid, Image> =
        found.into_iter().flatten().map(|image| (image.uuid(), image)).collect();
    let mut images: Vec<Image> = union.into_values().collect();
    images.sort_unstable_by(|a, b| query.sort.order(a, b));
    images.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(images)
}

/// Where the page begins: a time, or the time at which the named image was published, whoever may see it. An image
/// that was not published is no marker, as in 4.13.1.
async fn marker_time(app: &App, query: &ListQuery) -> ApiResult<Option<String>> {
    match &query.marker {
        None => Ok(None),
        Some(Marker::Time(time)) => Ok(Some(time.clone())),
        Some(Marker::Image(uuid)) => match app.db.get(*uuid).await? {
            Some(stored) => Ok(stored.image.published_at().map(str::to_owned)),
            None => Err(ApiError::new(Code::ResourceNotFound, format!("marker image {uuid} does not exist"))),
        },
    }
}
