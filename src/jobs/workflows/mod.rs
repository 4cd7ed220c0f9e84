// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The two workflows that the Workflow API runs, and the comparison of a stored one with the current one.
//!
//! The sources are JavaScript for Node.js 6, one function per file, because the runner extracts the text of a function
//! from its surroundings. For the same reason a function that several tasks need, from `shared`, becomes an inner function
//! of each of them, in the place of a line `// include shared/NAME.js`. A workflow's name contains a digest of its content, so that a workflow with other content is
//! another workflow: an IMGAPI of another version, before an upgrade or after a rollback, keeps its own. Jobs contain
//! copies of their tasks, so the workflows of earlier versions do no harm.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The version in the names, before the digest.
const VERSION: &str = "8.0.0";

/// The number of digits of the digest in a name.
const DIGITS: usize = 8;

/// The functions that several tasks need, by the line that they replace.
const SHARED: [(&str, &str); 2] = [
    ("// include shared/create-client.js", include_str!("shared/create-client.js")),
    ("// include shared/until-canceled.js", include_str!("shared/until-canceled.js")),
];

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Makes an image from a VM.
    CreateFromVm,
    /// Fetches an image from another IMGAPI, including the origins that are missing here.
    ImportRemoteImage,
}

impl Task {
    /// All tasks.
    pub const ALL: [Task; 2] = [Task::CreateFromVm, Task::ImportRemoteImage];

    /// Returns the task's name in jobs.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::CreateFromVm => "create-from-vm",
            Task::ImportRemoteImage => "import-remote-image",
        }
    }

    /// Returns the longest time that the chain of tasks and the chain for errors can take together.
    pub fn limit(self) -> Duration {
        Duration::from_secs(2 * self.timeout())
    }

    /// Returns the timeout of the workflow in seconds, which applies to each chain.
    fn timeout(self) -> u64 {
        match self {
            Task::CreateFromVm => 3630,
            Task::ImportRemoteImage => 7250,
        }
    }
}

/// A workflow in the form in which it is sent.
#[derive(Debug)]
pub(super) struct Workflow {
    pub(super) name: String,
    /// The body, including the name.
    pub(super) body: Value,
}

static CREATE_FROM_VM: LazyLock<Workflow> = LazyLock::new(|| {
    let restify = || json!({"restify": "restify"});
    let noting =
        |task: Value| with(task, "fallback", function(include_str!("create-from-vm/note-error.js")).into());
    let get = task("vmapi.get_vm_server", include_str!("create-from-vm/get-vm-server.js"), 10, restify());
    let queue =
        task("cnapi.queue_create_from_vm_task", include_str!("create-from-vm/queue-task.js"), 10, restify());
    let poll = task("cnapi.poll_task", include_str!("create-from-vm/poll-task.js"), 3600, restify());
    let mark = || {
        let source = include_str!("create-from-vm/mark-image-failed.js");
        task("imgapi.mark_image_failed", source, 60, restify())
    };
    Workflow::new(
        Task::CreateFromVm,
        &json!([noting(get), noting(queue), noting(poll)]),
        &json!([mark(), fail()]),
        &json!([mark()]),
    )
});

static IMPORT_REMOTE_IMAGE: LazyLock<Workflow> = LazyLock::new(|| {
    let task = |name, source, timeout| task(name, source, timeout, json!({"restify": "restify"}));
    let delete = || task("delete_created", include_str!("import-remote-image/delete-created.js"), 60);
    let chain = json!([
        task("origin_import_images", include_str!("import-remote-image/import-origins.js"), 3600),
        task("import_image", include_str!("import-remote-image/import-image.js"), 60),
        task("add_image_file", include_str!("import-remote-image/add-image-file.js"), 3600),
        task("activate_image", include_str!("import-remote-image/activate-image.js"), 10),
    ]);
    Workflow::new(Task::ImportRemoteImage, &chain, &json!([delete(), fail()]), &json!([delete()]))
});

impl Workflow {
    pub(super) fn of(task: Task) -> &'static Workflow {
        match task {
            Task::CreateFromVm => &CREATE_FROM_VM,
            Task::ImportRemoteImage => &IMPORT_REMOTE_IMAGE,
        }
    }

    fn new(task: Task, chain: &Value, onerror: &Value, oncancel: &Value) -> Workflow {
        let timeout = task.timeout();
        let content = json!({"chain": chain, "onerror": onerror, "oncancel": oncancel, "timeout": timeout});
        let digest = hex::encode(Sha256::digest(content.to_string()));
        let name = format!("{}-{VERSION}-{}", task.as_str(), &digest[..DIGITS]);
        Workflow { body: with(content, "name", json!(name)), name }
    }

    /// Returns whether the stored workflow has the same effect.
    pub(super) fn has_same_content(&self, stored: &Value) -> bool {
        essence(&self.body) == essence(stored)
    }
}

/// Makes a task with one attempt. `timeout` is in seconds.
fn task(name: &str, source: &str, timeout: u64, modules: Value) -> Value {
    json!({"name": name, "body": function(source), "timeout": timeout, "retry": 1, "modules": modules})
}

fn fail() -> Value {
    json!({"name": "On error", "body": function(include_str!("fail.js")), "modules": {}})
}

