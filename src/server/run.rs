use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionConfig;
use super::listener::{self, ConnectionEvents, ServeConfig};
use super::refusal::Refusal;
use crate::accounts::Accounts;
use crate::api::{self, AppState};
use crate::auth::Authenticator;
use crate::config::{self, Config, ConfigError, Stalled};
use crate::db::{Database, LocalDatabase, MorayDatabase, OpenError};
use crate::images::{App, Expiry, Placeholders, Scrub, Shipping, Sweep};
use crate::storage::{LocalStorage, MantaStorage, Storage};
use crate::telemetry::{
    self, InitError, Json, Level, LogControl, LogOptions, Metrics, MetricsError, StaticLabels,
};
use crate::workers::{Next, Poke, Workers};

/// How long the last requests to Moray may take once all clients have their answers.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Between attempts to listen for metrics.
const METRICS_RETRY: Duration = Duration::from_secs(10);
/// Scrapers are few.
const METRICS_CONNECTIONS: usize = 100;
const METRICS_DRAIN: Duration = Duration::from_secs(1);

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging could not be set up.
    #[error(transparent)]
    Logging(#[from] InitError),
    /// Metrics could not be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The manifests cannot be used.
    #[error(transparent)]
    Manifests(#[from] OpenError),
    /// The API's address is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The system refuses what every process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Serves with the configuration file at `path` until SIGTERM or SIGINT. `debug` counts `-d` on the command line.
///
/// Moray and UFDS may be away at the start and later: requests that need them are answered 503 meanwhile.
///
/// # Errors
/// When the service cannot start.
pub fn serve(path: &Path, debug: u8) -> Result<(), ServeError> {
    let config = Config::load(path)?;
    let level = if debug > 0 { Level::from_debug_flags(debug) } else { config.log_level };
    let logger = telemetry::init(&LogOptions { level, source: debug > 2, ..LogOptions::default() })?;
    logger.install_panic_hook();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(run(Arc::new(config), logger.control()));
    if let Err(error) = &served {
        tracing::error!(err.json = %telemetry::err(error), "error starting up");
    }
    served
}

async fn run(config: Arc<Config>, log: LogControl) -> Result<(), ServeError> {
    tracing::info!(config.json = %Json(&config.masked()), "loaded config");
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let address = SocketAddr::new(config.address, config.port);
    let api = listen(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let address = api.local_addr()?;

    let metrics = Arc::new(Metrics::new(&labels(&config))?);
    let app = Arc::new(build(Arc::clone(&config), Arc::clone(&metrics)).await?);
    let workers = Arc::new(Workers::new(Arc::clone(&metrics)));
    workers.start(Sweep::new(Arc::clone(&app)), Next::Now, Poke::default());
    if app.storage.manta().is_ok() {
        workers.start(Shipping::new(Arc::clone(&app)), Next::Now, app.archive_changes());
    }
    workers.start(Expiry::new(Arc::clone(&app)), Next::Now, Poke::default());
    if let Some(scrub) = Scrub::new(Arc::clone(&app)) {
        workers.start(scrub, Next::Now, Poke::default());
    }
    if let Some((watch, poke)) = app.jobs.watch() {
        workers.start(watch, Next::Now, poke);
        workers.start(Placeholders::new(Arc::clone(&app)), Next::Now, Poke::default());
    }
    if let Some((ip, port)) = config.metrics {
        let router = metrics_router(&metrics, &app, log);
        tokio::spawn(serve_metrics(SocketAddr::new(ip, port), router, shutdown.clone()));
    }

    tracing::info!("Image API listening on <http://{address}>.");
    let auth = Authenticator::start(&config, &workers).await;
    let state = AppState::new(Arc::clone(&app), auth, workers, Arc::clone(&metrics), &host_name());
    let limits = ServeConfig {
        max_connections: config.max_connections,
        drain_limit: config.shutdown_grace,
        connection: ConnectionConfig { transfer: config.transfer, ..ConnectionConfig::default() },
    };
    let events = Arc::new(Events { metrics });
    let drained = listener::serve(vec![api], api::service(state), limits, events, shutdown).await;
    app.db.close(CLOSE_LIMIT).await;
    tracing::info!(cut = drained.cut, "stopped");
    Ok(())
}

/// Connects the backends; none of them has to answer.
async fn build(config: Arc<Config>, metrics: Arc<Metrics>) -> Result<App, OpenError> {
    let storage = LocalStorage::new(config.local_base_dir.clone());
    if let Err(error) = storage.prepare().await {
        tracing::error!(err.json = %telemetry::err(&error), "local storage cannot be used now");
    }
    let rules = App::rules_of(&config);
    let db = match &config.database {
        config::Database::Moray(moray) => {
            Database::Moray(MorayDatabase::new(moray, rules, Arc::clone(&metrics)))
        }
        config::Database::Local => {
            let base = config.local_base_dir.clone();
            Database::Local(LocalDatabase::open(base, rules, Arc::clone(&metrics)).await?)
        }
    };
    let manta = config.manta.clone().filter(|manta| manta.stores_files).map(MantaStorage::new);
    let storage = Storage::new(storage, manta);
    let accounts = config.ufds.clone().map(|ufds| Accounts::new(ufds, Arc::clone(&metrics)));
    Ok(App::new(config, db, storage, accounts, metrics))
}

fn labels(config: &Config) -> StaticLabels {
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

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

fn metrics_router(metrics: &Arc<Metrics>, app: &Arc<App>, log: LogControl) -> axum::Router {
    let (metrics, app, started) = (Arc::clone(metrics), Arc::clone(app), Instant::now());
    api::metrics_router(Arc::clone(&metrics), move || {
        metrics.set_moray_connections(app.db.connections());
        let status = app.db.status();
        metrics.set_database(
            status.images.unwrap_or(0),
            status.damaged.len(),
            status.age.unwrap_or_else(|| started.elapsed()),
        );
        metrics.set_log_dropped(log.dropped());
    })
}

/// Serves metrics; an address that is not to be had is tried again, because the API does not depend on it.
async fn serve_metrics(address: SocketAddr, router: axum::Router, shutdown: CancellationToken) {
    loop {
        match listen(address).await {
            Ok(listener) => {
                tracing::info!(component = "metrics", "metrics server started on http://{address}/metrics");
                let limits = ServeConfig {
                    max_connections: METRICS_CONNECTIONS,
                    drain_limit: METRICS_DRAIN,
                    connection: ConnectionConfig::default(),
                };
                listener::serve(vec![listener], router, limits, Arc::new(Quiet), shutdown).await;
                return;
            }
            Err(error) => {
                tracing::error!(component = "metrics", err.json = %telemetry::err(&error), "cannot listen on {address}");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(METRICS_RETRY) => {}
        }
    }
}

/// The first signal lets running transfers finish, within the limit of the configuration; a second one ends at once.
fn stop_on_signals(shutdown: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!("{name}: stopping");
        shutdown.cancel();
        next().await;
        std::process::exit(1);
    });
    Ok(())
}

/// What the API's connections tell.
struct Events {
    metrics: Arc<Metrics>,
}

impl ConnectionEvents for Events {
    fn opened(&self) {
        self.metrics.connection_opened();
    }

    fn closed(&self) {
        self.metrics.connection_closed();
    }

    fn refused(&self, peer: SocketAddr, refusal: &Refusal) {
        let status = refusal.status.as_u16();
        self.metrics.observe_request("unknown", "unknown", None, status, Duration::ZERO);
        tracing::info!(
            remoteAddress = %peer.ip(),
            remotePort = peer.port(),
            code = refusal.code,
            "refused: {status}: {}",
            refusal.message
        );
    }

    fn stalled(&self, peer: SocketAddr, stalled: Stalled) {
        self.metrics.transfer_stalled_out();
        tracing::info!(remoteAddress = %peer.ip(), remotePort = peer.port(), "giving up an answer: {stalled}");
    }
}

/// The metrics' connections are not counted.
struct Quiet;

impl ConnectionEvents for Quiet {
    fn refused(&self, _peer: SocketAddr, _refusal: &Refusal) {}

    fn stalled(&self, _peer: SocketAddr, _stalled: Stalled) {}
}
