// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::base_dir::{self, NoBaseDir};
use super::descriptors::Descriptors;
use super::generation::Generation;
use super::service::{ImgapiService, StartOptions, labels, warn_of};
use super::watch::Watch;
use crate::config::{Config, ConfigError};
use crate::db::OpenError;
use crate::platform;
use crate::telemetry::{self, InitError, Json, Level, LogOptions, Metrics, MetricsError};

/// How long the last calls to Moray may take once all clients have their answers.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// How long a shutdown waits for a disk that does not respond. The next start does the work that is left.
const DISK_LIMIT: Duration = Duration::from_secs(5);

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
    /// The base directory cannot be created.
    #[error(transparent)]
    BaseDir(#[from] NoBaseDir),
    /// The API's address cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The system refused something that every process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs the service with the configuration file at `path` until SIGTERM or SIGINT. `debug` counts `-d` on the command
/// line. Changes of the file are applied while the service runs.
///
/// Moray and UFDS may be unavailable, at the start and later: requests that need them are then answered 503.
///
/// # Errors
/// The service cannot start.
pub fn serve(path: &Path, debug: u8) -> Result<(), ServeError> {
    let config = Config::load(path)?;
    let level = if debug > 0 { Level::from_debug_flags(debug) } else { config.log_level };
    let logger = telemetry::init(&LogOptions { level, source: debug > 2, ..LogOptions::default() })?;
    logger.install_panic_hook();
    Descriptors::raise();
    platform::share_memory();
    let threads = platform::processors();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let start = StartOptions { file: path, has_level: debug > 0, log: logger.control() };
    let served = runtime.block_on(run(start, Arc::new(config)));
    runtime.shutdown_timeout(DISK_LIMIT);
    if let Err(error) = &served {
        tracing::error!(err.json = %telemetry::err(error), "error starting up");
    }
    served
}

async fn run(start: StartOptions<'_>, config: Arc<Config>) -> Result<(), ServeError> {
    tracing::info!(config.json = %Json(&config.masked()), "loaded config");
    warn_of(&config);
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let watch = Watch::new(start.file.to_owned(), signal(SignalKind::hangup())?, true).await;
    let address = SocketAddr::new(config.address, config.port);
    let api = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let address = api.local_addr()?;
    base_dir::prepare(&config)?;
    let metrics = Arc::new(Metrics::new(&labels(&config))?);
    let first = tokio::select! {
        first = Generation::first(config, Arc::clone(&metrics)) => first?,
        () = shutdown.cancelled() => {
            tracing::info!("stopped before the start was over");
            return Ok(());
        }
    };
    let running = ImgapiService::start(start, first, metrics, api, shutdown.clone());
    tracing::info!("Image API listening on <http://{address}>.");
    let server = running.server();
    let following = tokio::spawn(running.follow(watch, shutdown));
    let drained = server.finished().await;
    if let Ok(last) = following.await {
        last.app().db.close(CLOSE_LIMIT).await;
    }
    tracing::info!(cut = drained.cut, "stopped");
    Ok(())
}

/// The first signal lets running transfers finish, within the limit of the configuration. The second one ends the
/// process at once.
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
