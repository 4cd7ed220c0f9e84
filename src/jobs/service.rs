// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A client of one of the datacenter's services: JSON over HTTP, without authentication.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SERVER};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;

use super::JobsError;
use crate::answers::{self, AnswerError};
use crate::telemetry::{Metrics, excerpt, root_cause};

/// The deadlines for connecting, and for a whole call.
const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(10);

/// The most bytes of an answer about a single object, a VM or a server.
const MAX_ANSWER: usize = 4 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client of one service.
pub(super) struct Service {
    name: &'static str,
    base: Url,
    /// The most bytes of an answer.
    limit: usize,
    user_agent: String,
    /// Created when it is first needed, so that a system without certificates does not keep the process from starting.
    client: OnceCell<Client>,
    /// The `Server` header of the last answer.
    version: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
}

/// A call to a service.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The operation's name in metrics.
    pub(super) op: &'static str,
    pub(super) method: Method,
    /// The path, relative to the URL of the service.
    pub(super) path: String,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    /// The id of the request that causes this call; empty if there is none.
    pub(super) request_id: &'a str,
}

impl<'a> Call<'a> {
    /// Makes a GET.
    pub(super) fn get(op: &'static str, path: impl Into<String>) -> Call<'a> {
        Call { op, method: Method::GET, path: path.into(), query: &[], body: None, request_id: "" }
    }
}

impl Service {
    /// Makes a client of the service at `base`, called `name` in metrics.
    pub(super) fn new(name: &'static str, base: Url, user_agent: &str, metrics: &Arc<Metrics>) -> Service {
        let (user_agent, metrics) = (user_agent.to_owned(), Arc::clone(metrics));
        let limit = MAX_ANSWER;
        Service { name, base, limit, user_agent, client: OnceCell::new(), version: Mutex::default(), metrics }
    }

    /// Sets the longest answer, in bytes.
    pub(super) fn with_limit(self, limit: usize) -> Service {
        Service { limit, ..self }
    }

    /// Returns the name and version that the service reports, once it has answered.
    pub(super) fn version(&self) -> Option<String> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the JSON of a successful answer.
    ///
    /// # Errors
    /// All but `Absent`. `Down` is returned only if nothing was sent.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, JobsError> {
        let (op, started) = (call.op, Instant::now());
        let answer = match timeout(TOTAL, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(JobsError::OutcomeUnknown(format!("no answer within {} s", TOTAL.as_secs()))),
        };
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(JobsError::Refused { status: 404, .. }) => "not_found",
            Err(JobsError::Refused { .. } | JobsError::Unusable(_)) => "error",
            Err(_) => "unavailable",
        };
        self.metrics.observe_backend(self.name, op, outcome, started.elapsed());
        answer
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Value, JobsError> {
        let encrypted = self.base.scheme() != "http";
        let client = self.client.get_or_try_init(|| make(self.user_agent.clone(), encrypted)).await?;
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, JSON),
            (HeaderName::from_static("accept-version"), HeaderValue::from_static("*")),
        ]);
        if let Some(id) = HeaderValue::from_str(call.request_id).ok().filter(|id| !id.is_empty()) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        let mut request = client.request(call.method, url);
        if let Some(body) = call.body {
            let text = body.to_string();
            headers.insert(CONTENT_TYPE, JSON);
            if let Ok(digest) = HeaderValue::try_from(STANDARD.encode(Md5::digest(&text))) {
                headers.insert(HeaderName::from_static("content-md5"), digest);
            }
            request = request.body(text);
        }
        let response = request.headers(headers).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let version = response.headers().get(SERVER).and_then(|value| value.to_str().ok()).map(excerpt);
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
        let body = parse(collect(response, self.limit).await?).await;
        match body {
            Some(body) if (200..300).contains(&status) => Ok(body),
            _ if (200..300).contains(&status) => Err(JobsError::Unusable("it is not JSON".into())),
            body if status >= 400 => Err(refused(status, body.as_ref())),
            _ => Err(JobsError::Unusable(format!("its status is {status}"))),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("base", &self.base.as_str()).finish()
    }
}

/// Returns the error that the service reports. A failure of its database is temporary and unrelated to the call.
fn refused(status: u16, body: Option<&Value>) -> JobsError {
    let text = |name: &str| body.and_then(|body| body.get(name)?.as_str()).map(excerpt);
    let code = text("code").filter(|code| !code.is_empty()).unwrap_or_else(|| "InternalError".to_owned());
    let message = text("message").unwrap_or_default();
    if status >= 500 && moray::is_about_lost_database(&message) {
        return JobsError::OutcomeUnknown(format!("its database is away: {message}"));
    }
    JobsError::Refused { status, code, message }
}

/// Returns the error of a call that failed before the head of the answer.
fn failed(error: reqwest::Error) -> JobsError {
    let not_sent = error.is_connect();
    let reason = root_cause(&error.without_url());
    if not_sent { JobsError::Down(reason) } else { JobsError::OutcomeUnknown(reason) }
}

async fn collect(response: Response, limit: usize) -> Result<Bytes, JobsError> {
    answers::whole(response, limit).await.map_err(|error| match error {
        AnswerError::Broken(error) => JobsError::OutcomeUnknown(root_cause(&error)),
        error @ AnswerError::TooLong(_) => JobsError::Unusable(error.to_string()),
    })
}

/// Parses on a blocking thread, because a long list takes a while.
async fn parse(body: Bytes) -> Option<Value> {
    tokio::task::spawn_blocking(move || serde_json::from_slice(&body).ok()).await.ok().flatten()
}

async fn make(user_agent: String, encrypted: bool) -> Result<Client, JobsError> {
    let build = move || {
        let builder = answers::client_builder(encrypted).map_err(|error| error.to_string())?;
        let built = builder.user_agent(user_agent).connect_timeout(CONNECT).build();
        built.map_err(|error| root_cause(&error.without_url()))
    };
    let built = tokio::task::spawn_blocking(build).await;
    built.unwrap_or_else(|stopped| Err(stopped.to_string())).map_err(JobsError::Down)
}
