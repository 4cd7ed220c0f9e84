// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decides when passes are made.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::pass::{Agent, Outcome};

/// The first pause after SAPI was found to be unavailable. Each further pause is twice as long, up to the poll interval.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// How long a pass may continue after a signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Makes one pass. While SAPI is unavailable, it makes further ones for up to `limit`.
///
/// # Errors
/// Not all files are as they should be.
pub(super) async fn once(mut agent: Agent, limit: Option<Duration>) -> Result<(), String> {
    let passes = async {
        let mut wait = Backoff::new(agent.poll_interval());
        loop {
            let outcome = agent.pass(true).await;
            if !outcome.away || limit.is_none() {
                return outcome;
            }
            sleep(wait.next()).await;
        }
    };
    let outcome = match limit {
        None => passes.await,
        Some(limit) => timeout(limit, passes).await.map_err(|_| {
            let problem = format!("not done within {} s", limit.as_secs());
            tracing::error!("{problem}");
            problem
        })?,
    };
    let Outcome { changed, failed, .. } = outcome;
    if failed > 0 {
        return Err(format!("{failed} files or manifests are not usable, see the log"));
    }
    tracing::info!(changed, "all files are as they should be");
    Ok(())
}

/// Makes passes until a signal to stop: after each SIGHUP, and in between at random intervals, so that the agents of a
/// datacenter do not all ask SAPI at the same time.
///
/// # Errors
/// Signals cannot be received.
pub(super) async fn run(mut agent: Agent) -> Result<(), String> {
    let handler = |kind| signal(kind).map_err(|error| format!("cannot receive signals: {error}"));
    let mut hangup = handler(SignalKind::hangup())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    let poll = agent.poll_interval();
    tracing::info!("keeping files up to date, every {} s", poll.as_secs_f64());
    let mut backoff = Backoff::new(poll);
    let mut full = true;
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = sleep(wait) => {}
            Some(()) = hangup.recv() => full = true,
            Some(()) = terminate.recv() => break,
            Some(()) = interrupt.recv() => break,
        }
        if full {
            tracing::info!("rendering everything");
        }
        let pass = agent.pass(full);
        tokio::pin!(pass);
        let outcome = tokio::select! {
            outcome = &mut pass => outcome,
            _ = async { tokio::select! { s = terminate.recv() => s, s = interrupt.recv() => s } } => {
                // Files are complete in any case. If a command was not run yet, the next agent runs it.
                let _ = timeout(STOP_LIMIT, pass).await;
                break;
            }
        };
        full = false;
        wait = if outcome.away {
            backoff.next()
        } else {
            backoff = Backoff::new(poll);
            jittered(poll)
        };
    }
    tracing::info!("stopped by a signal");
    Ok(())
}

/// The pauses while SAPI is unavailable.
struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    fn new(max: Duration) -> Backoff {
        Backoff { next: FIRST_RETRY.min(max), max }
    }

    fn next(&mut self) -> Duration {
        let wait = jittered(self.next);
        self.next = (self.next * 2).min(self.max);
        wait
    }
}

/// Returns a random duration between half and one and a half of `time`.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.5 + rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_poll_interval_and_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(5));
        for expected in [2, 4, 5, 5] {
            let wait = backoff.next().as_secs_f64() / f64::from(expected);
            assert!((0.5..1.5).contains(&wait), "{wait}");
        }
        let waits: Vec<Duration> = (0..20).map(|_| jittered(Duration::from_secs(100))).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
