// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The list of workers.

use std::sync::Arc;

use futures_util::future::join_all;

use super::generation::Generation;
use crate::auth::KEY_WORKER;
use crate::images::{ArchiveShipper, CurrentApp, Expiry, Placeholders, Scrub, Sweep};
use crate::jobs::AvailabilityWatch;
use crate::workers::{Next, Poke, Prepared, Worker, Workers};

/// Starts the workers of the first generation, including that of its authenticator. A worker gets the current app for
/// every unit of work.
pub(super) fn start(workers: &Workers, current: &CurrentApp, key_worker: Option<Prepared>) {
    let always = [prepare(Sweep::new(current.clone())), prepare(Expiry::new(current.clone()))];
    let others = [shipping(current), scrub(current), watch(current), placeholders(current), key_worker];
    always.into_iter().chain(others.into_iter().flatten()).for_each(|worker| workers.start(worker));
}

/// Stops the workers that hold backends of the generation `before`, and then starts those of `now`. There are never two
/// workers of the same kind.
pub(super) async fn change(
    workers: &Workers,
    current: &CurrentApp,
    before: &Generation,
    now: &Generation,
    key_worker: Option<Prepared>,
) {
    let mut changes = Vec::new();
    let has_scrubber = |generation: &Generation| generation.app.config.scrub.is_some();
    let other_backends = !now.has_backends_of(before);
    if other_backends {
        changes.push((ArchiveShipper::NAME, shipping(current)));
        changes.push((Placeholders::NAME, placeholders(current)));
    }
    if other_backends || has_scrubber(before) != has_scrubber(now) {
        changes.push((Scrub::NAME, scrub(current)));
    }
    if !now.app.jobs.ptr_eq(&before.app.jobs) {
        changes.push((AvailabilityWatch::NAME, watch(current)));
    }
    if !Arc::ptr_eq(&now.auth, &before.auth) {
        changes.push((KEY_WORKER, key_worker));
    }
    let change = async |(name, worker): (&str, Option<Prepared>)| {
        workers.stop(name).await;
        if let Some(worker) = worker {
            workers.start(worker);
        }
    };
    join_all(changes.into_iter().map(change)).await;
}

fn prepare(worker: impl Worker) -> Prepared {
    Prepared::new(worker, Next::Now, Poke::default())
}

fn shipping(current: &CurrentApp) -> Option<Prepared> {
    let app = current.get();
    app.storage
        .manta()
        .is_ok()
        .then(|| Prepared::new(ArchiveShipper::new(current.clone()), Next::Now, app.archive_changes()))
}

fn scrub(current: &CurrentApp) -> Option<Prepared> {
    Scrub::new(current.clone()).map(prepare)
}

fn watch(current: &CurrentApp) -> Option<Prepared> {
    let (watch, poke) = current.get().jobs.watch()?;
    Some(Prepared::new(watch, Next::Now, poke))
}

fn placeholders(current: &CurrentApp) -> Option<Prepared> {
    current.get().jobs.watch().map(|_| prepare(Placeholders::new(current.clone())))
}
