// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Fetching from other servers: files from https URLs, manifests and files from other IMGAPIs, images of LXD from
//! simplestreams servers, and images from container registries.
//!
//! This room decides which servers a caller can make this server connect to: by the scheme of the URL, and by the
//! address of the actual connection, so that neither a redirect nor a name service can circumvent it.

mod body;
mod client;
mod deny;
mod error;
mod file_url;
mod imgapi;
pub mod registry;
mod resolver;
mod simplestreams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use body::RemoteFile;
pub use error::FetchError;
pub use file_url::{FileUrl, InvalidFileUrl};
pub use imgapi::{Imgapi, InvalidSource, Source};
pub use simplestreams::{LxdFile, LxdFiles, LxdImage, Simplestreams};

use client::{HttpClient, Settings};
use deny::DenyList;
use registry::Clients;

use crate::config::{Config, TransferLimits};

/// How long to wait for another call to end if the limit of concurrent calls is reached.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variables with the hosts of registries that are called without the proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Fetches from other servers.
pub struct Fetcher {
    file_urls: HttpClient,
    sources: HttpClient,
    /// For the image servers of LXD.
    registries: HttpClient,
    container_registries: Arc<Clients>,
    transfer: TransferLimits,
    sockets: Arc<Semaphore>,
}

impl Fetcher {
    /// Makes a fetcher for the configuration. Its calls carry the name of this server.
    pub fn new(config: &Config) -> Fetcher {
        let outgoing = &config.outgoing;
        let file_urls = Settings {
            user_agent: config.server_name.clone(),
            deny: Arc::new(DenyList::new(outgoing.file_url_deny.clone())),
            proxy: None,
            insecure: false,
            patience: config.transfer.idle,
        };
        let sources = Settings {
            deny: Arc::new(DenyList::new(outgoing.source_deny.clone())),
            proxy: outgoing.http_proxy.clone(),
            insecure: outgoing.allow_insecure.unwrap_or_default(),
            ..file_urls.clone()
        };
        let registries = Settings { deny: Arc::default(), ..file_urls.clone() };
        let sockets = Arc::new(Semaphore::new(outgoing.max_sockets));
        let no_proxy = NO_PROXY.iter().find_map(|name| std::env::var(name).ok());
        Fetcher {
            file_urls: HttpClient::new(file_urls),
            sources: HttpClient::new(sources),
            registries: HttpClient::new(registries),
            container_registries: Arc::new(Clients::new(config, no_proxy.as_deref(), Arc::clone(&sockets))),
            transfer: config.transfer,
            sockets,
        }
    }

    /// Waits for a permit to make another call.
    async fn socket(&self) -> Result<OwnedSemaphorePermit, FetchError> {
        wait_for_socket(&self.sockets).await
    }
}

async fn wait_for_socket(sockets: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, FetchError> {
    match timeout(PATIENCE, Arc::clone(sockets).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(FetchError::Busy),
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients contain the password of the proxy.
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}
