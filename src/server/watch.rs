// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Notices changes of files, however they are made: written in place, replaced, or reached by another symbolic link.
//!
//! Every two seconds the state of the files is compared. The system's events only make that faster: they can get lost,
//! and not every system or file system has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind};
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::telemetry::err;

/// The pause between two checks without an event.
const POLL: Duration = Duration::from_secs(2);
/// A changed file is read once it has not changed for this long. The checks for that are this far apart.
const QUIET: Duration = Duration::from_millis(100);
/// The longest wait for that.
const MAX_UNREST: Duration = Duration::from_secs(2);

/// Why the configuration has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A file has changed.
    Changed,
    /// An operator or the service manager asks for it, with SIGHUP.
    Hangup,
}

/// Watches files, which need not exist.
pub(super) struct Watch {
    files: BTreeSet<PathBuf>,
    seen: Vec<Option<Stamp>>,
    events: Option<Events>,
    hangup: Signal,
    /// The pause between two checks without an event.
    poll: Duration,
}

/// The system's events about directories.
struct Events {
    watcher: RecommendedWatcher,
    /// The watched directories, and the identity of each.
    directories: BTreeMap<PathBuf, Identity>,
    arrived: Arc<Notify>,
}

/// Device and inode number of a file.
type Identity = (u64, u64);

/// A value that differs after every change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> Option<Stamp> {
        let known = fs::metadata(file).ok()?;
        Some(Stamp {
            identity: (known.dev(), known.ino()),
            size: known.size(),
            modified: (known.mtime(), known.mtime_nsec()),
            changed: (known.ctime(), known.ctime_nsec()),
        })
    }
}

impl Watch {
    /// Watches `file`, and waits for `hangup`. `with_events` enables the events of the system. The first check reports
    /// a change, because the file may have changed since it was read.
    pub(super) async fn new(file: PathBuf, hangup: Signal, with_events: bool) -> Watch {
        let events = with_events.then(Events::new).flatten();
        let mut watch = Watch { files: BTreeSet::from([file]), seen: Vec::new(), events, hangup, poll: POLL };
        watch.look().await;
        watch
    }

    /// Watches these files from now on. A file that was not watched before counts as changed if it exists.
    pub(super) fn follow(&mut self, files: BTreeSet<PathBuf>) {
        if files != self.files {
            let seen: BTreeMap<_, _> = self.files.iter().zip(&self.seen).collect();
            self.seen = files.iter().map(|file| seen.get(file).copied().copied().flatten()).collect();
            self.files = files;
        }
    }

    /// Waits until a file has changed and then stayed unchanged for a moment, or for a hangup.
    pub(super) async fn reason(&mut self) -> Reason {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => return Reason::Hangup,
                () = Events::arrival(self.events.as_ref()) => sleep(QUIET / 2).await,
                () = sleep(self.poll) => {}
            }
            let mut seen = self.look().await;
            if seen == self.seen {
                continue;
            }
            let since = Instant::now();
            while since.elapsed() < MAX_UNREST {
                sleep(QUIET).await;
                let again = self.look().await;
                if again == seen {
                    break;
                }
                seen = again;
            }
            self.seen = seen;
            return Reason::Changed;
        }
    }

    /// Waits for a hangup.
    pub(super) async fn hangup(&mut self) {
        if self.hangup.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Returns the current state of the files.
    async fn look(&mut self) -> Vec<Option<Stamp>> {
        let files = self.files.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let stamps = files.iter().map(|file| Stamp::of(file)).collect();
            (stamps, directories_of(&files))
        });
        // This fails only when the process is being stopped.
        let Ok((stamps, directories)) = looked.await else { return self.seen.clone() };
        if let Some(events) = &mut self.events {
            events.watch(directories);
        }
        stamps
    }
}

/// Returns the directories in which a change of the files becomes visible, and the identity of each: the directories of
/// the files, and those that symbolic links lead to.
fn directories_of(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Identity> {
    let real = files.iter().filter_map(|file| fs::canonicalize(file).ok());
    let parents = files.iter().cloned().chain(real).filter_map(|file| {
        let parent = file.parent()?;
        Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
    });
    let identified = parents.filter_map(|parent| {
        let known = fs::metadata(&parent).ok()?;
        Some((parent, (known.dev(), known.ino())))
    });
    identified.collect()
}

impl Events {
    /// Returns `None` if the system has no events.
    fn new() -> Option<Events> {
        if RecommendedWatcher::kind() == WatcherKind::PollWatcher {
            return None;
        }
        let arrived = Arc::new(Notify::new());
        let notify = Arc::clone(&arrived);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| tells_of_a_change(event.kind)) {
                notify.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(err.json = %err(error), "the system does not tell of changes of files: they are noticed later");
        });
        Some(Events { watcher: watcher.ok()?, directories: BTreeMap::new(), arrived })
    }

    /// Waits for the next event; for ever if there are none.
    async fn arrival(events: Option<&Events>) {
        match events {
            Some(events) => events.arrived.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Watches exactly these directories. A directory that was replaced counts as another one.
    fn watch(&mut self, wanted: BTreeMap<PathBuf, Identity>) {
        if wanted == self.directories {
            return;
        }
        let gone = self.directories.iter().filter(|(path, identity)| wanted.get(*path) != Some(*identity));
        for (path, _) in gone {
            // The watch may have disappeared together with its directory.
            let _ = self.watcher.unwatch(path);
        }
        let watched = wanted.into_iter().filter(|(path, identity)| {
            self.directories.get(path) == Some(identity)
                || self.watcher.watch(path, RecursiveMode::NonRecursive).is_ok()
        });
        self.directories = watched.collect();
    }
}

/// Returns whether an event means a change. Reading, which the server itself does most, does not.
fn tells_of_a_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests;
