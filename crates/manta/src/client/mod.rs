// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections and requests: how a request is signed, sent, answered, and retried.

mod connect;
mod exchange;
mod half_broken;
mod known_directories;
mod request;
mod retry;
mod signing;
mod tls;

use std::fmt;
use std::sync::Arc;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use http_signature::Signer;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::{Config, ConfigError};
use connect::Connector;
pub(crate) use exchange::{Answer, Answering, next_frame};
use known_directories::KnownDirectories;
pub(crate) use request::Request;
pub(crate) use retry::Retry;
use signing::Signing;

/// Number of bytes that a connection reads at once, and the maximum length of an answer's head. Digesting this many bytes takes a
/// fraction of a millisecond.
const READ_SIZE: usize = 128 << 10;

/// The body of a request.
pub(crate) type RequestBody = UnsyncBoxBody<bytes::Bytes, std::io::Error>;

/// A Manta client. Clones are cheap and share the connections and the known directories.
///
/// The client connects on demand. Manta may be unreachable when the client is created, and return at any time. A connection is
/// closed if a timeout passes, or if a future, a [`Body`](crate::Body) or an [`Upload`](crate::Upload) is dropped before its end.
///
/// # Server errors
///
/// Each method names the server errors to expect, such as `ResourceNotFound`. They arrive as
/// [`Error::Server`](crate::Error::Server), with the [`ErrorCode`](crate::ErrorCode) of that name. Any call can also fail with
/// the other variants of [`Error`](crate::Error).
///
/// # Repeated requests
///
/// Requests that can safely be done twice, as each method says, are tried up to [`Config::attempts`] times if the connection
/// fails or the server reports trouble. Each attempt has a date and a signature of its own.
#[derive(Clone)]
pub struct Client {
    shared: Arc<ClientInner>,
}

struct ClientInner {
    config: Config,
    scheme: Scheme,
    host: Authority,
    user_agent: HeaderValue,
    signing: Signing,
    http: legacy::Client<Connector, RequestBody>,
    directories: KnownDirectories,
}

impl Client {
    /// Creates a client. For an `https` URL without `insecure` it reads the system's certificates, so it blocks.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is invalid or the certificates cannot be read.
    pub fn new(config: Config) -> Result<Client, ConfigError> {
        let (scheme, host) = config.origin()?;
        let signer = Signer::new(config.key_id()?, config.key.clone());
        let signer = signer.map_err(|error| ConfigError::Key(error.to_string()))?;
        let user_agent = HeaderValue::try_from(&config.user_agent).map_err(|_| ConfigError::UserAgent)?;
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_connection_limit)
            .pool_max_idle_per_host(config.idle_connections)
            .http1_read_buf_exact_size(READ_SIZE)
            .build(connect::connector(&config, scheme == Scheme::HTTPS)?);
        let shared = ClientInner {
            scheme,
            host,
            user_agent,
            signing: Signing::new(signer),
            http,
            directories: KnownDirectories::default(),
            config,
        };
        Ok(Client { shared: Arc::new(shared) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn directories(&self) -> &KnownDirectories {
        &self.shared.directories
    }

    pub(crate) fn retry(&self) -> Retry {
        Retry::new(&self.shared.config)
    }

    /// Adds the headers of every request and the signature.
    async fn sign(&self, headers: &mut HeaderMap) -> Result<(), crate::Error> {
        let id = HeaderValue::try_from(uuid::Uuid::new_v4().to_string());
        headers.insert("x-request-id", id.map_err(|_| crate::Error::Unprintable("request id"))?);
        headers.insert(http::header::USER_AGENT, self.shared.user_agent.clone());
        headers.insert("accept-version", HeaderValue::from_static("~1.0"));
        self.shared.signing.sign(headers).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { url, account, .. } = &self.shared.config;
        f.debug_struct("Client").field("url", url).field("account", account).finish_non_exhaustive()
    }
}
