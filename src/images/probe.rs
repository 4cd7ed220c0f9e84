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
use super::{ApiResult, App, to_the_end};
use crate::db::Database;
use crate::jobs::JobsError;
use crate::telemetry::err;

/// Longest wait for a backend. All are probed at the same time.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long the result of a probe is reused.
const FRESH: Duration = Duration::from_secs(1);

/// The result of one probe: a version and further details, or why the backend is down.
type Said = Result<(Option<String>, Option<String>), String>;

type Probe<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

/// Returns the state of all backends of `app`, at most one second old. This takes some four seconds at most. Callers at the
/// same time share one probe.
///
/// # Errors
/// When the process is being stopped.
pub async fn health(app: &Arc<App>) -> ApiResult<Arc<[Backend]>> {
    let app = Arc::clone(app);
    to_the_end(async move {
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
        probes.push(("manta", Box::pin(async { said(manta.probe().await) })));
    }
    if let Some(accounts) = &app.accounts {
        probes.push(("ufds", Box::pin(async { said(accounts.probe().await) })));
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

async fn database(app: &App) -> Said {
    app.db.probe().await.map_err(|error| reason(&error))?;
    let status = app.db.status();
    let images = status.images.map_or("not all images".to_owned(), |images| format!("{images} images"));
    Ok((None, Some(format!("{images} in memory, {} damaged", status.damaged.len()))))
}

async fn local_storage(app: &App) -> Said {
    let free = app.storage.local.probe().await.map_err(|error| reason(&error))?;
    Ok((None, Some(format!("{:.1} GiB free", free as f64 / f64::from(1 << 30)))))
}

fn said<E: Error + 'static>(answer: Result<(), E>) -> Said {
    answer.map(|()| (None, None)).map_err(|error| reason(&error))
}

fn service(answer: Result<Option<String>, JobsError>) -> Said {
    answer.map(|version| (version, None)).map_err(|error| reason(&error))
}

fn reason(error: &(dyn Error + 'static)) -> String {
    err(error).message()
}

async fn ask(app: &App, name: &'static str, probe: Probe<'_>) -> Backend {
    let started = Instant::now();
    let said = timeout(PATIENCE, probe).await;
    let said = said.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    let latency = Some((started.elapsed().as_secs_f64() * 1e4).round() / 10.0);
    let last_error = app.health.noticed(name, said.as_ref().err());
    let (state, (version, detail)) = match said {
        Ok(said) => (BackendState::Ok, said),
        Err(_) => (BackendState::Down, (None, None)),
    };
    Backend { name, state, latency, version, detail, last_error }
}
