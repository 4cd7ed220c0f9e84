// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use manta::{Client, Config, ErrorCode, GetOptions, Path};
use tokio::time::{Instant, sleep};

use super::sapi_service::Settings;

const PAUSE: Duration = Duration::from_secs(2);

/// Waits at most `wait` until Manta accepts the key: a new key takes up to a minute to be known there. With a `wait` of
/// zero it does not check.
///
/// # Errors
/// Manta does not answer, or rejects requests for another reason, or the time is over.
pub(super) async fn until_accepted(
    settings: &Settings<'_>,
    wait: Duration,
    user_agent: &str,
) -> Result<(), String> {
    if wait.is_zero() {
        tracing::info!("Manta is not asked whether it takes the key");
        return Ok(());
    }
    let mut config = Config::new(settings.url, settings.user, settings.key.signing()?);
    config.insecure = settings.insecure;
    user_agent.clone_into(&mut config.user_agent);
    // This blocks, because certificates are read from disk.
    let client = tokio::task::spawn_blocking(move || Client::new(config)).await;
    let client = client.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let directory = Path::new(format!("/{}/stor", settings.user)).map_err(|error| error.to_string())?;
    let end = Instant::now() + wait;
    let mut waited = false;
    loop {
        match client.get(&directory, &GetOptions::default()).await {
            Ok(_) => break,
            Err(error) if error.is_not_found() => break,
            Err(error) if error.code() == Some(ErrorCode::KeyDoesNotExist) && Instant::now() < end => {
                if !waited {
                    tracing::info!("waiting until Manta knows the key");
                    waited = true;
                }
            }
            Err(error) => return Err(format!("Manta at {} does not take the key: {error}", settings.url)),
        }
        sleep(PAUSE).await;
    }
    tracing::info!("Manta takes the key");
    Ok(())
}
