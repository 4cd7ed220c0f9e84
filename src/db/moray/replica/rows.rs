// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is known of every row of the bucket, and which of two versions of a row is newer.
//!
//! A query shows the bucket at some moment while it runs, and a write of this process takes effect at some moment before its
//! answer. Neither moment is known. So every change of a row here gets a number, and a [`Ticket`] holds the number of the last
//! change before a query or a write was sent. A query's result may be older than a row that has changed here since the query
//! was sent. A row that has not changed here since before a write was sent is older than that write.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::manifest::Uuid;

/// How long after a version of another process became known everything that happened before it is known, too. It is
/// longer than any transaction, any difference of clocks, and the time between two counts of the rows.
const SETTLING: Duration = Duration::from_secs(600);
/// How long a removal is remembered: longer than any query takes.
const MEMORY: Duration = Duration::from_secs(60);

/// A key of the bucket. An image's key is its UUID; any other rows are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Image(Uuid),
    Other(Box<str>),
}

impl Key {
    pub(super) fn of(text: &str) -> Key {
        text.parse().map_or_else(|_| Key::Other(text.into()), Key::Image)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Image(uuid) => uuid.fmt(f),
            Key::Other(text) => text.fmt(f),
        }
    }
}

/// The number of the last change before something was sent to Moray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::db::moray) struct Ticket(u64);

/// Assigns the numbers of changes. It is separate from the rows, so that no ticket has to wait for their lock.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// Returns a ticket, which must be taken before a query or a write is sent.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.0.load(Ordering::Acquire))
    }

    /// Returns the number of a new change.
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// A version of a row, as a query shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// `_id`.
    pub(super) id: u64,
    /// `_mtime`.
    pub(super) mtime: i64,
    /// `_etag`.
    pub(super) etag: Box<str>,
}

/// The text of a record, or why the record cannot be used.
pub(super) type Content = Result<Arc<str>, String>;

#[derive(Debug)]
struct Row {
    /// Unknown for a row that this process inserted, until a query shows it. The same holds for `mtime` after any write
    /// of this process.
    id: Option<u64>,
    mtime: Option<i64>,
    etag: Box<str>,
    /// The text of the record, if the record can be used.
    record: Option<Arc<str>>,
    /// The number of the row's last change here.
    changed: u64,
    /// When the version becomes settled; see [`Rows::is_settled`].
    settled: Instant,
    /// The version that a query's result replaced by this one, and when that version became settled.
    before: Option<(Box<str>, Instant)>,
}

impl Row {
    fn of(version: Version, record: Option<Arc<str>>, changed: u64) -> Row {
        let Version { id, mtime, etag } = version;
        let settled = Instant::now() + SETTLING;
        Row { id: Some(id), mtime: Some(mtime), etag, record, changed, settled, before: None }
    }
}

/// What to do about a version that a query shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionAction {
    /// Nothing: the version is known already.
    Known,
    /// Nothing: the version is, or may be, older than the known one.
    Old,
    /// Apply it.
    New,
}

/// What to do about a write of this process that Moray has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteAction {
    /// Apply it: it is the newest version.
    Newest,
    /// Nothing: a query has shown it already.
    Known,
    /// Read the row: a query has shown another version in the meantime, and it is unclear which one is newer.
    Unclear,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<Key, Row>,
    removed: HashMap<Key, (u64, Instant)>,
    /// Rows without an `_id`.
    unseen: HashSet<Key>,
    /// Rows for which a query has shown another version than the known one, and it is unclear which one is newer.
    unclear: HashSet<Key>,
    damaged: BTreeMap<Key, String>,
    /// The greatest `_id` that was ever known.
    top: u64,
    clock: Arc<Clock>,
}

impl Rows {
    /// Starts without rows.
    pub(super) fn new(clock: Arc<Clock>) -> Rows {
        Rows { clock, ..Rows::default() }
    }

    /// Starts with all rows, from queries that covered all of them. Later changes are newer.
    pub(super) fn loaded(clock: Arc<Clock>, rows: impl IntoIterator<Item = (Key, Version, Content)>) -> Rows {
        let mut loaded = Rows::new(clock);
        let changed = loaded.clock.next();
        for (key, version, content) in rows {
            loaded.put_version(key, version, content, changed);
        }
        let newest = loaded.rows.values().filter_map(|row| row.mtime).max().unwrap_or_default();
        for row in loaded.rows.values_mut() {
            // Rows that were written long before the newest one settled correspondingly earlier.
            let age = u64::try_from(newest - row.mtime.unwrap_or(newest)).unwrap_or_default();
            row.settled =
                row.settled.checked_sub(Duration::from_millis(age).min(SETTLING)).unwrap_or(row.settled);
        }
        loaded
    }

