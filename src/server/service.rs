// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The running service: which parts a change of the configuration replaces, and which it keeps.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::descriptors::Descriptors;
use super::events::Events;
use super::generation::Generation;
use super::limits::{ConnectionConfig, ServeConfig};
use super::listener::{OpenListener, Server};
use super::metrics::MetricsServer;
use super::reload_error::ReloadError;
use super::watch::{Reason, Watch};
use super::workers;
use crate::api::{Api, AppState};
use crate::config::{Config, ReloadStatus};
use crate::images::{App, CurrentApp};
use crate::telemetry::{Json, LogControl, Metrics, StaticLabels, err};
use crate::workers::{Prepared, Workers};

/// For how long an invalid file is assumed to be still being written.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);
/// The pause between two reads of such a file.
const SETTLE_STEP: Duration = Duration::from_millis(200);

/// The configuration file at the start, and the options of the command line.
pub(super) struct StartOptions<'a> {
    pub(super) file: &'a Path,
    /// Whether the command line sets the log level.
    pub(super) has_level: bool,
    pub(super) log: LogControl,
}

/// The service, whose configuration may change while it runs.
pub(super) struct ImgapiService {
    generation: Generation,
    current: CurrentApp,
    api: CurrentApi,
    server: Arc<Server<CurrentApi>>,
    open_listener: OpenListener,
    metrics_server: MetricsServer,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    reload_status: Arc<ReloadStatus>,
    /// A key file that a rejected configuration needs.
    missing_key: Option<PathBuf>,
    /// Absent if the command line sets the log level.
    log: Option<LogControl>,
}

/// Passes each request to the API of the configuration that is active when the request arrives.
#[derive(Clone)]
pub(super) struct CurrentApi(Arc<ArcSwap<Api>>);

impl Service<Request> for CurrentApi {
    type Response = Response;
    type Error = Infallible;
    type Future = <Api as Service<Request>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The API itself is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut api = Api::clone(&self.0.load());
        api.call(request)
    }
}

/// A new configuration that can be applied: everything that could fail has been done.
struct PreparedChange {
    next: Generation,
    /// The worker of the new authenticator.
    key_worker: Option<Prepared>,
    /// The new listener of the API, if its address changes.
    api: Option<TcpListener>,
    /// The new listener of the metrics, if their address changes; the inner `None` if they are no longer served.
    metrics: Option<Option<TcpListener>>,
}

/// The result of reading the files.
enum Difference {
    Change(Box<PreparedChange>),
    /// The file holds the active configuration.
    Nothing,
    /// The file holds the active configuration, but a key has changed.
    Key,
}

