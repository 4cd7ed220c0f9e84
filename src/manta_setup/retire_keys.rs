// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::MantaSetup;
use super::account::Account;
use super::key::Key;
use super::sapi_service::SapiService;
use super::zone::{Zone, read};
use crate::accounts::AccountKey;

/// The pause between two reads of the configuration.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an old key is kept after this zone has the new one: for requests in progress, and for other zones, whose
/// config-agents ask SAPI at least every three minutes.
const GRACE: Duration = Duration::from_secs(15);
const GRACE_OF_OTHERS: Duration = Duration::from_secs(240);

/// Deletes old keys from the account when nothing is signed with them any more.
///
/// # Errors
/// This zone does not get the new key, SAPI names another key, or SAPI or UFDS fail. Another run completes the work.
pub(super) async fn retire(
    setup: &MantaSetup,
    sapi_service: &mut SapiService,
    account: &mut Account,
    key: &Key,
    old: &[AccountKey],
    may_be_in_use: bool,
) -> Result<(), String> {
    if may_be_in_use {
        let zones = sapi_service.zones().await?;
        until_configured(&setup.config, key, setup.agent_wait).await?;
        let grace = setup.grace.unwrap_or(if zones > 1 { GRACE_OF_OTHERS } else { GRACE });
        if !grace.is_zero() {
            tracing::info!(
                seconds = grace.as_secs(),
                zones,
                "the old key stays for running requests and other zones"
            );
            sleep(grace).await;
        }
        account.reconnect(sapi_service).await?;
    }
    sapi_service.look_again().await?;
    if !sapi_service.key().is_ok_and(|named| named.fingerprint == key.fingerprint) {
        return Err("SAPI names another key by now: is somebody else doing the same?".to_owned());
    }
    for key in old {
        account.delete(&key.fingerprint).await?;
    }
    Ok(())
}

/// Waits until this zone's config-agent has written the new key.
async fn until_configured(config: &Path, key: &Key, wait: Duration) -> Result<(), String> {
    let end = Instant::now() + wait;
    if !is_configured(config, key) {
        tracing::info!("waiting until this zone's configuration has the new key");
    }
    while !is_configured(config, key) {
        if Instant::now() >= end {
            return Err(format!(
                "this zone's configuration has not got the new key within {} s: the old one stays on the account. See \
                 what the config-agent logs, and run this again",
                wait.as_secs()
            ));
        }
        sleep(PAUSE).await;
    }
    tracing::info!("this zone's configuration has the new key");
    Ok(())
}

/// Returns whether the configuration names the key and the key's file has its content. Either may be only partly written.
fn is_configured(config: &Path, key: &Key) -> bool {
    let Some(manta) = Zone::read(config).ok().and_then(|zone| zone.manta) else { return false };
    let named = manta.key_id.as_deref() == Some(&key.id);
    let written = manta.key.and_then(|file| read(&file).ok());
    named && written.is_some_and(|text| Key::pair(&text, &key.public).is_ok())
}
