// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Waiting until `imgapi` answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::child::Process;
use super::error::{DatacenterError, cannot};
use crate::net::use_ring;

/// How long `imgapi` may take until it answers.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time between two tries.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);

/// Waits for `GET /ping`, which says that the process serves.
pub(super) async fn wait_for_ping(address: SocketAddr, process: &Process) -> Result<(), DatacenterError> {
    wait_for(address, "/ping", process).await
}

/// Waits for `GET /images` as well, which says that Moray answers it.
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
    // A proxy of the environment has no business between two processes of one machine.
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
