// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections and requests: how one is signed, sent, answered, and tried again.

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

/// What a connection reads at once, and the longest head of an answer, in bytes. Digests of as much take a fraction of a
/// millisecond.
const READ_SIZE: usize = 128 << 10;

/// The body of a request.
pub(crate) type RequestBody = UnsyncBoxBody<bytes::Bytes, std::io::Error>;

/// A client of Manta. Clones are cheap and share connections and what is known of directories.
///
/// It connects when it has to: Manta may be away when it is made, and come back at any time. Where a deadline has passed,
/// or a future, a [`Body`](crate::Body) or an [`Upload`](crate::Upload) is dropped before its end, its connection is
/// closed.
///
/// # Repeated requests
///
/// What can be done twice without harm, as each method says, is tried up to [`Config::attempts`] times when the
/// connection fails or the server says that it is in trouble. Each attempt has its own date and signature.
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
    /// Makes a client. It reads the system's certificates from disk, if the URL is `https` and not `insecure`.
    ///
    /// # Errors
    /// What cannot be in a configuration.
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

    /// The headers that every request has, signed.
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
