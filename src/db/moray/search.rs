//! Lists from Moray itself, for as long as there is no replica of it.

use std::sync::Arc;

use futures_util::future::try_join_all;
use moray::{Attribute, FindOptions, Object, Order, Sort};

use super::bucket::BUCKET;
use super::{DEFAULT_LIMIT, MorayDatabase, failed, filter, load};
use crate::db::index::{marker_time, union};
use crate::db::{DbError, ListAnswer, blocking};
use crate::manifest::list::{Condition, ListQuery, Marker, Matcher, SortDirection, scopes};
use crate::manifest::{ApiForm, View};

const UUID: Attribute = Attribute::from_static("uuid");
const PUBLISHED_AT: Attribute = Attribute::from_static("published_at");

/// Most rows asked for at once.
const PAGE: u64 = 1000;

impl MorayDatabase {
    /// The answer to a query, of as many searches as it has scopes.
    pub(super) async fn search(&self, query: &ListQuery, form: ApiForm) -> Result<ListAnswer, DbError> {
        let named = match query.marker {
            Some(Marker::Image(uuid)) => self.get_view(uuid).await?,
            _ => None,
        };
        let marker = marker_time(query, |_| named)?;
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT as u64);
        let scopes = scopes(query, marker.as_deref());
        let found = try_join_all(scopes.iter().map(|scope| self.find(scope, query.sort, limit))).await?;
        let (query, limit) = (query.clone(), usize::try_from(limit).unwrap_or(usize::MAX));
        blocking(move || ListAnswer::render(&union(found, &query, limit), form)).await
    }

    /// The first `limit` valid records that meet all conditions.
    ///
    /// Moray cuts before all conditions are applied, and knows nothing of validity; so pages are fetched until there
    /// are enough, or no more.
    async fn find(
        &self,
        scope: &[Condition],
        direction: SortDirection,
        limit: u64,
    ) -> Result<Vec<Arc<View>>, DbError> {
        let filter = filter::of_scope(scope);
        let mut options =
            FindOptions { sort: order(direction), limit: Some(limit.min(PAGE)), ..FindOptions::default() };
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            options.offset = Some(offset);
            let rows = self
                .bucket
                .timed("find", self.bucket.client.find_all(BUCKET, &filter, &options))
                .await
                .map_err(failed)?;
            let total = rows.first().and_then(|row| row.count).unwrap_or_default();
            found.extend(self.load_matching(rows, scope).await?);
            offset += limit.min(PAGE);
            if found.len() as u64 >= limit || offset >= total {
                found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(found);
            }
        }
    }

    /// Decodes and validates a page off the runtime's threads: a full one takes milliseconds.
    async fn load_matching(&self, rows: Vec<Object>, scope: &[Condition]) -> Result<Vec<Arc<View>>, DbError> {
        let (rules, matcher) = (self.rules, Matcher::new(scope));
        blocking(move || {
            let views = rows.iter().filter_map(|row| load(row, rules)?.view());
            views.filter(|view| matcher.matches(view)).map(Arc::new).collect()
        })
        .await
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