    /// Returns the greatest `_id` that was ever known. Rows inserted from now on get greater ones, except in
    /// transactions that have begun already.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// Returns how many rows have an `_id` up to `top`.
    pub(super) fn count_up_to(&self, top: u64) -> usize {
        if top >= self.top {
            return self.rows.len() - self.unseen.len();
        }
        self.rows.values().filter(|row| row.id.is_some_and(|id| id <= top)).count()
    }

    /// Returns why rows cannot be used, by key.
    pub(super) fn damaged(&self) -> &BTreeMap<Key, String> {
        &self.damaged
    }

    /// Judges a version in the result of a query that was sent at `sent`. If the version is known, its `_id` and time
    /// are updated.
    pub(super) fn judge(&mut self, sent: Ticket, key: &Key, version: &Version) -> VersionAction {
        if self.removed.get(key).is_some_and(|(at, _)| *at > sent.0) {
            self.unclear.insert(key.clone());
            return VersionAction::Old;
        }
        self.unclear.remove(key);
        let Some(row) = self.rows.get_mut(key) else { return VersionAction::New };
        if row.etag == version.etag && row.mtime.is_none_or(|mtime| mtime == version.mtime) {
            row.id = Some(version.id);
            row.mtime = Some(version.mtime);
            self.unseen.remove(key);
            self.top = self.top.max(version.id);
            return VersionAction::Known;
        }
        if row.changed > sent.0 {
            self.unclear.insert(key.clone());
            return VersionAction::Old;
        }
        VersionAction::New
    }

    /// Stores a version that was judged new.
    pub(super) fn set(&mut self, key: Key, version: Version, content: Content) {
        let changed = self.clock.next();
        self.unseen.remove(&key);
        self.put_version(key, version, content, changed);
    }

    fn put_version(&mut self, key: Key, version: Version, content: Content, changed: u64) {
        let (record, damage) = match content {
            Ok(record) => (Some(record), None),
            Err(reason) => (None, Some(reason)),
        };
        let mut row = Row::of(version, record, changed);
        row.before = self.rows.get(&key).map(|before| (before.etag.clone(), before.settled));
        self.put(key, row, damage);
    }

    fn put(&mut self, key: Key, row: Row, damage: Option<String>) {
        match damage {
            Some(reason) => drop(self.damaged.insert(key.clone(), reason)),
            None => drop(self.damaged.remove(&key)),
        }
        self.removed.remove(&key);
        self.top = self.top.max(row.id.unwrap_or_default());
        self.rows.insert(key, row);
    }

    /// Judges a put of this process that Moray answered with `etag`. It was sent at `sent`, and replaced the version
    /// `replaced`, or none. If it is the newest version, it is stored.
    pub(super) fn wrote(
        &mut self,
        sent: Ticket,
        key: &Key,
        replaced: Option<&str>,
        etag: &str,
        record: Arc<str>,
    ) -> WriteAction {
        let now = Instant::now();
        let settled = match (replaced, self.rows.get(key)) {
            // No image can name one as its origin before that one exists; an import of several begins with the origins.
            (None, _) => now,
            (Some(replaced), Some(row)) if *row.etag == *replaced => row.settled,
            _ => now + SETTLING,
        };
        let (is_older, id) = match self.rows.get_mut(key) {
            // A query showed the version before the answer came, so it was taken for a version of another process.
            Some(row) if *row.etag == *etag => {
                let settled = match (replaced, &row.before) {
                    (None, _) => Some(now),
                    (Some(replaced), Some((before, settled))) if **before == *replaced => Some(*settled),
                    _ => None,
                };
                row.settled = settled.unwrap_or(row.settled).min(row.settled);
                return WriteAction::Known;
            }
            Some(row) => (row.changed <= sent.0 || replaced == Some(&*row.etag), replaced.and(row.id)),
            None => (self.removed.get(key).is_none_or(|(at, _)| *at <= sent.0), None),
        };
        if !is_older {
            return WriteAction::Unclear;
        }
        if id.is_none() {
            self.unseen.insert(key.clone());
        }
        let changed = self.clock.next();
        let row =
            Row { id, mtime: None, etag: etag.into(), record: Some(record), changed, settled, before: None };
        self.put(key.clone(), row, None);
        WriteAction::Newest
    }

