// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

pub(crate) mod fake;

use serde_json::json;

use super::*;
use crate::telemetry::StaticLabels;
use fake::{Fake, Fault};

const IMAGE: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";

fn jobs_at(fake: &Fake, changes: Value) -> Jobs {
    let mut wfapi = json!({"url": format!("http://{}", fake.address), "forceMd5Check": true});
    wfapi.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let Value::Object(instance) = json!({"mode": "private", "authType": "none", "wfapi": wfapi}) else {
        unreachable!()
    };
    let metrics = Arc::new(Metrics::new(&StaticLabels::default()).unwrap());
    Jobs::new(&Config::from_instance(instance).unwrap(), &metrics)
}

/// Runs the worker's check once.
async fn look(jobs: &Jobs) -> Result<(), JobsError> {
    let (mut watch, _) = jobs.watch().unwrap();
    let checked = watch.check().await;
    jobs.0.as_ref().unwrap().set_down(checked.as_ref().err().map(ToString::to_string));
    checked
}

async fn connected(fake: &Fake) -> Jobs {
    let jobs = jobs_at(fake, json!({}));
    look(&jobs).await.unwrap();
    fake.calls();
    jobs
}

fn new_job() -> NewJob {
    let params = Map::from_iter([("image_uuid".to_owned(), json!(IMAGE))]);
    NewJob {
        uuid: Uuid::new_v4(),
        task: Task::ImportRemoteImage,
        target: format!("/import-remote-{IMAGE}"),
        params,
    }
}

/// Counts the calls with this request line.
fn count(calls: &[String], call: &str) -> usize {
    calls.iter().filter(|made| made.starts_with(call)).count()
}

#[tokio::test]
async fn workflows_are_stored_once_and_replaced_when_they_differ() {
    let fake = Fake::start().await;
    let jobs = jobs_at(&fake, json!({}));
    assert!(matches!(jobs.check(), Err(JobsError::Down(_))));
    look(&jobs).await.unwrap();
    jobs.check().unwrap();
    assert_eq!(count(&fake.calls(), "POST /workflows"), 2);
    // Another server finds the workflows, although the API has converted the modules to strings.
    look(&jobs_at(&fake, json!({}))).await.unwrap();
    let calls = fake.calls();
    assert_eq!((count(&calls, "POST"), count(&calls, "PUT")), (0, 0));
    fake.state.lock().unwrap().workflows[0]["timeout"] = json!(1);
    look(&jobs_at(&fake, json!({"forceMd5Check": false}))).await.unwrap();
    assert_eq!(count(&fake.calls(), "PUT"), 0);
    look(&jobs_at(&fake, json!({}))).await.unwrap();
    assert_eq!(count(&fake.calls(), "PUT /workflows/"), 1);
    look(&jobs_at(&fake, json!({"forceReplace": true}))).await.unwrap();
    assert_eq!(count(&fake.calls(), "PUT /workflows/"), 2);
    look(&jobs_at(&fake, json!({"workflows": ["create-from-vm"]}))).await.unwrap();
    assert_eq!(count(&fake.calls(), "GET /workflows?name="), 1);
}

#[tokio::test]
async fn what_does_not_answer_as_it_should_is_down_until_it_does() {
    let fake = Fake::start().await;
    let jobs = jobs_at(&fake, json!({}));
    fake.fails("GET /ping", Fault::LoseCall);
    fake.fails("GET /ping", Fault::Garbage("<html>"));
    fake.fails("GET /ping", Fault::Garbage("[1"));
    fake.fails("GET /workflows/workflow-check", Fault::Refuse(500, "InternalError"));
    fake.fails("GET /workflows?name=", Fault::Garbage("{}"));
    fake.fails("GET /workflows?name=", Fault::Garbage("[{\"uuid\": 5}, 5]"));
    fake.fails("POST /workflows", Fault::LoseAnswer);
    let mut failures = 0;
    while look(&jobs).await.is_err() {
        assert!(matches!(jobs.start(&new_job(), "id").await, Err(JobsError::Down(_))));
        failures += 1;
    }
    // A list without the name, and a lost answer to a POST, are repaired at once.
    assert_eq!(failures, 5);
    jobs.start(&new_job(), "id").await.unwrap();
    fake.state.lock().unwrap().backend = Some("down");
    assert!(look(&jobs).await.is_err());
    assert_eq!(fake.state.lock().unwrap().workflows.len(), 2);
}

#[tokio::test]
async fn a_job_is_sent_with_its_parameters_under_a_uuid_of_ours() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    let job = new_job();
    jobs.start(&job, "the-id").await.unwrap();
    let state = fake.state.lock().unwrap();
    let workflow =
        state.workflows.iter().find(|workflow| workflow["name"].as_str().unwrap().starts_with("import"));
    let expected = json!({
        "image_uuid": IMAGE, "task": "import-remote-image", "target": format!("/import-remote-{IMAGE}"),
        "workflow": workflow.unwrap()["uuid"], "uuid": job.uuid,
    });
    assert_eq!(json!(state.jobs), json!([expected]));
    let head = state.heads.last().unwrap();
    for header in ["accept: application/json", "accept-version: *", "x-request-id: the-id", "content-md5: "] {
        assert!(head.contains(&format!("\r\n{header}")), "{head}");
    }
}

