// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The load generator `wrk`: 32 connections that stay open, two threads.

use std::process::Command;

use crate::Failure;

/// Requests per second of `url` over `seconds`; anything but answers of 2xx is a failure.
pub(crate) async fn requests_per_second(url: &str, seconds: u32) -> Result<f64, Failure> {
    let mut command = Command::new("wrk");
    command.args(["-t2", "-c32", &format!("-d{seconds}s"), url]);
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("wrk: {error}"))?;
    let text = String::from_utf8(output.stdout)?;
    let bad = ["Non-2xx", "Socket errors"].iter().any(|word| text.contains(word));
    if bad || !output.status.success() {
        return Err(format!("wrk failed on {url}: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let figure = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(figure.ok_or("wrk printed no rate")?.trim().parse()?)
}
