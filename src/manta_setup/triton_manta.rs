// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sets up a Manta that has the accounts of this datacenter, with a key of this service in the administrator's account.
//!
//! The steps are ordered so that at any moment the account has every key that may be used for signing:
//!
//! 1. the new key is added to the account,
//! 2. Manta is asked until it knows the key,
//! 3. SAPI names the key,
//! 4. old keys of the same name are deleted, once this zone has the new one (see [`retire`]).
//!
//! After a crash in between, another run completes the steps: the key that SAPI names is kept, and left-over keys are
//! deleted in the last step.

use super::MantaSetup;
use super::account::{Account, told};
use super::key::Key;
use super::retire_keys::retire;
use super::sapi_service::{MantaUrl, SapiService, Settings};
use super::wait_for_key::until_accepted;
use super::zone::Zone;
use crate::accounts::AccountKeys;

pub(super) async fn set_up(setup: &MantaSetup, manta: MantaUrl) -> Result<(), String> {
    let zone = Zone::read(&setup.config)?;
    let mut sapi_service = SapiService::find(&zone).await?;
    let url = sapi_service.manta_url(manta, &zone).await?;
    let login = sapi_service.text("ufds_admin_login").ok().or(zone.ufds_admin_login.as_deref());
    let login = login.ok_or("neither SAPI nor the configuration has ufds_admin_login")?.to_owned();
    let name = format!("{} imgapi key", sapi_service.text("datacenter_name")?);
    let kept = kept(setup, &sapi_service, &url, &login)?;
    let ufds = sapi_service.master_ufds()?;
    let account = sapi_service.admin()?;
    let keys = AccountKeys::connect(&ufds, account).await.map_err(|error| told(&error))?;
    let mut account = Account { keys, name };
    let before = account.of_our_name().await?;
    let may_be_in_use = sapi_service.has_key();
    let key = match kept {
        Some(key) => {
            account.ensure(&key).await?;
            key
        }
        None => {
            let key = Key::generate(&account.name).map_err(|error| format!("cannot make a key: {error}"))?;
            tracing::info!(key_id = key.id, name = account.name, "made a new key");
            account.ensure(&key).await?;
            let settings = Settings {
                url: &url,
                user: &login,
                insecure: setup.insecure,
                remote: setup.remote,
                key: &key,
            };
            if let Err(error) = until_accepted(&settings, setup.key_wait, &zone.user_agent()).await {
                // The key is not used yet. If it cannot be deleted, the next run deletes it.
                let _ = account.delete(&key.fingerprint).await;
                return Err(error);
            }
            sapi_service.store(&settings).await?;
            key
        }
    };
    let old: Vec<_> = before.into_iter().filter(|old| old.fingerprint != key.fingerprint).collect();
    if !old.is_empty() {
        retire(setup, &mut sapi_service, &mut account, &key, &old, may_be_in_use).await?;
    }
    // Another run at the same time may have deleted it as an old key.
    account.ensure(&key).await
}

/// Returns the existing key if the setup is complete and the key is to be kept.
fn kept(
    setup: &MantaSetup,
    sapi_service: &SapiService,
    url: &str,
    login: &str,
) -> Result<Option<Key>, String> {
    if setup.force {
        tracing::info!("a new key is made, because of --force");
        return Ok(None);
    }
    let missing = sapi_service.missing();
    if !missing.is_empty() {
        tracing::info!(missing = missing.join(", "), "the imgapi service in SAPI is not set up for Manta");
        return Ok(None);
    }
    let again = "use --force to set it up anew";
    if sapi_service.user() != login {
        return Err(format!(
            "IMGAPI is set up for another account of Manta, {}: {again}",
            sapi_service.user()
        ));
    }
    let key = sapi_service.key().map_err(|error| format!("{error}: {again}"))?;
    tracing::info!(key_id = key.id, "the imgapi service in SAPI is set up for Manta: its key is kept");
    let differing = sapi_service.differing(url, setup.insecure, setup.remote);
    if !differing.is_empty() {
        let keys = differing.join(", ");
        tracing::warn!(keys, "SAPI says otherwise than this command, and is left as it is: {again}");
    }
    Ok(Some(key))
}