/// Extracts the function from a source, because the Workflow API would lose everything around it, and puts the shared
/// functions into it.
fn function(source: &str) -> String {
    let start = source.find("\nfunction ").map_or(0, |before| before + 1);
    let mut function = source[start..].trim().to_owned();
    for (line, shared) in SHARED {
        if function.contains(line) {
            function = function.replace(line, &indented(&self::function(shared)));
        }
    }
    function
}

/// Indents all lines but the first.
fn indented(function: &str) -> String {
    function.replace('\n', "\n    ").replace("\n    \n", "\n\n")
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// Returns the content of a workflow, however it was stored: a POST adds UUIDs to tasks and converts objects to
/// strings, and a PUT does not.
fn essence(workflow: &Value) -> Value {
    let chain = |name: &str| {
        let tasks = workflow.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        tasks.iter().map(essence_of_task).collect::<Vec<_>>()
    };
    json!([chain("chain"), chain("onerror"), chain("oncancel"), workflow.get("timeout")])
}

fn essence_of_task(task: &Value) -> Value {
    let mut essence = Map::new();
    for name in ["name", "body", "fallback", "timeout", "retry", "modules"] {
        if let Some(value) = task.get(name).filter(|value| !value.is_null()) {
            let parsed =
                value.as_str().filter(|_| name == "modules").and_then(|text| serde_json::from_str(text).ok());
            essence.insert(name.to_owned(), parsed.unwrap_or_else(|| value.clone()));
        }
    }
    Value::Object(essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(workflow: &Workflow) -> Vec<&Value> {
        ["chain", "onerror", "oncancel"]
            .iter()
            .flat_map(|name| workflow.body[name].as_array().unwrap())
            .collect()
    }

    #[test]
    fn a_task_is_one_function_and_nothing_around_it() {
        for workflow in Task::ALL.map(Workflow::of) {
            for task in tasks(workflow) {
                let sources = [&task["body"], &task["fallback"]];
                for source in sources.into_iter().filter_map(Value::as_str) {
                    assert!(source.starts_with("function ") && source.ends_with('}'), "{source}");
                    assert_eq!(coal::workflow::check_function(source).unwrap(), source);
                    let ends = source.lines().filter(|line| line.starts_with('}')).count();
                    assert_eq!(ends, 1, "more than one function: {source}");
                    assert!(!source.contains("// include"), "an unknown shared function: {source}");
                }
            }
        }
    }

    #[test]
    fn chains_have_the_tasks_and_times_of_4_13_1() {
        let times = |workflow: &Workflow, chain: &str| {
            let tasks = workflow.body[chain].as_array().unwrap();
            tasks.iter().map(|task| task["timeout"].as_u64()).collect::<Vec<_>>()
        };
        let create = Workflow::of(Task::CreateFromVm);
        assert_eq!(
            (create.body["timeout"].as_u64(), times(create, "chain")),
            (Some(3630), vec![Some(10), Some(10), Some(3600)])
        );
        let import = Workflow::of(Task::ImportRemoteImage);
        let expected = [Some(3600), Some(60), Some(3600), Some(10)];
        assert_eq!(
            (import.body["timeout"].as_u64(), times(import, "chain")),
            (Some(7250), expected.to_vec())
        );
        for workflow in [create, import] {
            assert!(tasks(workflow).iter().all(|task| task["retry"].as_u64().unwrap_or(1) == 1));
            assert_eq!(workflow.body["onerror"].as_array().unwrap().last().unwrap()["name"], "On error");
            assert!(!workflow.body["oncancel"].as_array().unwrap().is_empty());
        }
    }

    #[test]
    fn a_workflow_is_named_after_its_content() {
        for task in Task::ALL {
            let name = &Workflow::of(task).name;
            let digest = name.strip_prefix(&format!("{}-8.0.0-", task.as_str())).unwrap();
            assert!(digest.len() == 8 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        }
        let other = Workflow::new(Task::CreateFromVm, &json!([]), &json!([]), &json!([]));
        assert_ne!(other.name, Workflow::of(Task::CreateFromVm).name);
    }

    #[test]
    fn a_stored_workflow_is_compared_by_what_it_does() {
        let workflow = Workflow::of(Task::CreateFromVm);
        let mut posted = workflow.body.clone();
        for chain in ["chain", "onerror", "oncancel"] {
            for task in posted[chain].as_array_mut().unwrap() {
                task["uuid"] = json!("c58161c0-2547-11e2-a75e-9fdca1940570");
                task["modules"] = json!(task["modules"].to_string());
            }
        }
        posted["max_attempts"] = json!(10);
        assert!(workflow.has_same_content(&posted) && workflow.has_same_content(&workflow.body));
        for (pointer, value) in [
            ("/timeout", json!(1)),
            ("/chain/2/timeout", json!(1)),
            ("/chain/0/fallback", json!(null)),
            ("/onerror/0/modules", json!("{}")),
            ("/oncancel", json!([])),
        ] {
            let mut other = posted.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(!workflow.has_same_content(&other), "{pointer}");
        }
        assert!(!workflow.has_same_content(&json!({})) && !workflow.has_same_content(&json!([1])));
    }
}
