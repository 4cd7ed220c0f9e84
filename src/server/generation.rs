// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A generation: everything that answers requests under one configuration, and how the next one is made from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::reload_error::ReloadError;
use crate::accounts::Accounts;
use crate::auth::Authenticator;
use crate::config::{self, Config};
use crate::db::{Database, LocalDatabase, MorayDatabase, OpenError};
use crate::files::{DirectoryLock, LockError};
use crate::images::{App, take_over_imgapid};
use crate::storage::{LocalStorage, MantaConnection, MantaStorage, Storage};
use crate::telemetry::{self, Metrics};
use crate::workers::Prepared;

/// How long a change waits for new backends. A slower backend answers as it does after a start.
const READY_LIMIT: Duration = Duration::from_secs(3);

/// An app and its authenticator. A backend's connections end when its last user is dropped.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) app: Arc<App>,
    pub(super) auth: Arc<Authenticator>,
    manta: Option<MantaConnection>,
    /// Absent if the directory could not be used at the start.
    lock: Option<DirectoryLock>,
}

impl Generation {
    /// Creates the backends, none of which has to answer yet. The worker returned is the authenticator's, if it has one.
    ///
    /// # Errors
    /// Another process uses the local directory, or the manifests are local and cannot be used.
    pub(super) async fn first(
        config: Arc<Config>,
        metrics: Arc<Metrics>,
    ) -> Result<(Generation, Option<Prepared>), OpenError> {
        let local = LocalStorage::new(config.local_base_dir.clone());
        let lock = DirectoryLock::take(&config.local_base_dir);
        if let Err(in_use @ LockError::InUse(_)) = lock {
            return Err(in_use.into());
        }
        if let Err(error) = local.prepare().await {
            tracing::error!(err.json = %telemetry::err(&error), "local storage cannot be used now");
        }
        let rules = App::rules_of(&config);
        let (db, lock) = match &config.database {
            config::Database::Moray(moray) => {
                let db = MorayDatabase::new(moray, rules, Arc::clone(&metrics));
                let told = |error: &LockError| tracing::error!(err.json = %telemetry::err(error), "the local directory is not locked");
                (Database::Moray(db), lock.inspect_err(told).ok())
            }
            config::Database::Local => {
                let lock = lock?;
                let db = LocalDatabase::open(lock.clone(), rules, Arc::clone(&metrics)).await?;
                (Database::Local(db), Some(lock))
            }
        };
        let manta = config.manta.clone().map(MantaConnection::new);
        let in_manta = manta.clone().filter(|manta| manta.config().stores_files).map(MantaStorage::new);
        let accounts = config.ufds.clone().map(|ufds| Accounts::new(ufds, Arc::clone(&metrics)));
        let (auth, key_worker) = Authenticator::new(&config, manta.clone()).await;
        let app = App::new(config, db, Storage::new(local, in_manta), accounts, metrics);
        if app.config.database == config::Database::Local {
            take_over_imgapid(&app).await;
        }
        Ok((Generation { app: Arc::new(app), auth: Arc::new(auth), manta, lock }, key_worker))
    }

    /// Makes the generation of another configuration. Backends with unchanged settings are kept; new ones are not
    /// waited for. The worker returned is the authenticator's, if the authenticator is new and has one.
    ///
    /// # Errors
    /// This process cannot use the configuration, or Manta's key cannot be used.
    pub(super) async fn next(
        &self,
        config: Arc<Config>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Generation, Option<Prepared>), ReloadError> {
        let mine = &self.app.config;
        let rules = App::rules_of(&config);
        let has_my_rules = rules == App::rules_of(mine);
        if let Some(key) = mine.needs_restart_for(&config) {
            return Err(ReloadError::Restart(key));
        }
        let manta = self.next_manta(&config).await?;
        let db = match &config.database {
            config::Database::Moray(moray) if config.database != mine.database || !has_my_rules => {
                Arc::new(Database::Moray(MorayDatabase::new(moray, rules, Arc::clone(metrics))))
            }
            _ => Arc::clone(&self.app.db),
        };
        let accounts = match &config.ufds {
            same if *same == mine.ufds => self.app.accounts.clone(),
            other => other.clone().map(|ufds| Accounts::new(ufds, Arc::clone(metrics))),
        };
        let has_my_manta = match (&manta, &self.manta) {
            (Some(next), Some(mine)) => next.ptr_eq(mine),
            (next, mine) => next.is_none() && mine.is_none(),
        };
        let uses_manta = matches!(config.auth, config::Auth::Signature(_));
        let (auth, key_worker) = if config.auth == mine.auth && (has_my_manta || !uses_manta) {
            (Arc::clone(&self.auth), None)
        } else {
            let (auth, key_worker) = Authenticator::new(&config, manta.clone()).await;
            (Arc::new(auth), key_worker)
        };
        let app = self.app.reconfigured(config, db, self.next_storage(manta.as_ref()), accounts);
        let lock = self.lock.clone();
        Ok((Generation { app: Arc::new(app), auth, manta, lock }, key_worker))
    }

