// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `http_requests_completed` and `http_request_duration_seconds`, as triton-metrics 1.0.3 defines them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::{Builder, Series, http_buckets};

const REQUEST_LABELS: [&str; 4] = ["route", "method", "user_agent", "status_code"];
/// The most `User-Agent` values with a label of their own; any further ones are `other`. Clients can send any value.
const MAX_USER_AGENTS: usize = 100;
/// The most bytes of a `User-Agent` in a label.
const MAX_USER_AGENT_LENGTH: usize = 64;
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
const OTHER: &str = "other";
const UNKNOWN: &str = "unknown";

pub(super) struct HttpMetrics {
    completed: IntCounterVec,
    duration: HistogramVec,
    /// The text up to the first space, as received, and the number of its label.
    user_agents: RwLock<HashMap<String, u16>>,
    series: RwLock<HashMap<Key, Series>>,
}

/// A combination of labels. The user agent is a number, so that a look-up hashes few bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    route: &'static str,
    method: &'static str,
    user_agent: u16,
    status: u16,
}

impl HttpMetrics {
    pub(super) fn new(builder: &Builder) -> Result<HttpMetrics, prometheus::Error> {
        let completed = Opts::new("http_requests_completed", "count of requests completed");
        let duration = HistogramOpts::new("http_request_duration_seconds", "total time to process requests");
        Ok(HttpMetrics {
            completed: builder.counter(completed.const_label("buckets_version", "1"), &REQUEST_LABELS)?,
            duration: builder.histogram(
                duration.const_label("buckets_version", "1").buckets(http_buckets()),
                &REQUEST_LABELS,
            )?,
            user_agents: RwLock::default(),
            series: RwLock::default(),
        })
    }

    pub(super) fn observe(
        &self,
        route: &'static str,
        method: &str,
        user_agent: Option<&str>,
        status: u16,
        seconds: f64,
    ) {
        let first_word = |text: &str| text.split(' ').next().map_or(String::new(), clean);
        let user_agent = user_agent.map(first_word).filter(|text| !text.is_empty());
        let user_agent = user_agent.unwrap_or_else(|| UNKNOWN.to_owned());
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER);
        let (number, label) = self.user_agent_label(&user_agent);
        let key = Key { route, method, user_agent: number, status };
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return series.observe(seconds);
        }
        let status = status.to_string();
        let values = [route, method, label, status.as_str()];
        let series = Series {
            completed: self.completed.with_label_values(&values),
            duration: self.duration.with_label_values(&values),
        };
        series.observe(seconds);
        self.series.write().unwrap_or_else(PoisonError::into_inner).insert(key, series);
    }

    /// Returns the number and the label of a user agent. All beyond the limit share one.
    fn user_agent_label<'a>(&self, user_agent: &'a str) -> (u16, &'a str) {
        if let Some(number) = self.user_agents.read().unwrap_or_else(PoisonError::into_inner).get(user_agent)
        {
            return (*number, user_agent);
        }
        let mut known = self.user_agents.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(user_agent) {
            return (*number, user_agent);
        }
        match u16::try_from(known.len()) {
            Ok(number) if known.len() < MAX_USER_AGENTS => {
                known.insert(user_agent.to_owned(), number);
                (number, user_agent)
            }
            _ => (u16::MAX, OTHER),
        }
    }
}

impl Series {
    fn observe(&self, seconds: f64) {
        self.completed.inc();
        self.duration.observe(seconds);
    }
}

/// Keeps printable ASCII only, up to the limit, because label values are used in queries and dashboards.
fn clean(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(MAX_USER_AGENT_LENGTH).collect()
}
