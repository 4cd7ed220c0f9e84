// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A single call: JSON over HTTP, without authentication, bounded in time and size.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use url::Url;

use super::SapiError;
use crate::answers::{self, AnswerError};
use crate::telemetry::{excerpt, root_cause};

/// The longest answer in bytes. The complete configuration of a service takes some tens of KiB.
pub(super) const MAX_ANSWER: usize = 16 << 20;

const CONNECT: Duration = Duration::from_secs(5);

/// Version 2 also shows services of type `agent`.
const ACCEPT_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-version"), HeaderValue::from_static("~2"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The time limits of calls to SAPI.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// The limit of one answer, up to its last byte.
    pub answer: Duration,
    /// The number of attempts of a call that changes nothing, if SAPI is unavailable or fails.
    pub tries: u32,
    /// The pause after the first attempt; each later one is three times as long.
    pub pause: Duration,
}

impl Default for TimeLimits {
    fn default() -> TimeLimits {
        TimeLimits { answer: Duration::from_secs(30), tries: 3, pause: Duration::from_millis(250) }
    }
}

pub(super) struct Caller {
    base: Url,
    client: Client,
    limits: TimeLimits,
}

/// An answer to a conditional request.
pub(super) enum Answer<T> {
    NotModified,
    Body { etag: Option<String>, value: T },
}

impl Caller {
    pub(super) fn new(base: Url, user_agent: &str, limits: TimeLimits) -> Result<Caller, SapiError> {
        let builder = answers::client_builder(base.scheme() != "http");
        let builder = builder.map_err(|error| SapiError::Down(error.to_string()))?;
        let client = builder.user_agent(user_agent).connect_timeout(CONNECT).build();
        Ok(Caller {
            base,
            client: client.map_err(|error| SapiError::Down(root_cause(&error.without_url())))?,
            limits,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, SapiError> {
        match self.ask(self.url(path, query), None).await? {
            Answer::Body { value, .. } => Ok(value),
            Answer::NotModified => Err(SapiError::Malformed("it has status 304".into())),
        }
    }

    pub(super) async fn conditional_get<T: DeserializeOwned>(
        &self,
        path: &str,
        etag: Option<&str>,
    ) -> Result<Answer<T>, SapiError> {
        // An etag that cannot be sent back is ignored.
        let etag = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
        self.ask(self.url(path, &[]), etag).await
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, SapiError> {
        let mut request = Request::new(Method::PUT, self.url(path, &[]));
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        *request.body_mut() = Some(body.to_string().into());
        match self.exchange(request).await? {
            Answer::Body { value, .. } => Ok(value),
            Answer::NotModified => Err(SapiError::Malformed("it has status 304".into())),
        }
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Repeats the call until there is an answer, or repeating it makes no sense.
    async fn ask<T: DeserializeOwned>(
        &self,
        url: Url,
        etag: Option<HeaderValue>,
    ) -> Result<Answer<T>, SapiError> {
        let mut pause = self.limits.pause;
        let mut left = self.limits.tries;
        loop {
            let mut request = Request::new(Method::GET, url.clone());
            request.headers_mut().extend(etag.clone().map(|etag| (IF_NONE_MATCH, etag)));
            left = left.saturating_sub(1);
            match self.exchange(request).await {
                Err(error) if error.is_passing() && left > 0 => {
                    tracing::debug!(err.json = %crate::telemetry::err(&error), "SAPI is asked again");
                }
                answer => return answer,
            }
            sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await;
            pause *= 3;
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, mut request: Request) -> Result<Answer<T>, SapiError> {
        request.headers_mut().extend([(ACCEPT, JSON), ACCEPT_VERSION]);
        let conditional = request.headers().contains_key(IF_NONE_MATCH);
        let deadline = self.limits.answer;
        let answer = timeout(deadline, async {
            let response = self.client.execute(request).await.map_err(failed)?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, SapiError>((status, headers, collect(response).await?))
        });
        let (status, headers, body) = answer.await.map_err(|_| SapiError::Deadline(deadline))??;
        if conditional && status == StatusCode::NOT_MODIFIED {
            return Ok(Answer::NotModified);
        }
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        // The parser's message may quote a value.
        let value = serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() { "is not what was asked for" } else { "is not JSON" };
            SapiError::Malformed(format!("it {what}, from line {line}, column {column} on"))
        })?;
        Ok(Answer::Body { etag: etag(&headers), value })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.base.as_str()).finish()
    }
}

fn etag(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(ETAG)?.to_str().ok()?.to_owned())
}

/// An error that SAPI reports.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: Option<String>,
    message: Option<String>,
}

fn refused(status: StatusCode, body: &[u8]) -> SapiError {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = refusal.code.map(|code| excerpt(&code)).filter(|code| !code.is_empty());
    SapiError::Refused {
        status: status.as_u16(),
        code: code.unwrap_or_else(|| "InternalError".to_owned()),
        message: excerpt(&refusal.message.unwrap_or_default()),
    }
}

/// Returns the error of a call that failed before the head of the answer.
fn failed(error: reqwest::Error) -> SapiError {
    let not_sent = error.is_connect();
    let reason = root_cause(&error.without_url());
    if not_sent { SapiError::Down(reason) } else { SapiError::OutcomeUnknown(reason) }
}

async fn collect(response: Response) -> Result<Bytes, SapiError> {
    answers::whole(response, MAX_ANSWER).await.map_err(|error| match error {
        AnswerError::Broken(error) => SapiError::OutcomeUnknown(root_cause(&error)),
        AnswerError::TooLong(limit) => SapiError::TooLarge(limit),
    })
}
