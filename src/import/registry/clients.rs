// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::import::client::{HttpClient, Settings, host};
use crate::import::deny::DenyList;
use crate::import::{FetchError, wait_for_socket};

/// How long nothing may come of a blob before the connection is given up, as in 4.13.1.
const BLOB_IDLE: Duration = Duration::from_secs(15);

/// How long to wait before a broken download goes on, and before a request is repeated that came too early.
const PAUSE: Duration = Duration::from_secs(1);

/// The HTTP clients of all registries.
pub(in crate::import) struct Clients {
    direct: HttpClient,
    /// The client for the hosts that the proxy is for. It resolves the proxy's name only; those of the registries are
    /// resolved by the proxy.
    proxied: Option<(HttpClient, Matcher)>,
    deny: Arc<DenyList>,
    sockets: Arc<Semaphore>,
    /// Whether a password may be sent without encryption, because certificates are not verified either.
    pub(super) insecure: bool,
    /// How long nothing may move in an upload.
    pub(super) idle: Duration,
    pub(super) blob_idle: Duration,
    pub(super) pause: Duration,
}

impl Clients {
    /// Makes the clients for the configuration. `no_proxy` lists the hosts that are called directly.
    pub(in crate::import) fn new(
        config: &Config,
        no_proxy: Option<&str>,
        sockets: Arc<Semaphore>,
    ) -> Clients {
        let outgoing = &config.outgoing;
        let deny = DenyList::new(outgoing.registry_deny.clone()).except(outgoing.registry_allow.clone());
        let deny = Arc::new(deny);
        let direct = Settings {
            user_agent: config.server_name.clone(),
            deny: Arc::clone(&deny),
            proxy: None,
            insecure: outgoing.docker_registry_insecure,
            patience: config.transfer.idle,
        };
        let proxied = outgoing.http_proxy.as_ref().map(|proxy| {
            let matcher = Matcher::builder().all(proxy.expose()).no(no_proxy.unwrap_or_default()).build();
            let settings = Settings {
                deny: Arc::new(DenyList::new(Vec::new())),
                proxy: Some(proxy.clone()),
                ..direct.clone()
            };
            (HttpClient::new(settings), matcher)
        });
        Clients {
            direct: HttpClient::new(direct),
            proxied,
            deny,
            sockets,
            insecure: outgoing.docker_registry_insecure,
            idle: config.transfer.idle,
            blob_idle: config.transfer.idle.min(BLOB_IDLE),
            pause: PAUSE,
        }
    }

    /// Waits for a permit to make another call.
    pub(super) async fn socket(&self) -> Result<OwnedSemaphorePermit, FetchError> {
        wait_for_socket(&self.sockets).await
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&self, request: Request) -> Result<Response, FetchError> {
        self.client_for(&request)?.send(request).await
    }

    /// Sends a request whose body is long, and waits for the head of the answer without a time limit.
    pub(super) async fn send_slowly(&self, request: Request) -> Result<Response, FetchError> {
        self.client_for(&request)?.send_slowly(request).await
    }

    fn client_for(&self, request: &Request) -> Result<&HttpClient, FetchError> {
        let url = request.url();
        if self.deny.denies_literal(url) {
            return Err(FetchError::Denied { host: host(url) });
        }
        let uri: Option<Uri> = url.as_str().parse().ok();
        let proxied = self
            .proxied
            .as_ref()
            .filter(|(_, matcher)| uri.as_ref().is_some_and(|uri| matcher.intercept(uri).is_some()));
        Ok(proxied.map_or(&self.direct, |(client, _)| client))
    }
}
