// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is known of every row of the bucket, and which of two pieces of knowledge is the newer one.
//!
//! A query shows the bucket at some moment while it runs, and a write of this process happens at some moment before its
//! answer. Neither says when. So every change of a row here has a number, and the moment before a query or a write is
//! sent has that of the last one: a [`Ticket`]. What a query shows may be older than a row that has changed here since the
//! query was sent; and a row that has not changed here since before a write was sent is older than that write.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::manifest::Uuid;

/// How long after a version of another process has become known everything that happened before it is known, too: longer than any
/// transaction takes, and clocks differ, and until the rows are counted again.
const SETTLING: Duration = Duration::from_secs(600);
/// How long a removal is remembered: longer than any query takes.
const MEMORY: Duration = Duration::from_secs(60);

/// A key of the bucket. Images have their UUID; what else there may be is only counted.
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

/// The moment before something was sent to Moray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::db::moray) struct Ticket(u64);

/// Gives the numbers. Apart from the rows, so that nobody has to wait for one.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// To be taken before a query or a write is sent.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.0.load(Ordering::Acquire))
    }

    /// The number of a change.
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

/// The text of a record, or why it cannot be used.
pub(super) type Content = Result<Arc<str>, String>;

#[derive(Debug)]
struct Row {
    /// Unknown for what this process inserted until a query shows it; so is the time for what it wrote.
    id: Option<u64>,
    mtime: Option<i64>,
    etag: Box<str>,
    /// The text of the record, if it can be used.
    record: Option<Arc<str>>,
    /// When it was last changed here.
    changed: u64,
    /// From when on it is settled: see [`Rows::is_settled`].
    settled: Instant,
    /// The version in whose place a query has put this one, and from when on that was settled.
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
pub(super) enum Verdict {
    /// It is there already.
    Known,
    /// It is older than what is there, or may be.
    Old,
    /// It is to be taken.
    New,
}

/// What to do about a write of this process that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is the newest, and to be taken.
    Newest,
    /// A query was faster and has brought it already.
    Known,
    /// A query has brought something else meanwhile, and which is newer cannot be told: the row has to be read.
    Unclear,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<Key, Row>,
    removed: HashMap<Key, (u64, Instant)>,
    /// Rows without an `_id`.
    unseen: HashSet<Key>,
    /// Rows of which a query has shown another version than is known, and it cannot be told which one is newer.
    unclear: HashSet<Key>,
    damaged: BTreeMap<Key, String>,
    /// The greatest `_id` that was ever known.
    top: u64,
    clock: Arc<Clock>,
}

impl Rows {
    /// No rows yet.
    pub(super) fn new(clock: Arc<Clock>) -> Rows {
        Rows { clock, ..Rows::default() }
    }

    /// All rows, from queries that showed all of them. What changes from here on is newer.
    pub(super) fn loaded(clock: Arc<Clock>, rows: impl IntoIterator<Item = (Key, Version, Content)>) -> Rows {
        let mut loaded = Rows::new(clock);
        let changed = loaded.clock.next();
        for (key, version, content) in rows {
            loaded.put_version(key, version, content, changed);
        }
        let newest = loaded.rows.values().filter_map(|row| row.mtime).max().unwrap_or_default();
        for row in loaded.rows.values_mut() {
            // What was written long before the others settled before.
            let age = u64::try_from(newest - row.mtime.unwrap_or(newest)).unwrap_or_default();
            row.settled =
                row.settled.checked_sub(Duration::from_millis(age).min(SETTLING)).unwrap_or(row.settled);
        }
        loaded
    }

    /// The greatest `_id` that was ever known. Rows that are inserted from now on get greater ones, but for those whose
    /// transaction has begun already.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    /// How many rows have an `_id` up to `top`.
    pub(super) fn count_up_to(&self, top: u64) -> usize {
        if top >= self.top {
            return self.rows.len() - self.unseen.len();
        }
        self.rows.values().filter(|row| row.id.is_some_and(|id| id <= top)).count()
    }

    /// Why rows cannot be used, by key.
    pub(super) fn damaged(&self) -> &BTreeMap<Key, String> {
        &self.damaged
    }

    /// Judges a version that a query shows which was sent at `sent`. What is only known better now is noted.
    pub(super) fn judge(&mut self, sent: Ticket, key: &Key, version: &Version) -> Verdict {
        if self.removed.get(key).is_some_and(|(at, _)| *at > sent.0) {
            self.unclear.insert(key.clone());
            return Verdict::Old;
        }
        self.unclear.remove(key);
        let Some(row) = self.rows.get_mut(key) else { return Verdict::New };
        if row.etag == version.etag && row.mtime.is_none_or(|mtime| mtime == version.mtime) {
            row.id = Some(version.id);
            row.mtime = Some(version.mtime);
            self.unseen.remove(key);
            self.top = self.top.max(version.id);
            return Verdict::Known;
        }
        if row.changed > sent.0 {
            self.unclear.insert(key.clone());
            return Verdict::Old;
        }
        Verdict::New
    }