    /// Returns the connection to the Manta of a configuration, with the current key.
    async fn next_manta(&self, config: &Config) -> Result<Option<MantaConnection>, ReloadError> {
        let Some(wanted) = &config.manta else { return Ok(None) };
        match &self.manta {
            Some(mine) if mine.config().is_same_as(wanted) => {
                mine.expect_key(wanted.key_id.clone());
                self.renew_key().await?;
                Ok(Some(mine.clone()))
            }
            _ => {
                let manta = MantaConnection::new(wanted.clone());
                let renewed = manta.renew().await;
                renewed.map_err(|reason| ReloadError::Key { file: wanted.key.clone(), reason })?;
                Ok(Some(manta))
            }
        }
    }

    fn next_storage(&self, manta: Option<&MantaConnection>) -> Storage {
        let storing = manta.filter(|manta| manta.config().stores_files);
        let next = match (self.app.storage.manta(), storing) {
            (_, None) => None,
            (Err(_), Some(manta)) => Some(MantaStorage::new(manta.clone())),
            (Ok(mine), Some(manta)) if mine.uses(manta) => Some(mine.clone()),
            (Ok(mine), Some(manta)) => Some(mine.reconfigured(manta.clone())),
        };
        Storage::new(self.app.storage.local.clone(), next)
    }

    /// Reads Manta's key again. Returns whether it has changed.
    ///
    /// # Errors
    /// The key cannot be used, and the earlier one could be.
    pub(super) async fn renew_key(&self) -> Result<bool, ReloadError> {
        let Some(manta) = &self.manta else { return Ok(false) };
        match manta.renew().await {
            Ok(is_another) => Ok(is_another),
            // The key was unusable from the start, which is reported whenever Manta is needed.
            Err(_) if !manta.has_key() => Ok(false),
            Err(reason) => Err(ReloadError::Key { file: manta.config().key.clone(), reason }),
        }
    }

    /// Waits some seconds for the backends that `before` does not have.
    pub(super) async fn ready(&self, before: &Generation) {
        let images = async {
            if !self.has_database_of(before) {
                // This fails only when the process is being stopped.
                let _ = self.app.db.filtered(|_| false).await;
            }
        };
        let jobs = async {
            if !self.app.jobs.ptr_eq(&before.app.jobs) {
                self.app.jobs.check_availability().await;
            }
        };
        if timeout(READY_LIMIT, async { tokio::join!(images, jobs) }).await.is_err() {
            tracing::warn!("the backends of the new configuration do not answer yet");
        }
    }

    pub(super) fn has_database_of(&self, other: &Generation) -> bool {
        Arc::ptr_eq(&self.app.db, &other.app.db)
    }

    /// Returns whether everything that background work depends on is the same.
    pub(super) fn has_backends_of(&self, other: &Generation) -> bool {
        let same_storage = match (self.app.storage.manta(), other.app.storage.manta()) {
            (Ok(mine), Ok(theirs)) => mine.ptr_eq(theirs),
            (mine, theirs) => mine.is_err() && theirs.is_err(),
        };
        self.has_database_of(other)
            && same_storage
            && self.app.config.ufds == other.app.config.ufds
            && self.app.jobs.ptr_eq(&other.app.jobs)
    }
}
