// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What all operations share: the configuration, the backends and the locks.

use std::sync::Arc;

use tracing::Instrument;

use super::files::uploads::Uploads;
use super::foreign::running::Imports;
use super::health::Health;
use super::integrity::scrub::Findings;
use super::large::Size;
use super::locks::{ImageLocks, Kind};
use super::{ApiError, ApiResult, Code};
use crate::accounts::Accounts;
use crate::config::{ChannelId, Config};
use crate::db::Database;
use crate::import::Fetcher;
use crate::jobs::{Jobs, Machines};
use crate::manifest::{Rules, Uuid};
use crate::storage::Storage;
use crate::telemetry::Metrics;
use crate::workers::Poke;

/// What the operations work with: the configuration and the backends.
#[derive(Debug)]
pub struct App {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The manifests.
    pub db: Arc<Database>,
    /// The files.
    pub storage: Storage,
    /// The accounts of the datacenter. Elsewhere any UUID may own an image.
    pub accounts: Option<Accounts>,
    /// The problems that the scrubber has found.
    pub findings: Findings,
    /// The client of the Workflow API.
    pub jobs: Jobs,
    /// The last known state of each backend.
    pub(super) health: Health,
    /// The clients of VMAPI and CNAPI, which know the VMs and their servers.
    pub(super) machines: Arc<Machines>,
    /// The HTTP client that fetches from other servers.
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) metrics: Arc<Metrics>,
    /// Held while an image is fetched from a server of another kind, so that it is fetched once; taken before the others.
    pub(super) fetches: ImageLocks,
    /// Held while an image's files are published, moved or deleted; taken after `moves`.
    pub(super) locks: ImageLocks,
    /// Held while files of an image are copied to their final names; taken before the others.
    pub(super) moves: ImageLocks,
    /// Held while an image's record is changed; taken after the others.
    pub(super) changes: ImageLocks,
    /// The uploads that this process is receiving.
    pub(super) uploads: Uploads,
    /// The imports from image servers of other kinds that this process is carrying out.
    pub imports: Imports,
    /// Wakes the worker that ships the archive of manifests.
    pub(super) archive: Poke,
}

impl App {
    /// Puts an app together from its backends, and makes the clients of other services.
    pub fn new(
        config: Arc<Config>,
        db: Database,
        storage: Storage,
        accounts: Option<Accounts>,
        metrics: Arc<Metrics>,
    ) -> App {
        let fetcher = Arc::new(Fetcher::new(&config));
        let imports = Imports::new(Arc::clone(&metrics));
        let (jobs, machines) = (Jobs::new(&config, &metrics), Arc::new(Machines::new(&config, &metrics)));
        App {
            config,
            db: Arc::new(db),
            storage,
            accounts,
            findings: Findings::new(Arc::clone(&metrics)),
            jobs,
            health: Health::default(),
            machines,
            fetcher,
            metrics,
            locks: ImageLocks::new(Kind::Files),
            moves: ImageLocks::new(Kind::Moves),
            changes: ImageLocks::new(Kind::Record),
            uploads: Uploads::default(),
            imports,
            fetches: ImageLocks::new(Kind::Fetches),
            archive: Poke::default(),
        }
    }

    /// The app of another configuration in the same process, with its backends. Both apps share the clients that the new
    /// configuration leaves unchanged. They always share the locks and the uploads, because running requests go on with the old
    /// app and must be kept apart from new ones.
    #[must_use]
    pub fn reconfigured(
        &self,
        config: Arc<Config>,
        db: Arc<Database>,
        storage: Storage,
        accounts: Option<Accounts>,
    ) -> App {
        let (mine, metrics) = (&self.config, &self.metrics);
        let has_my_name = config.server_name == mine.server_name;
        let keeps_fetcher =
            has_my_name && config.outgoing == mine.outgoing && config.transfer == mine.transfer;
        let keeps_jobs = has_my_name && config.jobs.wfapi == mine.jobs.wfapi;
        let keeps_machines =
            has_my_name && config.jobs.vmapi == mine.jobs.vmapi && config.jobs.cnapi == mine.jobs.cnapi;
        App {
            fetcher: match keeps_fetcher {
                true => Arc::clone(&self.fetcher),
                false => Arc::new(Fetcher::new(&config)),
            },
            jobs: match keeps_jobs {
                true => self.jobs.clone(),
                false => Jobs::new(&config, metrics),
            },
            machines: match keeps_machines {
                true => Arc::clone(&self.machines),
                false => Arc::new(Machines::new(&config, metrics)),
            },
            health: self.health.reconfigured(),
            config,
            db,
            storage,
            accounts,
            findings: self.findings.clone(),
            metrics: Arc::clone(metrics),
            locks: self.locks.clone(),
            moves: self.moves.clone(),
            changes: self.changes.clone(),
            uploads: self.uploads.clone(),
            imports: self.imports.clone(),
            fetches: self.fetches.clone(),
            archive: self.archive.clone(),
        }
    }

    /// Is poked at every change of the archive of manifests.
    pub fn archive_changes(&self) -> Poke {
        self.archive.clone()
    }

    /// The rules for manifests on a server of this configuration.
    pub fn rules_of(config: &Config) -> Rules {
        Rules { mode: config.mode, channels_configured: !config.channels.is_empty() }
    }

    pub(super) fn rules(&self) -> Rules {
        App::rules_of(&self.config)
    }

    /// The name of a channel, as records have it.
    pub(super) fn channel_name(&self, channel: Option<ChannelId>) -> Option<String> {
        channel.map(|channel| self.config.channels.name(channel).to_owned())
    }

    /// Fails with 422 `OwnerDoesNotExist` if the datacenter's directory does not know the owner.
    pub(super) async fn check_owner(&self, owner: Uuid) -> ApiResult<()> {
        match &self.accounts {
            Some(accounts) if !accounts.exists(owner).await? => {
                let message = format!("owner {owner} does not exist");
                Err(ApiError::new(Code::OwnerDoesNotExist, message))
            }
            _ => Ok(()),
        }
    }
}

/// Runs a change to its end, whether or not the client waits for it. A change that was dropped half way would not know which of
/// its files the database names.
pub(super) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    tokio::spawn(Size::of_request().track(work.in_current_span())).await.unwrap_or_else(|stopped| {
        Err(ApiError::new(Code::InternalError, "the server is being stopped").because(stopped))
    })
}

/// The image that a request names, and the caller.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// The image.
    pub uuid: Uuid,
    /// The channel that the image must be in; `None` for any, and where there are no channels.
    pub channel: Option<ChannelId>,
    /// The account of an account call; `None` in an operator call, which may see and do everything.
    pub account: Option<Uuid>,
}