impl ImgapiService {
    /// Serves with the first generation on this listener, until `shutdown`. Must be called within the runtime.
    pub(super) fn start(
        start: StartOptions<'_>,
        first: (Generation, Option<Prepared>),
        metrics: Arc<Metrics>,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> ImgapiService {
        let (first, key_worker) = first;
        let config = Arc::clone(&first.app.config);
        let workers = Arc::new(Workers::new(Arc::clone(&metrics)));
        let current = CurrentApp::new(Arc::clone(&first.app));
        workers::start(&workers, &current, key_worker);
        let mut metrics_server =
            MetricsServer::new(&metrics, current.clone(), start.log.clone(), shutdown.clone());
        if let Some(address) = config.metrics {
            metrics_server.start(address.into());
        }
        let reload_status = Arc::new(ReloadStatus::new(start.file.to_owned()));
        let api =
            CurrentApi(Arc::new(ArcSwap::from_pointee(api_of(&first, &workers, &metrics, &reload_status))));
        let events = Arc::new(Events::new(Arc::clone(&metrics)));
        let server = Arc::new(Server::new(api.clone(), limits(&config), events, shutdown));
        let open_listener = server.open(listener);
        ImgapiService {
            generation: first,
            current,
            api,
            server,
            open_listener,
            metrics_server,
            workers,
            metrics,
            reload_status,
            missing_key: None,
            log: (!start.has_level).then_some(start.log),
        }
    }

    /// Returns the server, which accepts connections.
    pub(super) fn server(&self) -> Arc<Server<CurrentApi>> {
        Arc::clone(&self.server)
    }

    /// Returns the app of the active configuration.
    pub(super) fn app(&self) -> &App {
        &self.generation.app
    }

    /// Applies the configuration file whenever it changes, until `shutdown`.
    pub(super) async fn follow(mut self, mut watch: Watch, shutdown: CancellationToken) -> ImgapiService {
        loop {
            watch.follow(self.files());
            let reason = tokio::select! {
                () = shutdown.cancelled() => return self,
                reason = watch.reason() => reason,
            };
            let found = tokio::select! {
                () = shutdown.cancelled() => return self,
                found = self.look(reason, &mut watch) => found,
            };
            self.missing_key = None;
            match found {
                Ok(Difference::Change(change)) => self.apply(*change).await,
                Ok(Difference::Key) => {
                    tracing::info!("manta.key is another one, which is used from now on");
                    self.report_unchanged();
                }
                Ok(Difference::Nothing) => self.report_unchanged(),
                Err(refused) => self.reject(refused),
            }
            if reason == Reason::Hangup {
                self.generation.auth.reload();
            }
        }
    }

    /// Returns the files to watch.
    fn files(&self) -> BTreeSet<PathBuf> {
        let manta = self.generation.app.config.manta.as_ref();
        let keys = manta.map(|manta| manta.key.clone()).into_iter().chain(self.missing_key.clone());
        keys.chain([self.reload_status.file().to_owned()]).collect()
    }

    /// Reads the files. If they may still be being written, it reads them again for a while, but not after a hangup.
    async fn look(&self, reason: Reason, watch: &mut Watch) -> Result<Difference, ReloadError> {
        let mut until = Instant::now();
        if reason == Reason::Changed {
            until += SETTLE_LIMIT;
        }
        loop {
            match self.prepare().await {
                Err(refused) if refused.may_be_unfinished() && Instant::now() < until => {}
                found => return found,
            }
            tokio::select! {
                () = watch.hangup() => until = Instant::now(),
                () = sleep(SETTLE_STEP) => {}
            }
        }
    }

    /// Prepares everything for the configuration in the file. Nothing active is changed, except for keys.
    async fn prepare(&self) -> Result<Difference, ReloadError> {
        let file = self.reload_status.file().to_owned();
        // This fails only when the process is being stopped.
        let Ok(config) = tokio::task::spawn_blocking(move || Config::load(&file)).await else {
            return Ok(Difference::Nothing);
        };
        let config = Arc::new(config?);
        let mine = &self.generation.app.config;
        if config.says_the_same_as(mine) {
            let is_another = self.generation.renew_key().await?;
            return Ok(if is_another { Difference::Key } else { Difference::Nothing });
        }
        let (next, key_worker) = self.generation.next(Arc::clone(&config), &self.metrics).await?;
        let api = match SocketAddr::new(config.address, config.port) {
            same if same == SocketAddr::new(mine.address, mine.port) => None,
            other => Some(listen(other).await?),
        };
        let metrics = match config.metrics {
            same if same == mine.metrics => None,
            None => Some(None),
            Some(other) => Some(Some(listen(other.into()).await?)),
        };
        next.ready(&self.generation).await;
        Ok(Difference::Change(Box::new(PreparedChange { next, key_worker, api, metrics })))
    }

    /// Applies a change. New requests are answered under the new configuration. Current ones continue under the earlier
    /// one, whose backends are dropped with the last of them.
    async fn apply(&mut self, change: PreparedChange) {
        let PreparedChange { next, key_worker, api, metrics } = change;
        let config = Arc::clone(&next.app.config);
        let changed = changed_keys(&self.generation.app.config, &config);
        self.server.set_config(limits(&config));
        self.metrics.set_labels(&labels(&config));
        self.reload_status.set_loaded();
        self.current.set(Arc::clone(&next.app));
        self.api.0.store(Arc::new(api_of(&next, &self.workers, &self.metrics, &self.reload_status)));
        if let Some(listener) = api {
            if let Ok(address) = listener.local_addr() {
                tracing::info!("Image API listening on <http://{address}>.");
            }
            std::mem::replace(&mut self.open_listener, self.server.open(listener)).close();
        }
        if let Some(listener) = metrics {
            self.metrics_server.move_to(listener);
        }
        if let Some(log) = &self.log {
            log.set_level(config.log_level);
        }
        self.metrics.config_applied();
        tracing::info!(changed, config.json = %Json(&config.masked()), "the configuration has changed");
        warn_of(&config);
        workers::change(&self.workers, &self.current, &self.generation, &next, key_worker).await;
        self.generation = next;
    }

    /// Reports that the file holds the active configuration.
    fn report_unchanged(&self) {
        if self.reload_status.clear_error() {
            self.metrics.config_unchanged();
            tracing::info!("the configuration file says again what is in force");
        } else {
            tracing::debug!("the configuration file says what is in force");
        }
    }

    fn reject(&mut self, refused: ReloadError) {
        tracing::error!(err.json = %err(&refused), "the new configuration is refused, and the former one stays in force");
        self.metrics.config_rejected();
        self.reload_status.set_error(refused.to_string());
        if let ReloadError::Key { file, .. } = refused {
            self.missing_key = Some(file);
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ReloadError> {
    TcpListener::bind(address).await.map_err(|source| ReloadError::Listen { address, source })
}

fn api_of(
    generation: &Generation,
    workers: &Arc<Workers>,
    metrics: &Arc<Metrics>,
    reload_status: &Arc<ReloadStatus>,
) -> Api {
    Api::new(AppState::new(
        Arc::clone(&generation.app),
        Arc::clone(&generation.auth),
        Arc::clone(workers),
        Arc::clone(metrics),
        Arc::clone(reload_status),
        &host_name(),
    ))
}

fn limits(config: &Config) -> ServeConfig {
    let share = Descriptors::current().share(config.max_connections);
    if share.served < config.max_connections {
        let (served, wanted) = (share.served, config.max_connections);
        tracing::info!("the limit of file descriptors allows for {served} connections, not {wanted}");
    }
    ServeConfig {
        max_connections: share.served,
        max_refused: share.refused,
        drain_limit: config.shutdown_grace,
        connection: ConnectionConfig { transfer: config.transfer, ..ConnectionConfig::default() },
    }
}

/// Logs what is probably not what the operator wants.
pub(super) fn warn_of(config: &Config) {
    for warning in config.warnings() {
        tracing::warn!(key = warning.key, reason = warning.message, "the configuration may be wrong");
    }
}

/// Returns the labels of every metric.
pub(super) fn labels(config: &Config) -> StaticLabels {
    StaticLabels {
        datacenter: config.datacenter_name.clone(),
        instance: config.identity.instance.clone(),
        server: config.identity.server.clone(),
        service: config.identity.service.clone(),
    }
}

fn host_name() -> String {
    String::from_utf8_lossy(rustix::system::uname().nodename().to_bytes()).into_owned()
}

/// Returns the names of the keys whose values differ.
fn changed_keys(before: &Config, after: &Config) -> String {
    let (before, after) = (before.merged(), after.merged());
    let others = after.iter().filter(|(key, value)| before.get(*key) != Some(*value)).map(|(key, _)| key);
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    others.chain(gone).map(String::as_str).collect::<Vec<_>>().join(", ")
}
