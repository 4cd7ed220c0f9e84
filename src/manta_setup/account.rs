// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::key::Key;
use super::sapi_service::SapiService;
use crate::accounts::{AccountKey, AccountKeys, AccountsError};

/// LDAP's result code "no such object".
const NO_SUCH_OBJECT: u32 = 32;

/// The administrator's account, and the name of this service's keys in it.
pub(super) struct Account {
    pub(super) keys: AccountKeys,
    pub(super) name: String,
}

impl Account {
    pub(super) async fn of_our_name(&mut self) -> Result<Vec<AccountKey>, String> {
        let mut keys = self.keys.list().await.map_err(|error| told(&error))?;
        keys.retain(|key| key.name == self.name);
        Ok(keys)
    }

    /// Adds the key unless the account has it.
    pub(super) async fn ensure(&mut self, key: &Key) -> Result<(), String> {
        let fingerprint = &key.fingerprint;
        if self.keys.has(fingerprint).await.map_err(|error| told(&error))? {
            return Ok(());
        }
        let entry = AccountKey { name: self.name.clone(), fingerprint: fingerprint.clone() };
        self.keys.add(&entry, &key.public).await.map_err(|error| told(&error))?;
        tracing::info!(fingerprint, name = self.name, "added the key to the administrator's account in UFDS");
        Ok(())
    }

    pub(super) async fn delete(&mut self, fingerprint: &str) -> Result<(), String> {
        self.keys.delete(fingerprint).await.map_err(|error| told(&error))?;
        tracing::info!(fingerprint, "deleted a key from the administrator's account in UFDS");
        Ok(())
    }

    /// Connects again, because a connection that was idle for long may be dead.
    pub(super) async fn reconnect(&mut self, sapi_service: &SapiService) -> Result<(), String> {
        let keys = AccountKeys::connect(&sapi_service.master_ufds()?, sapi_service.admin()?).await;
        self.keys = keys.map_err(|error| told(&error))?;
        Ok(())
    }
}

pub(super) fn told(error: &AccountsError) -> String {
    match error {
        AccountsError::Refused { code: NO_SUCH_OBJECT, .. } => {
            "the administrator's account is not in UFDS".to_owned()
        }
        error => error.to_string(),
    }
}
