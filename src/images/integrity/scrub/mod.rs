// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads all stored files again and again, and finds those that are damaged and those that no record names.

mod findings;
mod image;
mod orphans;
mod pace;
mod round;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::config;
use crate::images::{App, CurrentApp, now};
use crate::manifest::{Stor, Uuid, View};
use crate::telemetry::err;
use crate::workers::{Failure, Next, Progress, Worker};

pub use findings::{Counts, Finding, Findings};
use pace::Pace;
use round::{Phase, Round, SavedScrub};

/// The name of the saved state below the local base directory.
const FILE: &str = "scrub.json";

/// How much work a crash may cost, in addition to the current file.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// The state is saved before a file that takes longer than this.
const LONG: Duration = Duration::from_secs(5);

/// Shortest time between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// The scrubber. Its unit of work is one image, or one group of files in the search for files without an image.
#[derive(Debug)]
pub struct Scrub {
    current: CurrentApp,
    /// The app that the current unit of work uses.
    app: Arc<App>,
    settings: config::Scrub,
    pace: Pace,
    round: Round,
    is_resumed: bool,
    kept: Instant,
    /// The rest of the current phase, once it has been looked up.
    remaining: Remaining,
}

#[derive(Debug)]
enum Remaining {
    Unknown,
    /// UUIDs of images, each with the number of bytes of its files.
    Images(VecDeque<(Uuid, u64)>),
    Groups(VecDeque<String>),
}

impl Scrub {
    /// The worker's name, as operators see it.
    pub const NAME: &'static str = "scrub";

    /// A scrubber of the storages of `app`; `None` if the configuration turns it off.
    pub fn new(current: CurrentApp) -> Option<Scrub> {
        let app = current.get();
        let settings = app.config.scrub?;
        Some(Scrub {
            current,
            app,
            settings,
            pace: Pace::new(&settings),
            round: Round::default(),
            is_resumed: false,
            kept: Instant::now(),
            remaining: Remaining::Unknown,
        })
    }
}

impl Worker for Scrub {
    fn name(&self) -> &'static str {
        Scrub::NAME
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        self.app = self.current.get();
        if let Some(settings) = self.app.config.scrub.filter(|settings| *settings != self.settings) {
            self.pace = Pace::new(&settings);
            self.settings = settings;
        }
        if !self.is_resumed {
            self.resume().await;
            self.is_resumed = true;
        }
        let next = match self.round.phase {
            Phase::Over => self.begin().await,
            Phase::Images { after } => self.next_image(after, progress).await?,
            Phase::Orphans { storage, .. } => self.next_group(storage).await?,
        };
        let pending = self.images_left();
        progress.pending(pending);
        progress.detail(self.round.describe(pending, self.app.findings.counts()));
        if self.kept.elapsed() > KEPT_EVERY && self.round.phase != Phase::Over {
            self.save_state().await;
        }
        Ok(next)
    }
}

impl Scrub {
    /// Continues where the process before this one stopped.
    async fn resume(&mut self) {
        let anew = "the scrubber cannot go on where it was, and begins anew";
        match self.app.storage.local.read_state_file(FILE).await {
            Ok(None) => {}
            Ok(Some(content)) => match SavedScrub::read(&content) {
                Ok(kept) => {
                    self.round = kept.round;
                    self.app.findings.restore(kept.findings);
                }
                Err(error) => tracing::warn!(file = FILE, err.json = %err(&error), "{anew}"),
            },
            Err(error) => tracing::warn!(file = FILE, err.json = %err(&error), "{anew}"),
        }
    }

    /// Saves the state for the next start. Without it only time is lost.
    async fn save_state(&mut self) {
        let kept = SavedScrub { round: self.round.clone(), findings: self.app.findings.known().clone() };
        let kept = match serde_json::to_vec(&kept) {
            Ok(content) => self.app.storage.local.write_state_file(FILE, content).await,
            Err(error) => Err(std::io::Error::from(error).into()),
        };
        if let Err(error) = kept {
            tracing::warn!(file = FILE, err.json = %err(&error), "the scrubber cannot keep where it is");
        }
        self.kept = Instant::now();
    }

    /// Begins a round when it is due.
    async fn begin(&mut self) -> Next {
        let wait = self.round.wait(OffsetDateTime::now_utc(), self.settings.interval);
        if !wait.is_zero() {
            return Next::After(wait);
        }
        self.round = self.round.next(now());
        self.remaining = Remaining::Unknown;
        self.save_state().await;
        Next::Now
    }

