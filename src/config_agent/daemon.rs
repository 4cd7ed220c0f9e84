// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When passes are made.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::pass::{Agent, Outcome};

/// The first wait after SAPI was found to be away; each further one is twice as long, up to the poll interval.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// After a signal to stop, a pass may go on for so long.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// One pass; while SAPI is away more of them, as long as `limit` lets.
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

/// Passes until a signal to stop: with each SIGHUP, and in between at random times, so that the agents of a datacenter
/// do not ask SAPI all at once.
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
                // Files are whole in any case; a command that did not come to run is run by the next agent.
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

/// Waits while SAPI is away.
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

/// Between half and one and a half of it.
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
