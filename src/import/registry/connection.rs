// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

mod authorization;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use url::Url;

pub use authorization::Access;
use authorization::Authorization;

use super::bounded::Bounded;
use super::clients::Clients;
use super::credentials::Credentials;
use super::error::RegistryError;
use super::reference::Repository;
use crate::import::client::host;
use crate::import::file_url::location;
use crate::import::{FetchError, Fetcher, body};
use crate::telemetry::excerpt;

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// How often a request is sent that the registry answers with 429, and how long it may ask to wait each time.
const MAX_TURNS: usize = 5;
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long the rest of an answer with JSON may take once it has begun.
const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest error in bytes, and the most errors in one.
const MAX_ERROR: usize = 64 << 10;
const MAX_ERRORS: usize = 100;

/// A repository of a container registry, as one user sees it. Clones share the user's token.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    clients: Arc<Clients>,
    repository: Repository,
    credentials: Option<Credentials>,
    access: Access,
    request_id: Option<HeaderValue>,
    authorization: Authorization,
}

/// The head of an answer.
pub(super) struct Answer {
    pub(super) response: Response,
    /// The permit of the call, for as long as the answer's body is read.
    pub(super) socket: OwnedSemaphorePermit,
    /// Whether the registry still wants other credentials although its token server has granted a token.
    pub(super) token_refused: bool,
}

impl Fetcher {
    /// Returns a client of the registry that has this repository. It sends the id of the request that causes the calls.
    pub fn registry(
        &self,
        repository: Repository,
        credentials: Option<Credentials>,
        access: Access,
        request_id: &str,
    ) -> Registry {
        let request_id = HeaderValue::from_str(request_id).ok();
        Registry::new(Arc::clone(&self.container_registries), repository, credentials, access, request_id)
    }
}

impl Registry {
    pub(super) fn new(
        clients: Arc<Clients>,
        repository: Repository,
        credentials: Option<Credentials>,
        access: Access,
        request_id: Option<HeaderValue>,
    ) -> Registry {
        let authorization = Authorization::default();
        Registry(Arc::new(Inner { clients, repository, credentials, access, request_id, authorization }))
    }

