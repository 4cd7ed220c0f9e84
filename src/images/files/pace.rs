// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

use crate::config::{Pace, Stalled, TransferLimits};
use crate::images::App;

/// Passes on the bytes of `body` while its sender keeps to the configured limits. A sender that breaks them is logged and
/// counted, and the last item is the error.
pub fn with_transfer_limits<S, E>(app: &App, body: S) -> impl Stream<Item = Result<Bytes, E>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: From<Stalled>,
{
    let metrics = app.metrics.clone();
    enforce_limits(body, app.config.transfer).map(move |item| {
        item.map_err(|ended| match ended {
            BodyFailure::Stalled(stalled) => {
                tracing::info!("giving up a file on its way in: {stalled}");
                metrics.transfer_stalled_in();
                stalled.into()
            }
            BodyFailure::Broken(error) => error,
        })
    })
}

enum BodyFailure<E> {
    Stalled(Stalled),
    Broken(E),
}

fn enforce_limits<S, E>(body: S, limits: TransferLimits) -> impl Stream<Item = Result<Bytes, BodyFailure<E>>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let state = Some((body, Pace::new(limits)));
    futures_util::stream::unfold(state, move |state| async move {
        let (mut body, mut pace) = state?;
        let asked = Instant::now();
        let chunk = match timeout(limits.idle, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => return Some((Err(BodyFailure::Broken(error)), None)),
            Err(_) => return Some((Err(BodyFailure::Stalled(limits.idle_for_too_long())), None)),
        };
        match pace.advance(asked.elapsed(), chunk.len() as u64) {
            Ok(()) => Some((Ok(chunk), Some((body, pace)))),
            Err(stalled) => Some((Err(BodyFailure::Stalled(stalled)), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;

    const LIMITS: TransferLimits = TransferLimits { idle: Duration::from_secs(10), min_rate: 100 };

    /// Sends chunks of `size` bytes, each `seconds` after the last; returns the bytes that arrived and how the body ended.
    async fn outcome(seconds: u64, size: usize, chunks: usize) -> (usize, Option<Stalled>) {
        let body = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            (sent < chunks).then(|| (Ok::<_, Infallible>(Bytes::from(vec![0; size])), sent + 1))
        });
        let mut with_transfer_limits = Box::pin(enforce_limits(Box::pin(body), LIMITS));
        let mut received = 0;
        while let Some(item) = with_transfer_limits.next().await {
            match item {
                Ok(chunk) => received += chunk.len(),
                Err(BodyFailure::Stalled(stalled)) => return (received, Some(stalled)),
            }
        }
        (received, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_as_long_as_it_likes() {
        assert_eq!(outcome(9, 1000, 5000).await, (5_000_000, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_on_which_nothing_comes_is_given_up() {
        assert_eq!(outcome(11, 1000, 5).await, (0, Some(Stalled::Idle(LIMITS.idle))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up() {
        assert_eq!(outcome(1, 10, 1000).await, (90, Some(Stalled::Slow(100))));
    }
}
