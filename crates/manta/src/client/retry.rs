// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When to retry a request.

use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::server_error::ErrorCode;

/// Relative jitter of a wait in both directions, so that clients that lost the same server do not all return at once.
const SPREAD: f64 = 0.5;
/// Minimum wait after `ConcurrentRequest`: of two concurrent requests, one has to wait.
const CONCURRENT: Duration = Duration::from_millis(250);

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    attempts: u32,
    failures: u32,
    initial: Duration,
    max: Duration,
    retry_after_max: Duration,
}

impl Retry {
    pub(crate) fn new(config: &Config) -> Retry {
        Retry {
            attempts: config.attempts,
            failures: 0,
            initial: config.backoff_initial,
            max: config.backoff_max,
            retry_after_max: config.retry_after_max,
        }
    }

    /// Waits until the next attempt.
    ///
    /// # Errors
    /// Returns `error` if there should be no further attempt.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        match self.wait_after(&error) {
            Some(wait) => {
                tracing::debug!(%error, ?wait, "trying again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Starts the count anew after an attempt that made progress.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    fn wait_after(&mut self, error: &Error) -> Option<Duration> {
        self.failures += 1;
        if !error.is_retriable() || self.failures >= self.attempts {
            return None;
        }
        let doublings = (self.failures - 1).min(16);
        let mut wait = self.initial.saturating_mul(1 << doublings).min(self.max);
        if error.code() == Some(ErrorCode::ConcurrentRequest) {
            wait = wait.max(CONCURRENT);
        }
        let spread = wait.mul_f64(rand::random_range(1.0 - SPREAD..=1.0 + SPREAD));
        match error.retry_after() {
            Some(asked) if asked > self.retry_after_max => None,
            Some(asked) => Some(asked + spread),
            None => Some(spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::server_error::ServerError;

    fn retry(attempts: u32) -> Retry {
        Retry {
            attempts,
            failures: 0,
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(10),
        }
    }

    fn answer(status: StatusCode, code: &str, retry_after: Option<u64>) -> Error {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", seconds.into());
        }
        let body = format!(r#"{{"code":"{code}","message":""}}"#);
        ServerError::read(status, &headers, body.as_bytes()).into()
    }

    fn within(wait: Option<Duration>, from: f64, to: f64) -> bool {
        wait.is_some_and(|wait| (from..=to).contains(&wait.as_secs_f64()))
    }

    #[test]
    fn waits_double_up_to_the_limit_and_start_again() {
        let lost = Error::Connection("reset".into());
        let mut retry = retry(7);
        for middle in [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] {
            assert!(within(retry.wait_after(&lost), middle * 0.49, middle * 1.51), "{middle}");
        }
        assert_eq!(retry.wait_after(&lost), None);
        retry.reset();
        assert!(within(retry.wait_after(&lost), 0.05, 0.151));
    }

    #[test]
    fn what_the_server_asks_for_is_waited_within_limits() {
        let away = |seconds| answer(StatusCode::SERVICE_UNAVAILABLE, "InternalError", Some(seconds));
        assert!(within(retry(3).wait_after(&away(10)), 10.0, 10.2));
        assert_eq!(retry(3).wait_after(&away(11)), None);
        let met = answer(StatusCode::CONFLICT, "ConcurrentRequest", None);
        assert!(within(retry(3).wait_after(&met), 0.12, 0.38));
    }

    #[test]
    fn what_stays_wrong_is_not_repeated() {
        for error in [answer(StatusCode::NOT_FOUND, "ResourceNotFound", None), Error::Changed] {
            assert_eq!(retry(3).wait_after(&error), None);
        }
        assert_eq!(retry(0).wait_after(&Error::Md5), None);
    }
}