    /// Checks that the server is a registry of version 2, whatever it lets the user do.
    ///
    /// # Errors
    /// `NotRegistry`, or there is no answer.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let answer =
            self.call(Method::GET, self.url(&["v2", ""]), HeaderMap::new(), "the API's version").await;
        match answer.map(|answer| answer.response.status().as_u16()) {
            Ok(200 | 401) | Err(RegistryError::Unauthorized { .. }) => Ok(()),
            Ok(_) => Err(RegistryError::NotRegistry { host: self.host() }),
            Err(error) => Err(error),
        }
    }

    pub(super) fn clients(&self) -> &Clients {
        &self.0.clients
    }

    pub(super) fn server(&self) -> &Url {
        self.0.repository.server()
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.0.repository
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.0.credentials.as_ref()
    }

    pub(super) fn host(&self) -> String {
        host(self.server())
    }

    /// Returns the scope of the tokens that are needed.
    pub(super) fn scope(&self) -> String {
        let actions = match self.0.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.0.repository.remote_name())
    }

    pub(super) fn unauthorized(&self, what: &str) -> RegistryError {
        RegistryError::Unauthorized { host: self.host(), what: what.to_owned() }
    }

    /// Returns the URL of a path of the server.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server().clone();
        url.set_path(&path.join("/"));
        url
    }

    /// Returns the URL of something in the repository.
    pub(super) fn url_of(&self, kind: &str, name: &str) -> Url {
        self.url(&["v2", self.0.repository.remote_name(), kind, name])
    }

    /// Sends a request without a body, follows redirects, and answers the registry's challenge once.
    pub(super) async fn call(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        what: &str,
    ) -> Result<Answer, RegistryError> {
        let socket = self.clients().socket().await.map_err(RegistryError::Connection)?;
        let mut is_renewed = false;
        loop {
            let used = self.0.authorization.current().await;
            let (response, is_home) = self.follow(&method, &url, &headers, used.as_ref()).await?;
            if response.status() != 401 || !is_home || is_renewed {
                let has_token = used.is_some_and(|used| used.as_bytes().starts_with(b"Bearer"));
                let token_refused = response.status() == 401 && has_token;
                return Ok(Answer { response, socket, token_refused });
            }
            self.authorize(&response, used.as_ref(), what).await?;
            is_renewed = true;
        }
    }

    /// Gets another `Authorization` after an answer 401 to a request with the one that was `used`.
    pub(super) async fn authorize(
        &self,
        response: &Response,
        used: Option<&HeaderValue>,
        what: &str,
    ) -> Result<(), RegistryError> {
        // The future of a renewal contains that of a call, which has no size otherwise.
        Box::pin(self.0.authorization.renew(self, response, used, what)).await
    }

    pub(super) async fn authorization(&self) -> Option<HeaderValue> {
        self.0.authorization.current().await
    }

    /// Returns the answer at the end of all redirects, and whether it is the registry's own. Other servers get no
    /// credentials.
    async fn follow(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, bool), RegistryError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let is_home = self.is_home(&url);
            let request = || self.request(method, &url, headers, authorization.filter(|_| is_home));
            let response = self.patiently(request).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((response, is_home));
            }
            url = self.location(&url, &response).map_err(RegistryError::Connection)?;
        }
        let problem = "once too often";
        Err(RegistryError::Connection(FetchError::Redirect { host: host(&url), problem }))
    }

    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.server().origin()
    }

    /// Makes a request. The id of the caller's request is for the registry itself only.
    pub(super) fn request(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Request {
        let mut request = Request::new(method.clone(), url.clone());
        *request.headers_mut() = headers.clone();
        if let Some(id) = self.0.request_id.as_ref().filter(|_| self.is_home(url)) {
            request.headers_mut().insert(HeaderName::from_static("request-id"), id.clone());
        }
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        request
    }

    /// Returns the URL that an answer names. Encryption must not be lost on the way.
    pub(super) fn location(&self, from: &Url, response: &Response) -> Result<Url, FetchError> {
        let refused = |problem| FetchError::Redirect { host: host(from), problem };
        let url = location(from, response).ok_or_else(|| refused("to nowhere"))?;
        let is_safe = url.scheme() == "https"
            || (url.scheme() == "http" && (from.scheme() == "http" || self.clients().insecure));
        if is_safe { Ok(url) } else { Err(refused("to what is no https URL")) }
    }

    /// Sends a request, again after a while if the server says that there are too many.
    pub(super) async fn patiently(&self, request: impl Fn() -> Request) -> Result<Response, RegistryError> {
        for _ in 1..MAX_TURNS {
            let response = self.clients().send(request()).await.map_err(RegistryError::Connection)?;
            let wait = retry_after(response.headers()).unwrap_or(self.clients().pause);
            if response.status() != 429 || wait > MAX_WAIT {
                return Ok(response);
            }
            sleep(wait).await;
        }
        self.clients().send(request()).await.map_err(RegistryError::Connection)
    }

    /// Returns the error that an answer is.
    pub(super) async fn refused(&self, response: Response, what: &str) -> RegistryError {
        let (host, what, status) = (self.host(), what.to_owned(), response.status().as_u16());
        match status {
            401 | 403 => RegistryError::Unauthorized { host, what },
            404 => RegistryError::NotFound { host, what },
            _ => {
                let told = collect(&host, response, MAX_ERROR).await.ok().and_then(|body| told(&body));
                RegistryError::Refused { host, what, status, told }
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest contains credentials.
        f.debug_struct("Registry").field("repository", &self.0.repository).finish_non_exhaustive()
    }
}

/// Returns a complete answer of at most `limit` bytes.
pub(super) async fn collect(host: &str, response: Response, limit: usize) -> Result<Bytes, RegistryError> {
    let collected = timeout(REST_TIMEOUT, body::collect(host, response, limit)).await;
    let late = || FetchError::Timeout { host: host.to_owned(), patience: REST_TIMEOUT };
    collected.unwrap_or_else(|_| Err(late())).map_err(RegistryError::Transfer)
}

/// Returns how long a server asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or_default();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| httpdate::parse_http_date(text).ok().map(until))
}

/// Returns code and message of the first error in an answer.
fn told(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Bounded<Told, MAX_ERRORS>,
    }
    #[derive(Deserialize)]
    struct Told {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors: Errors = serde_json::from_slice(body).ok()?;
    errors.errors.0.first().map(|told| (excerpt(&told.code), excerpt(&told.message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_to_wait_for_seconds_or_until_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert!(wait("Tue, 31 Dec 2999 23:59:59 GMT").unwrap() > MAX_WAIT);
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn the_error_of_a_registry_is_told() {
        let body = br#"{"errors":[{"code":"A","message":"b\u0000","detail":{}},{"code":"C"}]}"#;
        assert_eq!(told(body), Some(("A".to_owned(), "b ".to_owned())));
        for body in ["", "{}", "[]", r#"{"errors":[]}"#, r#"{"errors":null}"#] {
            assert_eq!(told(body.as_bytes()), None, "{body}");
        }
    }
}
