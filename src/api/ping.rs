// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `GET /ping` — Ping.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::context::Context;
use super::reply::Json;
use crate::config::ReloadStatus;
use crate::images::{ApiError, ApiResult, Backend, BackendError, BackendState, Code, health};
use crate::manifest::{FieldCode, FieldError, Mode, json, times};
use crate::workers::{self, Workers};

/// The UUID in sample errors that name an image.
const SAMPLE: &str = "1bb84ac9-ba6b-4d50-bd21-ddbd0a2f4ba6";

/// Known errors without a sample.
const WITHOUT_SAMPLE: [Code; 15] = [
    Code::Upload,
    Code::Download,
    Code::OwnerDoesNotExist,
    Code::AccountDoesNotExist,
    Code::NotImageOwner,
    Code::ImageNotShared,
    Code::NotMantaPathOwner,
    Code::OriginDoesNotExist,
    Code::OriginIsNotActive,
    Code::InsufficientServerVersion,
    Code::ImageHasDependentImages,
    Code::NotAvailable,
    Code::NotImplemented,
    Code::ResourceNotFound,
    Code::InvalidHeader,
];

/// Errors of the framework that Ping knows by another name than their code.
const FRAMEWORK_WITHOUT_SAMPLE: [&str; 3] =
    ["ServiceUnavailableError", "UnauthorizedError", "BadRequestError"];

#[derive(Serialize)]
struct Pong<'a> {
    ping: &'static str,
    version: &'static str,
    imgapi: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

/// The members that a deep ping adds. With status 503 the answer is also an error, for clients that expect one.
#[derive(Serialize)]
struct DeepPong<'a> {
    #[serde(flatten)]
    refusal: Option<Refusal>,
    #[serde(flatten)]
    pong: Pong<'a>,
    /// `ok`, `draining` or `down`.
    status: &'static str,
    backends: Vec<Backend>,
}

#[derive(Serialize)]
struct Refusal {
    code: &'static str,
    message: String,
}

pub(super) async fn ping(State(state): State<AppState>, context: Context) -> ApiResult<Response> {
    if let Some(name) = context.params.one("error")? {
        return Err(sample(name));
    }
    let is_deep = context.params.flag("deep")?;
    let user = context.user();
    if is_deep && state.auth().is_enabled() && user.is_none() {
        return Err(ApiError::new(Code::UnauthorizedError, "deep pings are for authenticated users"));
    }
    let knows_pid = state.app().config.mode == Mode::Dc || user.is_some();
    let pong = Pong {
        ping: "pong",
        version: env!("CARGO_PKG_VERSION"),
        imgapi: true,
        pid: knows_pid.then(std::process::id),
        user,
    };
    let is_draining = state.drain().is_on().await;
    if is_deep {
        return deep(&state, pong, is_draining).await;
    }
    if is_draining {
        let refusal = json::pretty(&unavailable("this server is being drained"))?;
        return Ok(Json::rendered(refusal).with_status(StatusCode::SERVICE_UNAVAILABLE).into_response());
    }
    Ok(Json::rendered(json::pretty(&pong)?).into_response())
}

/// Answers 200 if everything works, and otherwise 503, with the same body.
async fn deep(state: &AppState, pong: Pong<'_>, is_draining: bool) -> ApiResult<Response> {
    let mut backends = health(state.app()).await?.to_vec();
    backends.push(config(&state.0.reload_status));
    backends.push(workers(state.workers()));
    let is_down = |backend: &&Backend| backend.state == BackendState::Down;
    let down: Vec<_> = backends.iter().filter(is_down).map(|backend| backend.name).collect();
    let (status, message) = match (down.is_empty(), is_draining) {
        (false, _) => ("down", Some(format!("not well: {}", down.join(", ")))),
        (true, true) => ("draining", Some("this server is being drained".to_owned())),
        (true, false) => ("ok", None),
    };
    let refusal = message.map(unavailable);
    let http_status = if refusal.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let pong = DeepPong { refusal, pong, status, backends };
    Ok(Json::rendered(json::pretty(&pong)?).with_status(http_status).into_response())
}

fn unavailable(message: impl Into<String>) -> Refusal {
    Refusal { code: Code::ServiceUnavailableError.as_str(), message: message.into() }
}