    async fn next_image(&mut self, after: Option<Uuid>, progress: &Progress) -> Result<Next, Failure> {
        let Remaining::Images(images) = &self.remaining else {
            self.remaining = Remaining::Images(self.images(after).await?);
            return Ok(Next::Now);
        };
        let Some((uuid, size)) = images.front().copied() else {
            self.enter_phase(Phase::Orphans { storage: Stor::Local, after: None }).await;
            return Ok(Next::Now);
        };
        if self.pace.bytes.time(size) > LONG {
            self.save_state().await;
        }
        self.verify(uuid).await?;
        if let Remaining::Images(images) = &mut self.remaining {
            images.pop_front();
        }
        self.round.done += 1;
        self.round.phase = Phase::Images { after: Some(uuid) };
        progress.done(1);
        Ok(Next::Now)
    }

    /// The images after this UUID, in order.
    async fn images(&self, after: Option<Uuid>) -> Result<VecDeque<(Uuid, u64)>, Failure> {
        let views = self.app.db.filtered(|_| true).await?;
        let remaining = views.iter().filter(|view| after.is_none_or(|after| view.uuid() > after));
        let mut remaining: Vec<_> = remaining.map(|view| (view.uuid(), size(view))).collect();
        remaining.sort_unstable();
        Ok(remaining.into())
    }

    async fn verify(&mut self, uuid: Uuid) -> Result<(), Failure> {
        let bytes = AtomicU64::new(0);
        let read = |more| {
            bytes.fetch_add(more, Ordering::Relaxed);
            self.app.metrics.scrub_read(more);
        };
        let verified = image::verify(&self.app, uuid, &mut self.pace, read).await;
        self.round.read += bytes.into_inner();
        let found = verified?.into_iter().map(|(location, problem)| {
            let file = match &location.object {
                Some(own) => own.name.clone(),
                None => location.asset.to_string(),
            };
            tracing::error!(%uuid, %file, storage = %location.stor, %problem, "a stored file is damaged");
            Finding { uuid: Some(uuid), file, storage: location.stor, problem, time: now() }
        });
        self.app.findings.of_image(self.round.number, uuid, found.collect());
        Ok(())
    }

    async fn next_group(&mut self, storage: Stor) -> Result<Next, Failure> {
        // The configuration may have lost this storage since the last start.
        if self.app.storage.require(storage).is_err() {
            return Ok(self.end_storage(storage).await);
        }
        let Remaining::Groups(groups) = &self.remaining else {
            self.remaining = Remaining::Groups(self.groups(storage).await?);
            return Ok(Next::Now);
        };
        let Some(group) = groups.front().cloned() else { return Ok(self.end_storage(storage).await) };
        for (item, problem) in orphans::find(&self.app, storage, &group, orphans::AGE).await? {
            let uuid = item.uuid;
            let image = uuid.map(tracing::field::display);
            tracing::warn!(uuid = image, file = %item.name, %storage, %problem, "a stored file has no image");
            let orphan = Finding { uuid, file: item.name, storage, problem, time: now() };
            self.app.findings.orphan(self.round.number, orphan);
        }
        if let Remaining::Groups(groups) = &mut self.remaining {
            groups.pop_front();
        }
        self.round.phase = Phase::Orphans { storage, after: Some(group) };
        Ok(Next::Now)
    }

    async fn groups(&self, storage: Stor) -> Result<VecDeque<String>, Failure> {
        let mut groups = self.app.storage.groups(storage).await?;
        if let Phase::Orphans { after: Some(after), .. } = &self.round.phase {
            groups.retain(|group| group > after);
        }
        Ok(groups.into())
    }

    /// Continues with the next storage, or ends the round.
    async fn end_storage(&mut self, storage: Stor) -> Next {
        if storage == Stor::Local && self.app.storage.manta().is_ok() {
            self.enter_phase(Phase::Orphans { storage: Stor::Manta, after: None }).await;
            return Next::Now;
        }
        self.app.findings.end_round(self.round.number);
        self.enter_phase(Phase::Over).await;
        let text = self.round.describe(0, self.app.findings.counts());
        tracing::info!("all stored files have been looked at: {text}");
        Next::After(self.round.wait(OffsetDateTime::now_utc(), self.settings.interval).max(PAUSE))
    }

    async fn enter_phase(&mut self, phase: Phase) {
        self.round.phase = phase;
        self.remaining = Remaining::Unknown;
        self.save_state().await;
    }

    fn images_left(&self) -> u64 {
        match &self.remaining {
            Remaining::Images(images) => images.len() as u64,
            Remaining::Unknown | Remaining::Groups(_) => 0,
        }
    }
}

fn size(view: &View) -> u64 {
    let files: u64 = view.files().iter().map(|file| file.size).fold(0, u64::saturating_add);
    files.saturating_add(view.icon().map_or(0, |icon| icon.size))
}
