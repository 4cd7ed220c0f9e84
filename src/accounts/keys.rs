// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads and changes the SSH keys of an account, for setting up Manta, over a separate connection.

use std::collections::HashSet;
use std::time::Duration;

use ldap3::{Ldap, LdapError, LdapResult, Scope, SearchEntry, SearchResult, ldap_escape};
use tokio_util::task::AbortOnDropHandle;

use super::connection::connect;
use super::{AccountsError, NO_SUCH_OBJECT, USERS, values};
use crate::config;
use crate::manifest::Uuid;

const TIMEOUT: Duration = Duration::from_secs(15);

const ENTRY_ALREADY_EXISTS: u32 = 68;

/// The keys of one account, in a directory that may belong to another datacenter. Every call may be repeated.
pub struct AccountKeys {
    ldap: Ldap,
    account: Uuid,
    /// Closes the connection when it is dropped.
    _driver: AbortOnDropHandle<Result<(), LdapError>>,
}

/// A key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKey {
    /// The name for people. The directory allows several keys with the same name.
    pub name: String,
    /// The MD5 fingerprint in hexadecimal with colons, by which requests name the key.
    pub fingerprint: String,
}

impl AccountKeys {
    /// Connects to the directory of `config`, without retrying.
    ///
    /// # Errors
    /// `Unavailable`; `Refused` if the directory rejects the password.
    pub async fn connect(config: &config::Ufds, account: Uuid) -> Result<AccountKeys, AccountsError> {
        let (ldap, driver) = connect(config).await.map_err(|error| match error {
            LdapError::LdapResult { result } => refused(result),
            error => AccountsError::Unavailable(error.to_string()),
        })?;
        Ok(AccountKeys { ldap, account, _driver: AbortOnDropHandle::new(driver) })
    }

    /// Returns all keys of the account.
    ///
    /// # Errors
    /// `Unavailable`; `Refused` with 32 if there is no such account.
    pub async fn list(&mut self) -> Result<Vec<AccountKey>, AccountsError> {
        let (account, filter) = (self.account_name(), "(objectclass=sdckey)");
        self.search(&account, filter).await
    }

    /// Returns whether the account has the key with this fingerprint.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn has(&mut self, fingerprint: &str) -> Result<bool, AccountsError> {
        let account = self.account_name();
        let filter = format!("(&(objectclass=sdckey)(fingerprint={}))", ldap_escape(fingerprint));
        Ok(!self.search(&account, &filter).await?.is_empty())
    }

    /// Adds a key, a line of a `.pub` file, to the account. Does nothing if the account has it already.
    ///
    /// # Errors
    /// `Unavailable`: the key may have been added; `Refused`.
    pub async fn add(&mut self, key: &AccountKey, openssh: &str) -> Result<(), AccountsError> {
        let dn = self.name_of(&key.fingerprint);
        let attributes = [
            ("objectclass", "sdckey"),
            ("name", &key.name),
            ("fingerprint", &key.fingerprint),
            ("openssh", openssh),
        ];
        let attributes = attributes.map(|(name, value)| (name, HashSet::from([value])));
        let answer = self.ldap.with_timeout(TIMEOUT).add(&dn, attributes.into()).await;
        done(answer, ENTRY_ALREADY_EXISTS)
    }

    /// Removes a key from the account, if it has it.
    ///
    /// # Errors
    /// `Unavailable`: the key may have been deleted; `Refused`.
    pub async fn delete(&mut self, fingerprint: &str) -> Result<(), AccountsError> {
        let dn = self.name_of(fingerprint);
        let answer = self.ldap.with_timeout(TIMEOUT).delete(&dn).await;
        done(answer, NO_SUCH_OBJECT)
    }

    fn account_name(&self) -> String {
        format!("uuid={}, {USERS}", self.account)
    }

    /// A fingerprint contains no character that has to be escaped in a DN.
    fn name_of(&self, fingerprint: &str) -> String {
        format!("fingerprint={fingerprint}, {}", self.account_name())
    }

    async fn search(&mut self, base: &str, filter: &str) -> Result<Vec<AccountKey>, AccountsError> {
        let wanted = ["name", "fingerprint"];
        let answer = self.ldap.with_timeout(TIMEOUT).search(base, Scope::OneLevel, filter, wanted).await;
        let SearchResult(entries, result) = answer.map_err(unavailable)?;
        if result.rc != 0 {
            return Err(refused(result));
        }
        let keys = entries.into_iter().map(SearchEntry::construct).filter_map(|entry| {
            Some(AccountKey {
                name: values(&entry, "name").next().unwrap_or_default().to_owned(),
                fingerprint: values(&entry, "fingerprint").next()?.to_owned(),
            })
        });
        Ok(keys.collect())
    }
}

fn unavailable(error: LdapError) -> AccountsError {
    AccountsError::Unavailable(error.to_string())
}

fn refused(result: LdapResult) -> AccountsError {
    AccountsError::Refused { code: result.rc, text: result.text }
}

/// Returns the result of a change. The result code `already` means that it had been made before, which is a success.
fn done(answer: Result<LdapResult, LdapError>, already: u32) -> Result<(), AccountsError> {
    let result = answer.map_err(unavailable)?;
    if result.rc == 0 || result.rc == already { Ok(()) } else { Err(refused(result)) }
}