#[tokio::test]
async fn no_job_is_started_twice_and_none_is_forgotten() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    for (faults, sent) in [
        (&[("POST /jobs", Fault::LoseAnswer)][..], 1),
        (&[("POST /jobs", Fault::LoseCall)], 2),
        (&[("POST /jobs", Fault::Garbage("{}"))], 2),
        (&[("POST /jobs", Fault::NoDatabase)], 2),
        (&[("POST /jobs", Fault::LoseCall), ("POST /jobs", Fault::LoseAnswer)], 2),
    ] {
        for (call, fault) in faults {
            fake.fails(call, *fault);
        }
        let job = new_job();
        jobs.start(&job, "id").await.unwrap();
        let started = std::mem::take(&mut fake.state.lock().unwrap().jobs);
        assert_eq!((started.len(), &started[0]["uuid"]), (1, &json!(job.uuid)), "{faults:?}");
        assert_eq!(count(&fake.calls(), "POST /jobs"), sent, "{faults:?}");
    }
    // The outcome cannot be found out.
    fake.fails("POST /jobs", Fault::LoseAnswer);
    fake.fails("GET /jobs/", Fault::LoseCall);
    assert!(matches!(jobs.start(&new_job(), "id").await, Err(JobsError::OutcomeUnknown(_))));
}

#[tokio::test]
async fn a_service_without_its_database_is_away_for_a_while() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    for call in ["POST /jobs", "GET /jobs/"] {
        fake.fails(call, Fault::NoDatabase);
    }
    assert!(matches!(jobs.start(&new_job(), "id").await, Err(JobsError::OutcomeUnknown(_))));
    fake.fails("GET /jobs/", Fault::NoDatabase);
    assert!(matches!(jobs.find(new_job().uuid, "id").await, Err(JobsError::OutcomeUnknown(_))));
    jobs.start(&new_job(), "id").await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_as_it_is() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    for (status, code) in [(500, "InternalError"), (503, "ServiceUnavailable"), (412, "PreconditionFailed")] {
        fake.fails("POST /jobs", Fault::Refuse(status, code));
        match jobs.start(&new_job(), "id").await {
            Err(JobsError::Refused { status: got, code: named, .. }) => {
                assert_eq!((got, &*named), (status, code))
            }
            other => unreachable!("{other:?}"),
        }
    }
    assert!(fake.state.lock().unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_job_is_found_by_its_uuid() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    let job = new_job();
    assert_eq!(jobs.find(job.uuid, "id").await.unwrap(), None);
    jobs.start(&job, "id").await.unwrap();
    assert_eq!(jobs.find(job.uuid, "id").await.unwrap().unwrap()["image_uuid"], IMAGE);
    for fault in [Fault::Garbage("{}"), Fault::LoseAnswer, Fault::Refuse(500, "InternalError")] {
        fake.fails("GET /jobs/", fault);
        jobs.find(job.uuid, "id").await.unwrap_err();
    }
}

#[tokio::test]
async fn a_workflow_that_somebody_has_deleted_is_stored_again() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    fake.state.lock().unwrap().workflows.clear();
    jobs.start(&new_job(), "id").await.unwrap();
    assert_eq!(fake.state.lock().unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn jobs_are_listed_for_each_task() {
    let fake = Fake::start().await;
    let jobs = connected(&fake).await;
    jobs.start(&new_job(), "id").await.unwrap();
    fake.calls();
    let image = IMAGE.parse().unwrap();
    assert_eq!(jobs.list(image, None, Some("queued"), "id").await.unwrap().len(), 2);
    let query = |task| format!("GET /jobs?image_uuid={IMAGE}&task={task}&execution=queued");
    assert_eq!(fake.calls(), [query("create-from-vm"), query("import-remote-image")]);
    jobs.list(image, Some("x"), None, "id").await.unwrap();
    assert_eq!(fake.calls(), [format!("GET /jobs?image_uuid={IMAGE}&task=x")]);
    fake.fails("GET /jobs", Fault::Garbage("{}"));
    assert!(matches!(jobs.list(image, None, None, "id").await, Err(JobsError::Unusable(_))));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_asked() {
    let mut fake = Fake::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fake.address = closed.local_addr().unwrap();
    drop(closed);
    let jobs = jobs_at(&fake, json!({}));
    jobs.0.as_ref().unwrap().set_down(None);
    // It is known that nothing was sent.
    assert!(matches!(jobs.start(&new_job(), "id").await, Err(JobsError::Down(_))));
}
