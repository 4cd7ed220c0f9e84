// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All images of a database in memory: by UUID for GetImage, in the order of lists, and by the values that lists select by.
//!
//! Look-ups by UUID use a separate lock, which is held only for one look-up or one insertion, so that they never wait
//! for a list. Lists take longer and belong on blocking threads, and so do changes.

mod answers;
mod group;
mod order;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::manifest::list::{ListQuery, Scope, Span, scopes};
use crate::manifest::{ApiForm, Uuid, View};

use answers::Answers;
pub use answers::ListAnswer;
use order::Order;

/// A change of one image.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Adds an image, or replaces its earlier version.
    Put(Arc<View>),
    /// Removes an image.
    Remove(Uuid),
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Index {
    images: RwLock<HashMap<Uuid, Arc<View>>>,
    order: RwLock<Order>,
    answers: Answers,
    /// Incremented when a change is complete, and before any reader can see the change in `order`.
    generation: AtomicU64,
    text_bytes: AtomicUsize,
}

/// All images for an index, indexed in advance, or those that [`Index::swap`] took out of it.
#[derive(Debug)]
pub(super) struct Prepared {
    images: HashMap<Uuid, Arc<View>>,
    order: Order,
    text_bytes: usize,
}

impl Prepared {
    /// Indexes these images, whose UUIDs must be distinct. Takes long; call it on a blocking thread.
    pub(super) fn new(views: Vec<Arc<View>>) -> Prepared {
        Prepared {
            text_bytes: views.iter().map(|view| view.text_len()).sum(),
            images: views.iter().map(|view| (view.uuid(), Arc::clone(view))).collect(),
            order: Order::build(views),
        }
    }
}

/// A list cannot begin at an image that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("marker image {0} does not exist")]
pub struct NoSuchMarker(pub Uuid);

impl Index {
    /// The image with this UUID.
    pub(super) fn get(&self, uuid: Uuid) -> Option<Arc<View>> {
        read(&self.images).get(&uuid).cloned()
    }

    /// Returns the images for which `wanted` holds. Call it on a blocking thread.
    pub(super) fn filtered(&self, wanted: impl Fn(&View) -> bool) -> Vec<Arc<View>> {
        read(&self.images).values().filter(|view| wanted(view)).cloned().collect()
    }

    /// Returns the number of images.
    pub(super) fn len(&self) -> usize {
        read(&self.images).len()
    }

    /// Exchanges all images with `others`.
    pub(super) fn swap(&self, others: &mut Prepared) {
        let mut order = write(&self.order);
        std::mem::swap(&mut *write(&self.images), &mut others.images);
        std::mem::swap(&mut *order, &mut others.order);
        others.text_bytes = self.text_bytes.swap(others.text_bytes, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Makes changes, in their order. Call it on a blocking thread.
    pub(super) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            // The lock of the order comes first: concurrent changes of one image wait here, so that both maps stay consistent.
            let mut order = write(&self.order);
            let (before, after) = match change {
                Change::Put(view) => (write(&self.images).insert(view.uuid(), Arc::clone(&view)), Some(view)),
                Change::Remove(uuid) => (write(&self.images).remove(&uuid), None),
            };
            if let Some(before) = before {
                order.remove(&before);
                self.text_bytes.fetch_sub(before.text_len(), Ordering::Relaxed);
            }
            if let Some(after) = after {
                self.text_bytes.fetch_add(after.text_len(), Ordering::Relaxed);
                order.insert(&after);
            }
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns the UUIDs of the images whose origin is `uuid`.
    pub(super) fn dependents(&self, uuid: Uuid) -> Vec<Uuid> {
        read(&self.order).dependents(uuid)
    }

    /// Returns the cached answer to this query, if there is one and nothing has changed since.
    pub(super) fn answered(&self, query: &ListQuery, form: ApiForm) -> Option<ListAnswer> {
        self.answers.get(self.generation.load(Ordering::Acquire), query, form)
    }

    /// Renders the answer to a query; `default_limit` applies to a query without a limit. Takes up to some
    /// milliseconds; call it on a blocking thread.
    ///
    /// # Errors
    /// The query's marker is an image that does not exist.
    pub(super) fn list(
        &self,
        query: &ListQuery,
        form: ApiForm,
        per_scope: Option<usize>,
    ) -> Result<ListAnswer, NoSuchMarker> {
        // Read before the images are, so that a change in between makes the answer count as outdated.
        let generation = self.generation.load(Ordering::Acquire);
        let views = self.select(query, per_scope)?;
        let answer = ListAnswer::render(&views, form);
        let share = self.text_bytes.load(Ordering::Relaxed);
        self.answers.put(generation, query, form, answer.clone(), share);
        Ok(answer)
    }

    fn select(&self, query: &ListQuery, per_scope: Option<usize>) -> Result<Vec<Arc<View>>, NoSuchMarker> {
        let part = part(query, |uuid| self.get(uuid))?;
        let scopes = scopes(query, part);
        let limit = limit(query, &scopes, per_scope);
        let order = read(&self.order);
        let found = scopes.iter().map(|scope| order.select(scope, query.sort, limit));
        Ok(union(found.collect(), query, limit))
    }
}

/// Returns the span that the query's marker leaves. A marker image that the caller may not see is treated as missing.
pub(super) fn part(
    query: &ListQuery,
    get: impl FnOnce(Uuid) -> Option<Arc<View>>,
) -> Result<Span, NoSuchMarker> {
    let named = |uuid| get(uuid).filter(|view| query.may_begin_at(view));
    query.part(|uuid| named(uuid).map(|view| view.position())).map_err(NoSuchMarker)
}

/// Returns how many images the answer may have: the limit of the query, otherwise `per_scope` for each of its scopes.
pub(super) fn limit(query: &ListQuery, scopes: &[Scope], per_scope: Option<usize>) -> usize {
    let asked = query.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let usual = || per_scope.map_or(usize::MAX, |limit| limit.saturating_mul(scopes.len()));
    asked.unwrap_or_else(usual)
}

/// Returns the union of what the scopes selected, in the order of the result. Each scope contributes its first `limit`
/// images, so the first `limit` images of the union are among them.
pub(super) fn union(mut found: Vec<Vec<Arc<View>>>, query: &ListQuery, limit: usize) -> Vec<Arc<View>> {
    let mut all = match found.len() {
        1 => found.remove(0),
        _ => found.concat(),
    };
    // An image in several scopes is the same view each time, so the sort puts its copies side by side.
    all.sort_by(|a, b| query.sort.order(a, b));
    all.dedup_by_key(|view| view.uuid());
    all.truncate(limit);
    all
}

// A panic of another thread leaves no incomplete change that a reader could notice.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