    /// Judges an answered delete of the version `deleted` by this process, sent at `sent`. If it is the newest change,
    /// the row is removed.
    pub(super) fn deleted(&mut self, sent: Ticket, key: &Key, deleted: &str) -> WriteAction {
        match self.rows.get(key) {
            Some(row) if row.changed > sent.0 && *row.etag != *deleted => return WriteAction::Unclear,
            Some(_) => {}
            None => {
                self.note_removal(key.clone());
                return WriteAction::Known;
            }
        }
        self.remove(key);
        WriteAction::Newest
    }

    /// Removes a row that a query sent at `sent` did not show although it covered all rows, unless the row may be newer.
    /// Returns whether it was removed. If the query covered a range of `_id`s, `id` is the row's known `_id` in that range. A
    /// row whose `_id` is now another one or unknown was deleted and created again outside the range, and stays.
    pub(super) fn missing(&mut self, sent: Ticket, key: &Key, id: Option<u64>) -> bool {
        let is_older =
            self.rows.get(key).is_some_and(|row| row.changed <= sent.0 && (id.is_none() || row.id == id));
        if !self.rows.contains_key(key) {
            self.unclear.remove(key);
        }
        if is_older {
            self.remove(key);
        }
        is_older
    }

    fn remove(&mut self, key: &Key) {
        self.rows.remove(key);
        self.damaged.remove(key);
        self.unseen.remove(key);
        self.unclear.remove(key);
        self.note_removal(key.clone());
    }

    fn note_removal(&mut self, key: Key) {
        self.removed.insert(key, (self.clock.next(), Instant::now()));
    }

    /// Forgets old removals.
    pub(super) fn forget(&mut self) {
        self.removed.retain(|_, (_, at)| at.elapsed() < MEMORY);
    }

    /// Returns the rows that have to be read one by one: rows that this process wrote and that no query has shown
    /// although one sent at `sent` should have, and unclear rows.
    pub(super) fn to_be_read(&self, sent: Ticket) -> Vec<Key> {
        let due = |key: &&Key| self.rows.get(*key).is_some_and(|row| row.changed <= sent.0);
        self.unseen.iter().filter(due).chain(&self.unclear).cloned().collect()
    }

    /// Returns the text of the record with this key, and its etag, if it is known and can be used.
    pub(super) fn record(&self, key: &Key) -> Option<(Arc<str>, &str)> {
        self.rows.get(key).and_then(|row| Some((Arc::clone(row.record.as_ref()?), &*row.etag)))
    }

    /// Returns whether this version is the known one and everything that happened before it is known, too. A version
    /// written by another process may become known before other writes of the same or an earlier time, because
    /// transactions may wait and clocks differ. So such a version settles after a long time. A version written by this
    /// process is settled at once if it replaced a settled one.
    pub(super) fn is_settled(&self, key: &Key, etag: &str) -> bool {
        let row = self.rows.get(key).filter(|row| *row.etag == *etag);
        row.is_some_and(|row| row.settled <= Instant::now())
    }

    /// Returns whether there is a row with this key.
    pub(super) fn is_known(&self, key: &Key) -> bool {
        self.rows.contains_key(key)
    }

    /// Returns the rows that were last written at `mtime` or later, with these times.
    pub(super) fn written_since(&self, mtime: i64) -> Vec<(Key, i64)> {
        let written = |row: &Row| row.mtime.filter(|at| *at >= mtime);
        self.rows.iter().filter_map(|(key, row)| Some((key.clone(), written(row)?))).collect()
    }

    /// Returns the `_id`s up to `top`, in ascending order, with their keys.
    pub(super) fn ids(&self, top: u64) -> Vec<(u64, Key)> {
        let in_range = |row: &Row| row.id.filter(|id| *id <= top);
        let mut ids: Vec<_> =
            self.rows.iter().filter_map(|(key, row)| Some((in_range(row)?, key.clone()))).collect();
        ids.sort_unstable();
        ids
    }
}
