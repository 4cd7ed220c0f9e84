// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Probes the backends when somebody asks for their state, once for all who ask at the same time.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::health::{Backend, BackendState};
use super::{ApiResult, App, run_to_completion};
use crate::db::Database;
use crate::jobs::JobsError;
use crate::telemetry::err;

/// Longest wait for a backend. All are probed at the same time.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long the result of a probe is reused.
const FRESH: Duration = Duration::from_secs(1);

/// The result of one probe: a version and further details, or why the backend is down.
type ProbeResult = Result<(Option<String>, Option<String>), String>;

type Probe<'a> = Pin<Box<dyn Future<Output = ProbeResult> + Send + 'a>>;

/// Returns the state of all backends of `app`, at most one second old. This takes some four seconds at most. Callers at the
/// same time share one probe.
///
/// # Errors
/// When the process is being stopped.
pub async fn health(app: &Arc<App>) -> ApiResult<Arc<[Backend]>> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let mut last = app.health.last.lock().await;
        if let Some((_, backends)) = last.as_ref().filter(|(since, _)| since.elapsed() < FRESH) {
            return Ok(Arc::clone(backends));
        }
        let backends = ask_all(&app).await;
        *last = Some((Instant::now(), Arc::clone(&backends)));
        Ok(backends)
    })
    .await
}

async fn ask_all(app: &App) -> Arc<[Backend]> {
    let probes = probes(app).into_iter().map(|(name, probe)| ask(app, name, probe));
    join_all(probes).await.into()
}

/// The backends that the configuration names. Other datacenters are not probed: they report their own state.
fn probes(app: &App) -> Vec<(&'static str, Probe<'_>)> {
    let mut probes: Vec<(&'static str, Probe<'_>)> =
        vec![(database_name(app), Box::pin(database(app))), ("local-storage", Box::pin(local_storage(app)))];
    if let Ok(manta) = app.storage.manta() {
        probes.push(("manta", Box::pin(async { probe_result(manta.probe().await) })));
    }
    if let Some(accounts) = &app.accounts {
        probes.push(("ufds", Box::pin(async { probe_result(accounts.probe().await) })));
    }
    if app.jobs.url().is_some() {
        probes.push(("wfapi", Box::pin(async { service(app.jobs.probe().await) })));
    }
    let [vmapi, cnapi] = app.machines.names();
    if vmapi {
        probes.push(("vmapi", Box::pin(async { service(app.machines.probe_vmapi().await) })));
    }
    if cnapi {
        probes.push(("cnapi", Box::pin(async { service(app.machines.probe_cnapi().await) })));
    }
    probes
}

fn database_name(app: &App) -> &'static str {
    match *app.db {
        Database::Moray(_) => "moray",
        Database::Local(_) => "manifests",
    }
}

async fn database(app: &App) -> ProbeResult {
    app.db.probe().await.map_err(|error| reason(&error))?;
    let status = app.db.status();
    let images = status.images.map_or("not all images".to_owned(), |images| format!("{images} images"));
    Ok((None, Some(format!("{images} in memory, {} damaged", status.damaged.len()))))
}

async fn local_storage(app: &App) -> ProbeResult {
    let free = app.storage.local.probe().await.map_err(|error| reason(&error))?;
    Ok((None, Some(format!("{:.1} GiB free", free as f64 / f64::from(1 << 30)))))
}

fn probe_result<E: Error + 'static>(answer: Result<(), E>) -> ProbeResult {
    answer.map(|()| (None, None)).map_err(|error| reason(&error))
}

fn service(answer: Result<Option<String>, JobsError>) -> ProbeResult {
    answer.map(|version| (version, None)).map_err(|error| reason(&error))
}

fn reason(error: &(dyn Error + 'static)) -> String {
    err(error).message()
}

async fn ask(app: &App, name: &'static str, probe: Probe<'_>) -> Backend {
    let started = Instant::now();
    let probe_result = timeout(PATIENCE, probe).await;
    let probe_result =
        probe_result.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    let latency = Some((started.elapsed().as_secs_f64() * 1e4).round() / 10.0);
    let last_error = app.health.record(name, probe_result.as_ref().err());
    let (state, (version, detail)) = match probe_result {
        Ok(probe_result) => (BackendState::Ok, probe_result),
        Err(_) => (BackendState::Down, (None, None)),
    };
    Backend { name, state, latency, version, detail, last_error }
}
