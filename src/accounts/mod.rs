// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Owners: the accounts of the datacenter, as UFDS (its LDAP directory) knows them, and their SSH keys.

mod connection;
mod keys;
mod recent;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ldap3::{Ldap, LdapResult, Scope, SearchEntry, SearchResult, ldap_escape};

use crate::config;
use crate::manifest::Uuid;
use crate::telemetry::Metrics;
use connection::Connection;
use recent::Recent;

pub use keys::{AccountKey, AccountKeys};

const USERS: &str = "ou=users, o=smartdc";
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A result code for "the search base is not there": a directory without accounts.
const NO_SUCH_OBJECT: u32 = 32;

/// Result codes for "not now": operationsError, by which UFDS tells of failures of its Moray, busy, and unavailable.
const NOT_NOW: [u32; 3] = [1, 51, 52];

/// The account directory. It connects in the background, for ever, and starts without its peer.
#[derive(Debug, Clone)]
pub struct Accounts {
    connection: Connection,
    recent: Arc<Recent>,
    metrics: Arc<Metrics>,
}

/// Why an account could not be looked up. None of these says that it does not exist.
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
    /// Starts connecting to the directory of `config`. To be called within the runtime.
    pub fn new(config: config::Ufds, metrics: Arc<Metrics>) -> Accounts {
        let recent = Arc::new(Recent::new(config.remembered));
        Accounts { connection: Connection::start(config), recent, metrics }
    }

    /// Whether `uuid` is an account, or was lately. Sub-users are not.
    pub async fn exists(&self, uuid: Uuid) -> Result<bool, AccountsError> {
        if let Some(answer) = self.recent.get(uuid, Instant::now()) {
            return Ok(answer);
        }
        Ok(self.login(uuid).await?.is_some())
    }

    /// The login of an account as it is now; `None` if `uuid` is none.
    pub async fn login(&self, uuid: Uuid) -> Result<Option<String>, AccountsError> {
        let started = Instant::now();
        let answer = self.look_up(uuid).await;
        self.metrics.observe_backend("ufds", "search", outcome(&answer), started.elapsed());
        if let Ok(login) = &answer {
            self.recent.put(uuid, login.is_some(), Instant::now());
        }
        answer
    }

    async fn look_up(&self, uuid: Uuid) -> Result<Option<String>, AccountsError> {
        let mut session = self.connection.session(0).await?;
        match search(&mut session.ldap, uuid).await {
            // A connection that was idle may be dead without anybody knowing: one more try, on a fresh one.
            Err(AccountsError::Unavailable(_)) => {
                self.connection.give_up(session.generation);
                search(&mut self.connection.session(session.generation).await?.ldap, uuid).await
            }
            // So may be one of its own to Moray, which it gives up then.
            Err(AccountsError::Refused { code, .. }) if NOT_NOW.contains(&code) => {
                search(&mut session.ldap, uuid).await
            }
            answer => answer,
        }
    }

    /// Asks the directory for something that is always there.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
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

    /// Whether the directory is connected, and the last failure if not.
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

/// The login of an account; empty if it has none, which the directory does not allow.
async fn search(ldap: &mut Ldap, uuid: Uuid) -> Result<Option<String>, AccountsError> {
    let uuid = uuid.to_string();
    // One level only: an owner must be an account, and sub-users are one level deeper.
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