/// Reports the configuration as a backend: it is down while the file holds a configuration that was rejected.
fn config(reload_status: &ReloadStatus) -> Backend {
    let load_state = reload_status.load_state();
    Backend {
        name: "config",
        state: if load_state.last_error.is_none() { BackendState::Ok } else { BackendState::Down },
        latency: None,
        version: None,
        detail: Some(format!("in force since {}", times::iso_millis(load_state.loaded_at))),
        last_error: load_state
            .last_error
            .map(|error| BackendError { time: times::iso_millis(error.time), message: error.message }),
    }
}

/// Reports the background workers as a backend: it is down while one of them is retrying after a failure.
fn workers(workers: &Workers) -> Backend {
    let all = workers.status();
    let failing: Vec<_> = all
        .iter()
        .filter(|status| matches!(status.state, workers::State::Retrying(_)))
        .map(|status| status.name)
        .collect();
    let errors = all.iter().filter_map(|status| Some((status.name, status.last_error.as_ref()?)));
    let last = errors.max_by_key(|(_, error)| error.time);
    Backend {
        name: "workers",
        state: if failing.is_empty() { BackendState::Ok } else { BackendState::Down },
        latency: None,
        version: None,
        detail: Some(match failing.as_slice() {
            [] => format!("{} workers", all.len()),
            failing => format!("failing: {}", failing.join(", ")),
        }),
        last_error: last.map(|(name, error)| BackendError {
            time: times::iso_millis(error.time),
            message: format!("{name}: {}", error.message),
        }),
    }
}

/// Returns the error with this name, with or without `Error` at the end, for tests of clients.
fn sample(name: &str) -> ApiError {
    if name.is_empty() {
        return ApiError::new(Code::InternalError, "boom");
    }
    // "Error" alone has no name before its suffix.
    let name = name.strip_suffix("Error").filter(|name| !name.is_empty()).unwrap_or(name);
    let is = |code: Code| code.as_str().strip_suffix("Error").unwrap_or(code.as_str()) == name;
    let with_sample = [
        (Code::ValidationFailed, String::new()),
        (Code::InvalidParameter, String::new()),
        (Code::ImageFilesImmutable, format!("image {SAMPLE} is activated: its files are immutable")),
        (Code::ImageAlreadyActivated, format!("image {SAMPLE} is already activated")),
        (Code::NoActivationNoFile, format!("image {SAMPLE} has no file")),
        (Code::OperatorOnly, "operator only".into()),
        (Code::ImageUuidAlreadyExists, format!("image {SAMPLE} already exists")),
        (Code::StorageIsDown, "storage is down".into()),
        (Code::StorageUnsupported, "the storage is not supported".into()),
        (Code::RemoteSourceError, String::new()),
        (Code::InternalError, "boom".into()),
    ];
    if let Some((code, message)) = with_sample.into_iter().find(|(code, _)| is(*code)) {
        return match code {
            Code::ValidationFailed => ApiError::validation(Vec::new()),
            Code::InvalidParameter => ApiError::invalid_parameters(vec![FieldError::invalid("foo")]),
            code => ApiError::new(code, message),
        };
    }
    let known = WITHOUT_SAMPLE.into_iter().any(is)
        || FRAMEWORK_WITHOUT_SAMPLE.iter().any(|known| known.strip_suffix("Error") == Some(name));
    if known {
        return ApiError::new(Code::InternalError, format!("there is no sample of {name:?}"));
    }
    let unknown = FieldError::new("error", FieldCode::Missing).because(format!("{name:?} is not an error"));
    ApiError::invalid_parameters(vec![unknown])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_answer() {
        let cases = [
            ("ValidationFailed", Code::ValidationFailed),
            ("ValidationFailedError", Code::ValidationFailed),
            ("RemoteSource", Code::RemoteSourceError),
            ("OperatorOnly", Code::OperatorOnly),
            ("Internal", Code::InternalError),
            ("", Code::InternalError),
            ("NotAvailable", Code::InternalError),
            ("Unauthorized", Code::InternalError),
            ("ServiceUnavailable", Code::InternalError),
            ("Bogus", Code::InvalidParameter),
            ("Error", Code::InvalidParameter),
        ];
        for (name, code) in cases {
            assert_eq!(sample(name).code(), code, "{name}");
        }
        assert_eq!(sample("ValidationFailed").field_errors(), Some(&[][..]));
        assert_eq!(sample("InvalidParameter").field_errors().unwrap()[0].field, "foo");
        assert_eq!(sample("Bogus").field_errors().unwrap()[0].code, FieldCode::Missing);
        assert!(!sample("ValidationFailed").message().is_empty());
    }
}
