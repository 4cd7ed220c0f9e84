// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Accounts: the owners in the datacenter, as UFDS (its LDAP directory) knows them, and their SSH keys.

mod account_cache;
mod connection;
mod keys;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ldap3::{Ldap, LdapResult, Scope, SearchEntry, SearchResult, ldap_escape};

use crate::config;
use crate::manifest::Uuid;
use crate::telemetry::Metrics;
use account_cache::AccountCache;
use connection::Connection;

pub use keys::{AccountKey, AccountKeys};

const USERS: &str = "ou=users, o=smartdc";
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The result code of a missing search base: the directory has no accounts.
const NO_SUCH_OBJECT: u32 = 32;

/// The result codes of temporary failures: operationsError, with which UFDS reports failures of its Moray, busy, and
/// unavailable.
const NOT_NOW: [u32; 3] = [1, 51, 52];

/// A client of the account directory. It connects in the background without a limit of attempts, and starts without the
/// directory.
#[derive(Debug, Clone)]
pub struct Accounts {
    connection: Connection,
    account_cache: Arc<AccountCache>,
    metrics: Arc<Metrics>,
}

/// Why an account could not be looked up. None of these errors means that the account does not exist.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// There is no connection, or it broke.
    #[error("UFDS is not available: {0}")]
    Unavailable(String),
    /// The directory answered with an error.
    #[error("UFDS answered with result code {code}: {text}")]
    Refused {
        /// LDAP result code.
        code: u32,
        /// The directory's diagnostic message.
        text: String,
    },
}

impl Accounts {
    /// Starts connecting to the directory of `config`. Must be called within the runtime.
    pub fn new(config: config::Ufds, metrics: Arc<Metrics>) -> Accounts {
        let account_cache = Arc::new(AccountCache::new(config.remembered));
        Accounts { connection: Connection::start(config), account_cache, metrics }
    }

    /// Returns whether `uuid` is an account, or was one recently. Sub-users are not accounts.
    pub async fn exists(&self, uuid: Uuid) -> Result<bool, AccountsError> {
        if let Some(answer) = self.account_cache.get(uuid, Instant::now()) {
            return Ok(answer);
        }
        Ok(self.login(uuid).await?.is_some())
    }

    /// Returns the current login of an account; `None` if `uuid` is not an account.
    pub async fn login(&self, uuid: Uuid) -> Result<Option<String>, AccountsError> {
        let started = Instant::now();
        let answer = self.look_up(uuid).await;
        self.metrics.observe_backend("ufds", "search", outcome(&answer), started.elapsed());
        if let Ok(login) = &answer {
            self.account_cache.put(uuid, login.is_some(), Instant::now());
        }
        answer
    }

    async fn look_up(&self, uuid: Uuid) -> Result<Option<String>, AccountsError> {
        let mut session = self.connection.session(0).await?;
        match search(&mut session.ldap, uuid).await {
            // An idle connection may be dead without a sign of it, so one more attempt is made on a new one.
            Err(AccountsError::Unavailable(_)) => {
                self.connection.give_up(session.generation);
                search(&mut self.connection.session(session.generation).await?.ldap, uuid).await
            }
            // UFDS's own connection to Moray may be dead as well, and UFDS drops it after such a failure.
            Err(AccountsError::Refused { code, .. }) if NOT_NOW.contains(&code) => {
                search(&mut session.ldap, uuid).await
            }
            answer => answer,
        }
    }

    /// Asks the directory for an entry that always exists.
    ///
    /// # Errors
    /// The directory does not answer, or reports a temporary failure.
    pub async fn probe(&self) -> Result<(), AccountsError> {
        let started = Instant::now();
        let answer = self.ask().await;
        let outcome = if answer.is_ok() { "ok" } else { "unavailable" };
        self.metrics.observe_backend("ufds", "probe", outcome, started.elapsed());
        answer
    }

    async fn ask(&self) -> Result<(), AccountsError> {
        let mut session = self.connection.session(0).await?;
        let asked = connection::probe(&mut session.ldap).await.map_err(|error| {
            self.connection.give_up(session.generation);
            AccountsError::Unavailable(error.to_string())
        });
        match asked? {
            LdapResult { rc, text, .. } if NOT_NOW.contains(&rc) => {
                Err(AccountsError::Refused { code: rc, text })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the directory is connected, or the last failure.
    pub fn state(&self) -> Result<(), String> {
        self.connection.state()
    }
}

fn outcome(answer: &Result<Option<String>, AccountsError>) -> &'static str {
    match answer {
        Ok(Some(_)) => "ok",
        Ok(None) => "not_found",
        Err(AccountsError::Unavailable(_)) => "unavailable",
        Err(AccountsError::Refused { code, .. }) if NOT_NOW.contains(code) => "unavailable",
        Err(AccountsError::Refused { .. }) => "error",
    }
}

/// Returns the login of an account; empty if it has none, which the directory does not allow.
async fn search(ldap: &mut Ldap, uuid: Uuid) -> Result<Option<String>, AccountsError> {
    let uuid = uuid.to_string();
    // The search covers one level only: an owner must be an account, and sub-users are one level deeper.
    let filter = format!("(&(objectclass=sdcperson)(uuid={}))", ldap_escape(&uuid));
    let wanted = ["uuid", "login"];
    let answer = ldap.with_timeout(SEARCH_TIMEOUT).search(USERS, Scope::OneLevel, &filter, wanted).await;
    let SearchResult(entries, result) =
        answer.map_err(|error| AccountsError::Unavailable(error.to_string()))?;
    match result.rc {
        0 => {
            let mut entries = entries.into_iter().map(SearchEntry::construct);
            let entry = entries.find(|entry| values(entry, "uuid").any(|value| value == uuid));
            Ok(entry.map(|entry| values(&entry, "login").next().unwrap_or_default().to_owned()))
        }
        NO_SUCH_OBJECT => Ok(None),
        code => Err(AccountsError::Refused { code, text: result.text }),
    }
}

fn values<'a>(entry: &'a SearchEntry, name: &'static str) -> impl Iterator<Item = &'a str> {
    let named = entry.attrs.iter().filter(move |(attribute, _)| attribute.eq_ignore_ascii_case(name));
    named.flat_map(|(_, values)| values).map(String::as_str)
}
