// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The search for jobs.

use std::collections::HashMap;

use serde_json::Value;

use super::job::EXTRAS;
use super::store::{Object, text};
use crate::rest::{RestError, RestResult};
use crate::timestamp::millis;

/// Default number of jobs in a list.
const LIMIT: usize = 1_000;
/// The values of `execution` that can be requested.
const EXECUTIONS: [&str; 5] = ["queued", "failed", "succeeded", "running", "canceled"];
/// Members that are left out in a list.
const CHAINS: [&str; 3] = ["chain", "onerror", "oncancel"];

/// A condition on a job.
type Condition = Box<dyn Fn(&Object) -> bool>;

/// A part of the matching jobs, and the number of all of them.
pub(super) struct Page {
    pub(super) jobs: Vec<Object>,
    pub(super) count: usize,
}

/// Returns the page that the query requests of `jobs`, the newest first.
pub(super) fn page(jobs: Vec<Object>, query: &HashMap<String, String>) -> RestResult<Page> {
    let (mut limit, mut offset) = (LIMIT, 0);
    let mut wanted: Vec<Condition> = Vec::new();
    let mut unknown = Vec::new();
    for (name, value) in query {
        let value = value.clone();
        let invalid = || RestError::invalid_argument(format!("Invalid value for {name}: {value}"));
        match name.as_str() {
            "execution" if !EXECUTIONS.contains(&value.as_str()) => {
                return Err(RestError::conflict(
                    "Execution is required and must be one of \"queued\", \"failed\", \"succeeded\", \"canceled\" or \"running\"",
                ));
            }
            "limit" => limit = value.parse().map_err(|_| invalid())?,
            "offset" => offset = value.parse().map_err(|_| invalid())?,
            "since" => {
                let since = millis(&value).ok_or_else(invalid)?;
                wanted.push(Box::new(move |job| created(job) >= since));
            }
            "until" => {
                let until = millis(&value).ok_or_else(invalid)?;
                wanted.push(Box::new(move |job| created(job) <= until));
            }
            "execution" | "target" | "name" => wanted.push(equals(name.clone(), value)),
            extra if EXTRAS.contains(&extra) => wanted.push(equals(name.clone(), value)),
            _ => unknown.push(name.as_str()),
        }
    }
    if !unknown.is_empty() {
        unknown.sort_unstable();
        let message = format!("Invalid parameters for jobs search: {}", unknown.join(", "));
        return Err(RestError::invalid_argument(message));
    }
    let matching: Vec<Object> =
        jobs.into_iter().filter(|job| wanted.iter().all(|wanted| wanted(job))).collect();
    let count = matching.len();
    let mut jobs: Vec<Object> = matching.into_iter().skip(offset).take(limit).collect();
    for job in &mut jobs {
        CHAINS.iter().for_each(|name| drop(job.remove(*name)));
    }
    Ok(Page { jobs, count })
}

fn equals(name: String, value: String) -> Condition {
    Box::new(move |job| job.get(&name).and_then(Value::as_str) == Some(value.as_str()))
}

fn created(job: &Object) -> i64 {
    millis(text(job, "created_at")).unwrap_or_default()
}
