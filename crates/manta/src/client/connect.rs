// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How connections are made.

use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service};

use super::half_broken::HalfBroken;
use super::tls;
use crate::config::{Config, ConfigError};

/// A connection, encrypted or not.
pub(super) type Connection = HalfBroken<MaybeHttpsStream<TokioIo<TcpStream>>>;
/// Makes connections within the configured time.
pub(super) type Connector = BoxCloneSyncService<Uri, Connection, BoxError>;

/// Reads the certificates of those whom [`trust`] names, if any will be verified.
pub(super) fn connector(config: &Config, encrypted: bool) -> Result<Connector, ConfigError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(config.idle_timeout));
    // So that an address which does not answer leaves time for another one.
    tcp.set_connect_timeout(Some(config.connect_timeout));
    let builder = HttpsConnectorBuilder::new();
    let unreadable = |error: rustls::Error| ConfigError::Certificates(error.to_string());
    // Without encryption no certificate is looked at, and reading the system's would be in vain.
    let builder = if config.insecure || !encrypted {
        builder.with_tls_config(tls::insecure().map_err(unreadable)?)
    } else {
        let trusted = trust::client_config();
        builder.with_tls_config(trusted.map_err(|error| ConfigError::Certificates(error.to_string()))?)
    };
    let builder = if encrypted { builder.https_only() } else { builder.https_or_http() };
    let https = builder.enable_http1().wrap_connector(tcp);
    Ok(BoxCloneSyncService::new(within(config.connect_timeout, https)))
}

/// The limit holds for the name, the connection and the encryption together, which each can hang.
fn within(
    limit: Duration,
    connector: HttpsConnector<HttpConnector>,
) -> impl Service<Uri, Response = Connection, Error = BoxError, Future: Send> + Clone + Send + Sync + 'static
{
    tower::service_fn(move |uri: Uri| {
        let connecting = connector.clone().call(uri);
        async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map(HalfBroken::new),
                Err(_) => Err(format!("not within {limit:?}").into()),
            }
        }
    })
}
