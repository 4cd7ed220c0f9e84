// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers lists from Moray itself, for as long as there is no replica.

use std::collections::HashSet;
use std::sync::Arc;

use moray::Object;

use super::scan::{Cursor, RowPosition};
use super::{MorayDatabase, PER_SCOPE, failed, filter, load};
use crate::db::index::{limit, part};
use crate::db::{DbError, ListAnswer, blocking, rendered};
use crate::manifest::list::{ListQuery, Marker, Matcher, SortDirection, scopes};
use crate::manifest::{ApiForm, Record, View};

/// The least and the most rows that one query asks for.
const PAGE: (usize, usize) = (16, 1000);

/// What a search has found so far.
struct Found {
    matchers: Vec<Matcher>,
    direction: SortDirection,
    limit: usize,
    views: Vec<Arc<View>>,
}

impl MorayDatabase {
    /// Returns the answer to a query, by one search for the union of its scopes.
    pub(super) async fn search(&self, query: &ListQuery, form: ApiForm) -> Result<ListAnswer, DbError> {
        let named = match query.marker {
            Some(Marker::Image(uuid)) => self.get_view(uuid).await?,
            _ => None,
        };
        let part = part(query, |_| named)?;
        let scopes = scopes(query, part);
        let mut found = Found {
            matchers: scopes.iter().map(|scope| Matcher::new(scope)).collect(),
            direction: query.sort,
            limit: limit(query, &scopes, Some(PER_SCOPE)),
            views: Vec::new(),
        };
        if let Some(wanted) = filter::of_scopes(&scopes) {
            for mut cursor in Cursor::beginnings(part, query.sort) {
                while !found.is_complete(&cursor)
                    && let Some(next) = self.read_on(&wanted, cursor, &mut found).await?
                {
                    cursor = next;
                }
            }
        }
        rendered(query.limit, move || ListAnswer::render(&found.into_views(), form)).await
    }

    /// Reads the rows at the cursor. `None` if these were the last.
    ///
    /// Moray knows neither validity nor every condition, so rows are read until enough of them match.
    async fn read_on(
        &self,
        wanted: &moray::Filter,
        cursor: Cursor,
        found: &mut Found,
    ) -> Result<Option<Cursor>, DbError> {
        let limit = found.limit.clamp(PAGE.0, PAGE.1) as u64;
        let filter = cursor.filter(wanted.clone());
        let page = self.bucket.find(&filter, cursor.order(), limit).await.map_err(failed)?;
        let rules = self.rules;
        // This runs off the runtime's threads, because a full page takes milliseconds.
        let (views, last) = blocking(move || {
            let reached = page.rows.last().and_then(reached).filter(|_| !page.is_last);
            let views = page.rows.iter().filter_map(|row| load(row, rules)?.view()).map(Arc::new);
            (views.collect::<Vec<_>>(), reached)
        })
        .await?;
        found.add(views);
        Ok(last.map(|last| cursor.after(last)))
    }
}

/// Returns the position of a row that was read.
fn reached(row: &Object) -> Option<RowPosition> {
    let record = row.value_as::<Record>().ok()?;
    // Columns of the bucket are strings, whatever was stored.
    let column = |name: &str| record.get(name)?.as_str().map(str::to_owned);
    Some(RowPosition { published_at: column("published_at").unwrap_or_default(), uuid: column("uuid")? })
}

impl Found {
    /// Adds the images that the scopes select.
    fn add(&mut self, views: Vec<Arc<View>>) {
        self.views.extend(
            views.into_iter().filter(|view| self.matchers.iter().any(|matcher| matcher.matches(view))),
        );
        self.views.sort_by(|a, b| self.direction.order(a, b));
    }

    /// Returns whether no image after the cursor can be among the first `limit`.
    fn is_complete(&self, cursor: &Cursor) -> bool {
        match self.limit.checked_sub(1).and_then(|last| self.views.get(last)) {
            Some(last) => cursor.is_behind(last.position()),
            None => false,
        }
    }

    fn into_views(self) -> Vec<Arc<View>> {
        let mut views = self.views;
        // An image that was published while rows were read may occur twice.
        let mut seen = HashSet::new();
        views.retain(|view| seen.insert(view.uuid()));
        views.truncate(self.limit);
        views
    }
}
