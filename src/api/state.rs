// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/state`: the state of this process, for operators.

use axum::extract;
use axum::http::StatusCode;
use serde::Serialize;

use super::AppState;
use super::context::Context;
use super::reply::Json;
use crate::config::{Database, ReloadStatus};
use crate::images::{ApiError, ApiResult, App, Code, Counts, Finding, RunningImport};
use crate::manifest::{Stor, json, times};
use crate::telemetry::Level;
use crate::workers::{State, Status};

/// The answer of AdminGetState. It contains no record and no secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState {
    config: ConfigState,
    log: Log,
    /// Whether Ping tells balancers to send no requests to this server.
    draining: bool,
    /// The directory of local data.
    local_base_dir: String,
    storage_types: Vec<Stor>,
    database: DatabaseState,
    /// Present only in a datacenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    ufds: Option<UfdsState>,
    workers: Vec<WorkerState>,
    /// The running imports from servers of other kinds, and the pushes to them.
    imports: Vec<RunningImport>,
    /// Present only with a scrubber.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    scrub: Option<ScrubState>,
}

/// See [`crate::config::ReloadStatus`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigState {
    file: String,
    loaded_at: String,
    /// Why the current content of the file was rejected, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<TimedError>,
}

#[derive(Debug, Serialize)]
struct Log {
    /// The configured level, as Bunyan's number.
    level: u8,
}

/// See [`crate::db::Status`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseState {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The number of connections to Moray.
    connections: usize,
    /// The number of images in memory; null until all are loaded.
    images: Option<usize>,
    /// How many milliseconds ago the images in memory were known to be current; null before the first time.
    age: Option<u64>,
    damaged: Vec<DamagedRecord>,
}

#[derive(Debug, Serialize)]
struct DamagedRecord {
    name: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct UfdsState {
    connected: bool,
}

/// See [`crate::workers::Status`]. Times have the form used in manifests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerState {
    name: &'static str,
    /// `working`, `waiting`, or `retrying` after a failure.
    state: &'static str,
    /// When it works next, unless it is working now.
    next: Option<String>,
    done: u64,
    /// Null if it is not known.
    pending: Option<u64>,
    detail: Option<String>,
    last_success: Option<String>,
    failures: u64,
    last_error: Option<TimedError>,
}

#[derive(Debug, Serialize)]
struct TimedError {
    time: String,
    message: String,
}

/// The scrubber's findings: at most a thousand of them, and the total numbers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScrubState {
    finding_counts: Counts,
    findings: Vec<Finding>,
}

/// `GET /state` — AdminGetState.
pub(super) async fn get_state(extract::State(state): extract::State<AppState>) -> ApiResult<Json> {
    Ok(Json::rendered(json::pretty(&of(&state).await)?))
}

async fn of(state: &AppState) -> ProcessState {
    let app = state.app();
    let level: Level = app.config.log_level;
    ProcessState {
        config: config(&state.0.reload_status),
        log: Log { level: level as u8 },
        draining: state.drain().is_on().await,
        local_base_dir: app.config.local_base_dir.display().to_string(),
        storage_types: app.storage.kinds(),
        database: database(app),
        ufds: app.accounts.as_ref().map(|accounts| UfdsState { connected: accounts.state().is_ok() }),
        workers: state.workers().status().into_iter().map(worker).collect(),
        imports: app.imports.list(),
        scrub: app.config.scrub.map(|_| scrub(app)),
    }
}

fn config(reload_status: &ReloadStatus) -> ConfigState {
    let load_state = reload_status.load_state();
    let last_error = load_state.last_error;
    ConfigState {
        file: reload_status.file().display().to_string(),
        loaded_at: times::iso_millis(load_state.loaded_at),
        last_error: last_error
            .map(|error| TimedError { time: times::iso_millis(error.time), message: error.message }),
    }
}

fn scrub(app: &App) -> ScrubState {
    let (findings, finding_counts) = app.findings.list();
    ScrubState { finding_counts, findings }
}

fn worker(status: Status) -> WorkerState {
    let (state, next) = match status.state {
        State::Working => ("working", None),
        State::Waiting(until) => ("waiting", Some(until)),
        State::Retrying(until) => ("retrying", Some(until)),
    };
    WorkerState {
        name: status.name,
        state,
        next: next.map(times::iso_millis),
        done: status.done,
        pending: status.pending,
        detail: status.detail,
        last_success: status.last_success.map(times::iso_millis),
        failures: status.failures,
        last_error: status
            .last_error
            .map(|error| TimedError { time: times::iso_millis(error.time), message: error.message }),
    }
}

fn database(app: &App) -> DatabaseState {
    let status = app.db.status();
    let damaged = status.damaged.into_iter();
    DatabaseState {
        kind: match app.config.database {
            Database::Moray(_) => "moray",
            Database::Local => "local",
        },
        connections: app.db.connections(),
        images: status.images,
        age: status.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        damaged: damaged.map(|record| DamagedRecord { name: record.name, reason: record.reason }).collect(),
    }
}

/// `POST /state?action=dropcaches` — AdminUpdateState. Everything in memory is kept current, so there are no outdated
/// caches to drop.
pub(super) async fn update_state(context: Context) -> ApiResult<StatusCode> {
    match context.params.non_empty("action")? {
        Some("dropcaches") => Ok(StatusCode::ACCEPTED),
        Some(action) => {
            let message = format!("action must be dropcaches, not {action:?}");
            Err(ApiError::new(Code::InvalidArgument, message))
        }
        None => Err(ApiError::new(Code::MissingParameter, "action is missing")),
    }
}
