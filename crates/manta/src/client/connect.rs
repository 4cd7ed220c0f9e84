// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Opens connections.

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
/// Opens connections within the configured time.
pub(super) type Connector = BoxCloneSyncService<Uri, Connection, BoxError>;

/// Creates the connector. Reads the certificates of [`trust`] only if server certificates are verified.
pub(super) fn connector(config: &Config, encrypted: bool) -> Result<Connector, ConfigError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(config.idle_timeout));
    // An address that does not answer must leave time to try another one.
    tcp.set_connect_timeout(Some(config.connect_timeout));
    let builder = HttpsConnectorBuilder::new();
    let unreadable = |error: rustls::Error| ConfigError::Certificates(error.to_string());
    // If no certificate is verified, the system's need not be read.
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

/// Limits the total time of name lookup, connection and TLS handshake, each of which can hang.
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
