// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;
use time::OffsetDateTime;

use super::Task;
use crate::manifest::times;

/// What can still happen in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobProgress {
    /// Nothing more is done for the job.
    Ended,
    /// The job was cancelled, but what it has started may go on: until [`Task::limit`] after its start at most.
    MayContinue,
    /// The job is waiting or running.
    Running,
}

impl JobProgress {
    /// Returns the state of a job from the Workflow API.
    ///
    /// The runner that works on a job does not notice that it was cancelled. It continues until it releases the job,
    /// and may finish it. If that runner dies, the compute node that was told to make an image still continues.
    pub fn of(job: &Value, now: OffsetDateTime) -> JobProgress {
        let text = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("execution") {
            "queued" | "running" | "waiting" => JobProgress::Running,
            "canceled" => {
                let Some(task) = Task::ALL.into_iter().find(|task| task.as_str() == text("task")) else {
                    return JobProgress::Ended;
                };
                let results =
                    |name: &str| job.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let begun = results("chain_results").first();
                let is_on_a_node = begun.is_some() && task == Task::CreateFromVm;
                let is_taken_back = !results("oncancel_results").is_empty();
                if is_taken_back || text("runner_id").is_empty() && !is_on_a_node {
                    return JobProgress::Ended;
                }
                let since = begun.and_then(|entry| times::parse_js_date(entry.get("started_at")?.as_str()?));
                match since {
                    Some(since) if (now - since).unsigned_abs() > task.limit() => JobProgress::Ended,
                    _ => JobProgress::MayContinue,
                }
            }
            _ => JobProgress::Ended,
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
        let progress = |changes: Value| {
            let mut job = json!({"execution": "canceled", "task": "create-from-vm", "chain_results": []});
            job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            JobProgress::of(&job, now)
        };
        let begun = |at: &str| json!([{"result": "OK", "started_at": at}]);
        let (now, before) = ("2024-10-04T00:00:00.000Z", "2024-10-03T12:00:00.000Z");
        for execution in ["queued", "running", "waiting"] {
            assert_eq!(progress(json!({"execution": execution})), JobProgress::Running);
        }
        for execution in ["succeeded", "failed", "retried", ""] {
            assert_eq!(progress(json!({"execution": execution, "runner_id": "r"})), JobProgress::Ended);
        }
        for (changes, expected) in [
            (json!({}), JobProgress::Ended),
            (json!({"runner_id": "r"}), JobProgress::MayContinue),
            (json!({"runner_id": "r", "chain_results": begun(now)}), JobProgress::MayContinue),
            (json!({"runner_id": "r", "chain_results": begun(before)}), JobProgress::Ended),
            (json!({"chain_results": begun(now)}), JobProgress::MayContinue),
            (json!({"chain_results": begun(now), "task": "import-remote-image"}), JobProgress::Ended),
            (json!({"chain_results": begun(now), "oncancel_results": begun(now)}), JobProgress::Ended),
        ] {
            assert_eq!(progress(changes.clone()), expected, "{changes}");
        }
    }
}
