// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Waits until `imgapi` answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::child::Process;
use super::error::{DatacenterError, cannot};
use crate::net::use_ring;

/// Time limit for `imgapi` to answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// Interval between two attempts.
const INTERVAL: Duration = Duration::from_millis(50);
/// Timeout of one attempt.
const TRY: Duration = Duration::from_secs(5);

/// Waits until `GET /ping` succeeds, which means that the process serves requests.
pub(super) async fn wait_for_ping(address: SocketAddr, process: &Process) -> Result<(), DatacenterError> {
    wait_for(address, "/ping", process).await
}

/// Waits until `GET /images` succeeds as well, which means that Moray answers `imgapi`.
pub(super) async fn wait_for_images(address: SocketAddr, process: &Process) -> Result<(), DatacenterError> {
    wait_for_ping(address, process).await?;
    wait_for(address, "/images?limit=1&channel=*", process).await
}

/// Waits until all backends answer `imgapi`, so that jobs can be started.
pub(super) async fn wait_for_backends(address: SocketAddr, process: &Process) -> Result<(), DatacenterError> {
    wait_for(address, "/ping?deep=true", process).await
}

async fn wait_for(address: SocketAddr, path: &'static str, process: &Process) -> Result<(), DatacenterError> {
    let no_client = |error| cannot("make an HTTP client")(std::io::Error::other(error));
    use_ring();
    // A proxy from the environment must not be used between two processes of one machine.
    let client = reqwest::Client::builder().no_proxy().timeout(TRY).build().map_err(no_client)?;
    let url = format!("http://{address}{path}");
    let mut latest = "no answer".to_owned();
    let poll = async {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match client.get(&url).send().await {
                Ok(response) if response.status() == reqwest::StatusCode::OK => return,
                Ok(response) => latest = response.status().to_string(),
                Err(error) => latest = error.to_string(),
            }
        }
    };
    let outcome = tokio::select! {
        status = process.wait() => return Err(process.unexpected_end(status)),
        outcome = timeout_at(Instant::now() + DEADLINE, poll) => outcome,
    };
    outcome.map_err(|_| DatacenterError::NotReady { path, deadline: DEADLINE, latest })
}