    /// Notes a version that was judged new.
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

    /// Judges a put of this process that was answered with `etag`. It was sent at `sent`, in the place of the version
    /// `replaced`; or of none. If it is the newest it is noted.
    pub(super) fn wrote(
        &mut self,
        sent: Ticket,
        key: &Key,
        replaced: Option<&str>,
        etag: &str,
        record: Arc<str>,
    ) -> Written {
        let now = Instant::now();
        let settled = match (replaced, self.rows.get(key)) {
            // Before an image is there, nobody names it as an origin; whoever imports several begins with the origins.
            (None, _) => now,
            (Some(replaced), Some(row)) if *row.etag == *replaced => row.settled,
            _ => now + SETTLING,
        };
        let (is_older, id) = match self.rows.get_mut(key) {
            // A query was faster than the answer, and took the version for that of another process.
            Some(row) if *row.etag == *etag => {
                let settled = match (replaced, &row.before) {
                    (None, _) => Some(now),
                    (Some(replaced), Some((before, settled))) if **before == *replaced => Some(*settled),
                    _ => None,
                };
                row.settled = settled.unwrap_or(row.settled).min(row.settled);
                return Written::Known;
            }
            Some(row) => (row.changed <= sent.0 || replaced == Some(&*row.etag), replaced.and(row.id)),
            None => (self.removed.get(key).is_none_or(|(at, _)| *at <= sent.0), None),
        };
        if !is_older {
            return Written::Unclear;
        }
        if id.is_none() {
            self.unseen.insert(key.clone());
        }
        let changed = self.clock.next();
        let row =
            Row { id, mtime: None, etag: etag.into(), record: Some(record), changed, settled, before: None };
        self.put(key.clone(), row, None);
        Written::Newest
    }

    /// Judges a delete of this process that was sent at `sent` and answered, of the version `deleted`. If it is the
    /// newest it is noted.
    pub(super) fn deleted(&mut self, sent: Ticket, key: &Key, deleted: &str) -> Written {
        match self.rows.get(key) {
            Some(row) if row.changed > sent.0 && *row.etag != *deleted => return Written::Unclear,
            Some(_) => {}
            None => {
                self.note_removal(key.clone());
                return Written::Known;
            }
        }
        self.remove(key);
        Written::Newest
    }

    /// Removes a row that a query sent at `sent` did not show, although it shows all there are. Whether it was
    /// removed: it stays if it may be newer. Where the query was for a range of `_id`s, `id` is the one in it that the row
    /// was known to have: under another one, or none that is known yet, it is a row that was made anew, and elsewhere.
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

    /// Forgets removals of long ago.
    pub(super) fn forget(&mut self) {
        self.removed.retain(|_, (_, at)| at.elapsed() < MEMORY);
    }

    /// Rows that have to be read one by one: those that this process has written and no query has shown, although one
    /// that was sent at `sent` should have; and those that are not clear.
    pub(super) fn to_be_read(&self, sent: Ticket) -> Vec<Key> {
        let due = |key: &&Key| self.rows.get(*key).is_some_and(|row| row.changed <= sent.0);
        self.unseen.iter().filter(due).chain(&self.unclear).cloned().collect()
    }

    /// The text of the record of this key, and its etag, if it is known and can be used.
    pub(super) fn record(&self, key: &Key) -> Option<(Arc<str>, &str)> {
        self.rows.get(key).and_then(|row| Some((Arc::clone(row.record.as_ref()?), &*row.etag)))
    }

    /// Whether this version is the one that is known, and everything is that happened before it. Of what other processes write,
    /// something may be known before what was written along with it, or earlier: a transaction may have waited, and clocks
    /// differ. So a version of theirs settles when it has been known for long; and one of this process was settled when it was
    /// made, if that was in the place of one that is.
    pub(super) fn is_settled(&self, key: &Key, etag: &str) -> bool {
        let row = self.rows.get(key).filter(|row| *row.etag == *etag);
        row.is_some_and(|row| row.settled <= Instant::now())
    }

    /// Whether there is a row of this key.
    pub(super) fn is_known(&self, key: &Key) -> bool {
        self.rows.contains_key(key)
    }

    /// Rows whose time of the last write is `mtime` or later, with that time.
    pub(super) fn written_since(&self, mtime: i64) -> Vec<(Key, i64)> {
        let written = |row: &Row| row.mtime.filter(|at| *at >= mtime);
        self.rows.iter().filter_map(|(key, row)| Some((key.clone(), written(row)?))).collect()
    }

    /// The `_id`s of the rows that have one up to `top`, in ascending order, with their keys.
    pub(super) fn ids(&self, top: u64) -> Vec<(u64, Key)> {
        let in_range = |row: &Row| row.id.filter(|id| *id <= top);
        let mut ids: Vec<_> =
            self.rows.iter().filter_map(|(key, row)| Some((in_range(row)?, key.clone()))).collect();
        ids.sort_unstable();
        ids
    }
}
