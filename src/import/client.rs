// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! HTTP clients, one for each kind of server.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Proxy, Request, Response};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;

use super::deny::DenyList;
use super::error::FetchError;
use super::resolver::Resolver;
use crate::answers;
use crate::config::Secret;
use crate::telemetry::root_cause;

const CONNECT: Duration = Duration::from_secs(20);

/// The settings of a client.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) user_agent: String,
    pub(super) deny: Arc<DenyList>,
    pub(super) proxy: Option<Secret>,
    /// Whether any certificate is accepted.
    pub(super) insecure: bool,
    /// How long it may take until an answer begins, connecting included.
    pub(super) patience: Duration,
}

/// A client that is created when it is first needed. If that fails, the next request tries again: a system without
/// certificates must not keep the service from starting.
pub(super) struct HttpClient {
    settings: Settings,
    client: OnceCell<Client>,
}

impl HttpClient {
    pub(super) fn new(settings: Settings) -> HttpClient {
        HttpClient { settings, client: OnceCell::new() }
    }

    /// Sends a GET and waits for the head of the answer, whatever its status is. Redirects are not followed.
    pub(super) async fn get(&self, url: Url, headers: HeaderMap) -> Result<Response, FetchError> {
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = headers;
        self.send(request).await
    }

    /// Sends a request and waits for the head of the answer, like [`HttpClient::get`].
    pub(super) async fn send(&self, request: Request) -> Result<Response, FetchError> {
        let (host, patience) = (host(request.url()), self.settings.patience);
        match timeout(patience, self.send_slowly(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { host, patience }),
        }
    }

    /// The same without a time limit, for a request whose body takes long.
    pub(super) async fn send_slowly(&self, mut request: Request) -> Result<Response, FetchError> {
        // No content coding is decoded: the received bytes are the file.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let host = host(request.url());
        if self.settings.deny.denies_literal(request.url()) {
            return Err(FetchError::Denied { host });
        }
        let client = self.client.get_or_try_init(|| make(self.settings.clone())).await?;
        client.execute(request).await.map_err(|error| FetchError::no_answer(host, error))
    }
}

/// Returns the scheme of a text that names a server as in RFC 3986: `scheme://authority`. The URL parser accepts more,
/// as browsers do: `https:host`, `https:///host`, and names that contain line ends.
pub(super) fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_plain = !rest.starts_with(['/', '\\']) && !text.contains(|c: char| c.is_ascii_control());
    is_plain.then_some(scheme)
}

/// Returns the host without port, path and credentials, for messages.
pub(super) fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Builds the client on a blocking thread, because certificates are read.
async fn make(settings: Settings) -> Result<Client, FetchError> {
    let built = tokio::task::spawn_blocking(move || build(&settings)).await;
    built.unwrap_or_else(|stopped| Err(stopped.to_string())).map_err(|reason| FetchError::NoClient { reason })
}

fn build(settings: &Settings) -> Result<Client, String> {
    let told = |error: reqwest::Error| root_cause(&error.without_url());
    let builder = answers::client_builder(!settings.insecure).map_err(|error| error.to_string())?;
    let builder = builder
        .user_agent(&settings.user_agent)
        .dns_resolver(Resolver(Arc::clone(&settings.deny)))
        .connect_timeout(CONNECT)
        // A kept connection may have been opened before its address was denied.
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(settings.insecure);
    let builder = match &settings.proxy {
        Some(proxy) => builder.proxy(Proxy::all(proxy.expose()).map_err(told)?),
        None => builder,
    };
    builder.build().map_err(told)
}
