// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;
use time::OffsetDateTime;

use super::Task;
use crate::manifest::times;

/// What can still happen in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nothing more is done for the job.
    Over,
    /// The job was cancelled, but what it has started may go on: until [`Task::limit`] after its start at most.
    Unsure,
    /// The job is waiting or running.
    GoesOn,
}

impl Fate {
    /// Returns the state of a job from the Workflow API.
    ///
    /// The runner that works on a job does not notice that it was cancelled. It continues until it releases the job,
    /// and may finish it. If that runner dies, the compute node that was told to make an image still continues.
    pub fn of(job: &Value, now: OffsetDateTime) -> Fate {
        let text = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("execution") {
            "queued" | "running" | "waiting" => Fate::GoesOn,
            "canceled" => {
                let Some(task) = Task::ALL.into_iter().find(|task| task.as_str() == text("task")) else {
                    return Fate::Over;
                };
                let results =
                    |name: &str| job.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let begun = results("chain_results").first();
                let is_on_a_node = begun.is_some() && task == Task::CreateFromVm;
                let is_taken_back = !results("oncancel_results").is_empty();
                if is_taken_back || text("runner_id").is_empty() && !is_on_a_node {
                    return Fate::Over;
                }
                let since = begun.and_then(|entry| times::parse_js_date(entry.get("started_at")?.as_str()?));
                match since {
                    Some(since) if (now - since).unsigned_abs() > task.limit() => Fate::Over,
                    _ => Fate::Unsure,
                }
            }
            _ => Fate::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;

    use super::*;

    #[test]
    fn a_cancelled_job_is_over_when_nobody_works_for_it() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let fate = |changes: Value| {
            let mut job = json!({"execution": "canceled", "task": "create-from-vm", "chain_results": []});
            job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            Fate::of(&job, now)
        };
        let begun = |at: &str| json!([{"result": "OK", "started_at": at}]);
        let (now, before) = ("2024-10-04T00:00:00.000Z", "2024-10-03T12:00:00.000Z");
        for execution in ["queued", "running", "waiting"] {
            assert_eq!(fate(json!({"execution": execution})), Fate::GoesOn);
        }
        for execution in ["succeeded", "failed", "retried", ""] {
            assert_eq!(fate(json!({"execution": execution, "runner_id": "r"})), Fate::Over);
        }
        for (changes, expected) in [
            (json!({}), Fate::Over),
            (json!({"runner_id": "r"}), Fate::Unsure),
            (json!({"runner_id": "r", "chain_results": begun(now)}), Fate::Unsure),
            (json!({"runner_id": "r", "chain_results": begun(before)}), Fate::Over),
            (json!({"chain_results": begun(now)}), Fate::Unsure),
            (json!({"chain_results": begun(now), "task": "import-remote-image"}), Fate::Over),
            (json!({"chain_results": begun(now), "oncancel_results": begun(now)}), Fate::Over),
        ] {
            assert_eq!(fate(changes.clone()), expected, "{changes}");
        }
    }
}
