// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What can be done with an image: one operation a file. No HTTP in here.

mod abandoned;
mod acl;
mod activate;
mod add_file;
mod announced;
mod archive;
mod change;
mod change_stor;
mod channels;
mod check_files;
mod clone;
mod code;
mod create;
mod create_from_vm;
mod current;
mod delete;
mod enable;
mod error;
mod expiry;
mod export;
mod fetch;
mod get_file;
mod health;
mod icon;
mod import;
mod import_from_datacenter;
mod import_remote;
mod jobs;
mod large;
mod list;
mod locks;
mod lookup;
mod origin;
mod pace;
mod placeholders;
mod placing;
mod precondition;
mod prepare_image;
mod reading;
mod rename;
mod scrub;
mod ship;
mod sign_of_life;
mod sweep;
mod update;
mod uploads;

use std::sync::Arc;

use tracing::Instrument;

use crate::accounts::Accounts;
use crate::config::{ChannelId, Config};
use crate::db::Database;
use crate::import::Fetcher;
use crate::jobs::{Jobs, Machines};
use crate::manifest::{Rules, Uuid, times};
use crate::storage::Storage;
use crate::telemetry::Metrics;
use crate::workers::Poke;

pub use acl::{AclAction, update_acl};
pub use activate::activate;
pub use add_file::{FileUpload, add_file, check_unactivated};
pub use announced::Announced;
pub use change_stor::change_stor;
pub use channels::add_channel;
pub use check_files::{BadFile, CheckOptions, CheckReport, Orphan, Step, check_files};
pub use clone::clone_image;
pub use code::Code;
pub use create::create;
pub use create_from_vm::{VmImage, check_vm_images, create_from_vm};
pub use current::CurrentApp;
pub use delete::delete;
pub use enable::set_disabled;
pub use error::{ApiError, ApiResult};
pub use expiry::Expiry;
pub use export::{Exported, export};
pub use fetch::{add_file_from_source, add_file_from_url, import_from_source};
pub use get_file::{OpenFile, get_file};
pub use health::{Backend, BackendError, BackendState, Health, health};
pub use icon::{IconUpload, OpenIcon, add_icon, delete_icon, get_icon};
use import::refuse_existing;
pub use import::{ImportOptions, import};
pub use import_from_datacenter::import_from_datacenter;
pub use import_remote::import_remote;
pub use jobs::{StartedJob, image_jobs};
pub use large::{Size, off_the_runtime};
pub use list::list;
pub use lookup::{checked, lookup, owned};
pub use pace::paced;
pub use placeholders::Placeholders;
pub use placing::{target_of_file, target_of_icon};
pub use precondition::Precondition;
pub use scrub::{Counts, Finding, Findings, Problem, Scrub};
pub use ship::Shipping;
pub use sweep::Sweep;
pub use update::update;

pub use crate::storage::StoredFile;

use locks::{ImageLocks, Kind};
use uploads::Uploads;

/// What the operations work with: the configuration and the backends.
#[derive(Debug)]
pub struct App {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The manifests.
    pub db: Arc<Database>,
    /// The files.
    pub storage: Storage,
    /// The owners, in a datacenter. Elsewhere any UUID may own an image.
    pub accounts: Option<Accounts>,
    /// What the scrubber has found.
    pub findings: Findings,
    /// The jobs.
    pub jobs: Jobs,
    /// How the backends are.
    health: Health,
    /// The VMs, and the servers that they are on.
    machines: Arc<Machines>,
    /// The way to other servers.
    fetcher: Arc<Fetcher>,
    metrics: Arc<Metrics>,
    /// Held while an image's files are published, moved or deleted; taken after `moves`.
    locks: ImageLocks,
    /// Held while files of an image are copied to their final names; taken before the others.
    moves: ImageLocks,
    /// Held while an image's record is changed; taken after the others.
    changes: ImageLocks,
    /// The files on their way here.
    uploads: Uploads,
    /// The archive of manifests has changed.
    archive: Poke,
}

impl App {
    /// Puts the backends together.
    pub fn new(
        config: Arc<Config>,
        db: Database,
        storage: Storage,
        accounts: Option<Accounts>,
        metrics: Arc<Metrics>,
    ) -> App {
        let fetcher = Arc::new(Fetcher::new(&config));
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
            archive: Poke::default(),
        }
    }

    /// The App of another configuration in the same process, with its backends. What that does not change they have in
    /// common; and always what keeps requests apart from each other, because those that have begun go on with this one.
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
            has_my_name && config.outgoing == mine.outgoing && config.transfer.idle == mine.transfer.idle;
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
            health: self.health.followed(),
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
            archive: self.archive.clone(),
        }
    }

    /// Tells of every change of the archive of manifests.
    pub fn archive_changes(&self) -> Poke {
        self.archive.clone()
    }

    /// What a server of this configuration asks of a manifest.
    pub fn rules_of(config: &Config) -> Rules {
        Rules { mode: config.mode, channels_configured: !config.channels.is_empty() }
    }

    fn rules(&self) -> Rules {
        App::rules_of(&self.config)
    }

    /// The name of a channel, for a record.
    fn channel_name(&self, channel: Option<ChannelId>) -> Option<String> {
        channel.map(|channel| self.config.channels.name(channel).to_owned())
    }

    /// 422 `OwnerDoesNotExist` for an owner that the datacenter's directory does not know.
    async fn check_owner(&self, owner: Uuid) -> ApiResult<()> {
        match &self.accounts {
            Some(accounts) if !accounts.exists(owner).await? => {
                let message = format!("owner {owner} does not exist");
                Err(ApiError::new(Code::OwnerDoesNotExist, message))
            }
            _ => Ok(()),
        }
    }
}

/// Runs a change to its end, whether or not the client waits for it: one that is dropped half way would not know which
/// of its files the database names by then.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    tokio::spawn(Size::of_request().follow(work.in_current_span())).await.unwrap_or_else(|stopped| {
        Err(ApiError::new(Code::InternalError, "the server is being stopped").because(stopped))
    })
}

/// The present, as manifests have it.
fn now() -> String {
    times::iso_millis(time::OffsetDateTime::now_utc())
}

/// Which image a request is about, and on behalf of whom.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// The image.
    pub uuid: Uuid,
    /// The channel that the image must be in; `None` for any, and where there are no channels.
    pub channel: Option<ChannelId>,
    /// The account of an account call; `None` in an operator call, which may see and do everything.
    pub account: Option<Uuid>,
}
