// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Noticing that files have changed, however that is done: written in place, replaced, or reached by another symbolic link.
//!
//! What counts is what the files are, looked at every two seconds. The system's events only make that sooner: they can get
//! lost, and not every system, or file system, has them.

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

/// Between looks without an event.
const POLL: Duration = Duration::from_secs(2);
/// Files that have not changed for so long may be read. Less than that is not noticed between two looks.
const QUIET: Duration = Duration::from_millis(100);
/// How long to wait for that at most.
const MAX_UNREST: Duration = Duration::from_secs(2);

/// Why to look at the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A file has changed.
    Changed,
    /// An operator, or the service manager, asks for it.
    Hangup,
}

/// Watches files that need not be there.
pub(super) struct Watch {
    files: BTreeSet<PathBuf>,
    seen: Vec<Option<Stamp>>,
    events: Option<Events>,
    hangup: Signal,
    /// Between looks without an event.
    poll: Duration,
}

/// What the system tells of directories.
struct Events {
    watcher: RecommendedWatcher,
    /// With the identity of each that is watched.
    directories: BTreeMap<PathBuf, Identity>,
    arrived: Arc<Notify>,
}

/// Device and number of a file.
type Identity = (u64, u64);

/// Changes with every change of a file.
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
    /// Watches `file` and waits for `hangup`; `with_events` if the system can tell of changes. The first look finds a change:
    /// nobody knows what has happened since the file was read.
    pub(super) async fn new(file: PathBuf, hangup: Signal, with_events: bool) -> Watch {
        let events = with_events.then(Events::new).flatten();
        let mut watch = Watch { files: BTreeSet::from([file]), seen: Vec::new(), events, hangup, poll: POLL };
        watch.look().await;
        watch
    }

    /// Watches these from now on. A file that was not watched before counts as changed if it is there.
    pub(super) fn follow(&mut self, files: BTreeSet<PathBuf>) {
        if files != self.files {
            let seen: BTreeMap<_, _> = self.files.iter().zip(&self.seen).collect();
            self.seen = files.iter().map(|file| seen.get(file).copied().copied().flatten()).collect();
            self.files = files;
        }
    }

    /// Waits until a file has changed and then not for a moment, or for a hangup.
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

    /// What the files are now.
    async fn look(&mut self) -> Vec<Option<Stamp>> {
        let files = self.files.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let stamps = files.iter().map(|file| Stamp::of(file)).collect();
            (stamps, directories_of(&files))
        });
        // It fails when the process is being stopped.
        let Ok((stamps, directories)) = looked.await else { return self.seen.clone() };
        if let Some(events) = &mut self.events {
            events.watch(directories);
        }
        stamps
    }
}

/// The directories where a change of the files shows, with the identity of each: those that they are in, and those that links
/// lead to.
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
    /// `None` where the system has none.
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

    /// Waits for the next event, or for ever where there are none.
    async fn arrival(events: Option<&Events>) {
        match events {
            Some(events) => events.arrived.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Watches these directories, and no others. One that has been replaced is another one.
    fn watch(&mut self, wanted: BTreeMap<PathBuf, Identity>) {
        if wanted == self.directories {
            return;
        }
        let gone = self.directories.iter().filter(|(path, identity)| wanted.get(*path) != Some(*identity));
        for (path, _) in gone {
            // With its directory the watch may be gone, too.
            let _ = self.watcher.unwatch(path);
        }
        let watched = wanted.into_iter().filter(|(path, identity)| {
            self.directories.get(path) == Some(identity)
                || self.watcher.watch(path, RecursiveMode::NonRecursive).is_ok()
        });
        self.directories = watched.collect();
    }
}

/// Reading, ours above all, changes nothing.
fn tells_of_a_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests;
