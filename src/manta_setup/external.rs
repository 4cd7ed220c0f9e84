// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sets up a Manta that has other accounts than this datacenter.

use std::path::{Path, PathBuf};

use super::ExternalMantaSetup;
use super::key::Key;
use super::sapi_service::{SapiService, Settings, checked};
use super::wait_for_key::until_accepted;
use super::zone::{Zone, read};

/// Stores all settings in SAPI at once. Nothing is changed if a check before that fails.
pub(super) async fn set_up(
    setup: &ExternalMantaSetup,
    url: &str,
    user: &str,
    file: &Path,
) -> Result<(), String> {
    let zone = Zone::read(&setup.config)?;
    let url = checked(url)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.@-".contains(c);
    if user.is_empty() || !user.chars().all(fits) {
        return Err(format!("{user:?} cannot be the login of an account"));
    }
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    let key = Key::pair(&read(file)?, &read(&public)?);
    let key = key.map_err(|error| format!("{} and {}: {error}", file.display(), public.display()))?;
    tracing::info!(key_id = key.id, "read the key");
    let mut sapi_service = SapiService::find(&zone).await?;
    let settings = Settings { url: &url, user, insecure: setup.insecure, remote: true, key: &key };
    until_accepted(&settings, setup.key_wait, &zone.user_agent()).await?;
    sapi_service.store(&settings).await
}
