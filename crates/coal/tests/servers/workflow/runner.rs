// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How jobs run.

use coal::workflow::WorkflowOptions;
use reqwest::Method;
use serde_json::{Value, json};

use super::Api;

fn results(job: &Value, chain: &str) -> Vec<(Value, Value)> {
    let entries = job[chain].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| (entry["result"].clone(), entry["error"].clone())).collect()
}

fn task(body: &str) -> Value {
    json!({"name": "task", "body": body})
}

#[tokio::test]
async fn tasks_run_in_turn_and_share_the_job() {
    let api = Api::start().await;
    let first = task("function (job, cb) { job.seen = {n: job.params.n}; job.uuid = 'mine'; cb(); }");
    let second = task("function (job, cb) { cb(null, 'n is ' + job.seen.n); }");
    let uuid = api.job(json!({"chain": [first, second]}), json!({"n": 5, "vm_uuid": "v"})).await;
    let job = api.ended(&uuid).await;
    assert_eq!(job["execution"], "succeeded", "{job}");
    assert_eq!(results(&job, "chain_results"), [(json!("OK"), json!("")), (json!("n is 5"), json!(""))]);
    assert_eq!(job["seen"], "{\"n\":5}", "an object that a task has set comes back as text");
    assert_eq!(job["uuid"], json!(uuid), "what is frozen cannot be set");
    assert_eq!((&job["vm_uuid"], &job["params"]["vm_uuid"]), (&json!("v"), &json!("v")));
}

#[tokio::test]
async fn a_failure_runs_onerror_and_stays_a_failure() {
    let api = Api::start().await;
    let fails = task("function (job, cb) { cb(new Error('no way')); }");
    let never = task("function (job, cb) { cb(null, 'never'); }");
    let after = task("function (job, cb) { cb(null, job.chain_results[0].error.message); }");
    let job = api.run(json!({"chain": [fails, never], "onerror": [after]})).await;
    assert_eq!(job["execution"], "failed");
    let error = json!({"name": "Error", "message": "no way"});
    assert_eq!(results(&job, "chain_results"), [(json!(""), error)]);
    assert_eq!(results(&job, "onerror_results"), [(json!("no way"), json!(""))]);
}

#[tokio::test]
async fn attempts_are_counted_and_the_fallback_comes_last() {
    let api = Api::start().await;
    let body = "function (job, cb) { job.tries = (job.tries || 0) + 1; cb(job.tries < 3 ? 'again' : null, 'at last'); }";
    let job = api.run(json!({"chain": [{"name": "a", "body": body, "retry": 3}]})).await;
    assert_eq!((&job["execution"], &job["tries"]), (&json!("succeeded"), &json!(3)));
    let fallback = "function (err, job, cb) { job.why = err; cb(null, 'rescued'); }";
    let job = api.run(json!({"chain": [{"body": body, "retry": 2, "fallback": fallback}]})).await;
    assert_eq!(
        (&job["execution"], &job["tries"], &job["why"]),
        (&json!("succeeded"), &json!(2), &json!("again"))
    );
    assert_eq!(results(&job, "chain_results"), [(json!("rescued"), json!(""))]);
}

#[tokio::test]
async fn an_exception_ends_the_task_with_its_stack() {
    let api = Api::start().await;
    let later = "function (job, cb) { setTimeout(function () { nothing.here(); }, 1); }";
    for body in ["function (job, cb) { nothing.here(); }", later] {
        let job = api.run(json!({"chain": [task(body)]})).await;
        let error = job["chain_results"][0]["error"].as_str().unwrap().to_owned();
        assert_eq!(job["execution"], "failed");
        assert!(error.contains("ReferenceError") && error.contains("nothing"), "{error}");
    }
}

#[tokio::test]
async fn time_is_bounded_for_a_task_and_for_a_workflow() {
    let api = Api::start().await;
    let hangs = json!({"body": "function (job, cb) { job.begun = true; }", "timeout": 0.05});
    let job = api.run(json!({"chain": [hangs]})).await;
    assert_eq!(results(&job, "chain_results"), [(json!(""), json!("task timeout error"))]);
    let fallback = "function (err, job, cb) { job.fell = true; cb(err); }";
    let hangs = json!({"body": "function (job, cb) {}", "fallback": fallback});
    let after = task("function (job, cb) { cb(null, 'after'); }");
    let job = api.run(json!({"chain": [hangs], "onerror": [after], "timeout": 1})).await;
    assert_eq!(job["execution"], "failed");
    assert_eq!(results(&job, "chain_results"), [(json!(""), json!("workflow timeout"))]);
    assert_eq!(results(&job, "onerror_results"), [(json!("after"), json!(""))]);
    assert_eq!(job.get("fell"), None, "the fallback does not run when the workflow is over");
}

#[tokio::test]
async fn what_takes_too_much_memory_fails() {
    let api = Api::start().await;
    let body = "function (job, cb) { var all = []; for (;;) { all.push(new Array(1e6).join('x')); } }";
    let job = api.run(json!({"chain": [task(body)]})).await;
    assert_eq!(job["execution"], "failed", "{job}");
}

// As wf 1.2 does it: see test/interop/real-wf.test.js.
#[tokio::test]
async fn a_job_that_is_cancelled_while_it_runs_goes_on_to_its_end() {
    let api = Api::start().await;
    let info = "function (job, cb) { setTimeout(function look() { if (job.timeToDie) { return; } \
                restify.createJsonClient({url: wfapiUrl}).get('/jobs/' + job.uuid, function (err, req, res, found) { \
                if (found.execution === 'canceled') { cb(null, 'saw it'); } else { setTimeout(look, 5); } }); }, 5); }";
    let after = task("function (job, cb) { cb(null, 'after'); }");
    let never = task("function (job, cb) { cb(null, 'never'); }");
    let uuid = api.job(json!({"chain": [task(info), after], "oncancel": [never]}), json!({})).await;
    let running = api.until(&uuid, |job| job["execution"] == "running").await;
    assert!(running["runner_id"].is_string());
    let cancelled = api.post(&format!("/jobs/{uuid}/cancel"), json!({})).await;
    assert_eq!(
        (&cancelled["execution"], &cancelled["runner_id"]),
        (&json!("canceled"), &running["runner_id"])
    );
    let job = api.until(&uuid, |job| job["execution"] != "canceled").await;
    assert_eq!((&job["execution"], job.get("runner_id")), (&json!("succeeded"), None));
    assert_eq!(results(&job, "chain_results"), [(json!("saw it"), json!("")), (json!("after"), json!(""))]);
    assert_eq!(job.get("oncancel_results"), None);
    let path = format!("/jobs/{uuid}/cancel");
    assert_eq!(api.call(Method::POST, &path, None).await.0, 409);
}

#[tokio::test]
async fn a_task_can_say_that_its_job_is_cancelled() {
    let api = Api::start().await;
    let cancels = task("function (job, cb) { cb('cancel'); }");
    let never = task("function (job, cb) { cb(null, 'never'); }");
    let after = task("function (job, cb) { cb(null, 'cleaned'); }");
    let job = api.run(json!({"chain": [cancels, never], "onerror": [never], "oncancel": [after]})).await;
    assert_eq!(job["execution"], "canceled");
    assert_eq!(results(&job, "chain_results"), [(json!(""), json!("cancel"))]);
    assert_eq!(results(&job, "oncancel_results"), [(json!("cleaned"), json!(""))]);
    assert_eq!(job.get("onerror_results"), None);
}

#[tokio::test]
async fn a_waiting_job_is_resumed() {
    let api = Api::start().await;
    let waits = task("function (job, cb) { cb('wait', 'for something'); }");
    let after = task("function (job, cb) { cb(null, 'went on'); }");
    let uuid = api.job(json!({"chain": [waits, after]}), json!({})).await;
    assert_eq!(api.ended(&uuid).await["execution"], "waiting");
    api.post(&format!("/jobs/{uuid}/resume"), json!({"result": "it came"})).await;
    let job = api.until(&uuid, |job| job["execution"] == "succeeded").await;
    assert_eq!(
        results(&job, "chain_results"),
        [(json!("it came"), json!("")), (json!("went on"), json!(""))]
    );
}

#[tokio::test]
async fn jobs_outlive_the_server_and_those_that_ran_are_stale() {
    let directory = tempfile::tempdir().unwrap();
    let options = || WorkflowOptions { file: Some(directory.path().join("w.sqlite")), variables: Vec::new() };
    let api = Api::with(options()).await;
    let hangs =
        json!({"chain": [task("function (job, cb) {}")], "oncancel": [task("function (job, cb) { cb(); }")]});
    let running = api.job(hangs, json!({})).await;
    api.until(&running, |job| job["execution"] == "running").await;
    api.server.pause_runner();
    let ends = json!({"chain": [task("function (job, cb) { cb(); }")]});
    let queued = api.job(ends, json!({})).await;
    drop(api);
    let api = Api::with(options()).await;
    let stale = api.get(&format!("/jobs/{running}")).await;
    assert_eq!((&stale["execution"], stale.get("oncancel_results")), (&json!("canceled"), None));
    assert_eq!(api.ended(&queued).await["execution"], "succeeded");
}

#[tokio::test]
async fn a_runner_that_is_restarted_lets_go_of_its_jobs() {
    let api = Api::start().await;
    let uuid = api.job(json!({"chain": [task("function (job, cb) {}")]}), json!({})).await;
    api.until(&uuid, |job| job["execution"] == "running").await;
    api.server.restart_runner().await.unwrap();
    assert_eq!(api.get(&format!("/jobs/{uuid}")).await["execution"], "canceled");
    let job = api.run(json!({"chain": [task("function (job, cb) { cb(); }")]})).await;
    assert_eq!(job["execution"], "succeeded");
}

#[tokio::test]
async fn a_job_that_asks_for_it_is_tried_again() {
    let api = Api::start().await;
    let body = "function (job, cb) { cb(job.num_attempts < 1 ? 'retry' : null); }";
    let job = api.run(json!({"chain": [task(body)], "initial_delay": 1, "max_attempts": 3})).await;
    assert_eq!(job["execution"], "retried");
    let next = api.ended(job["next_attempt"].as_str().unwrap()).await;
    assert_eq!((&next["execution"], &next["prev_attempt"]), (&json!("succeeded"), &job["uuid"]));
}

#[tokio::test]
async fn clients_of_tasks_call_services_and_tell_their_errors() {
    let other = Api::start().await;
    let variables = vec![("imgapiUrl".to_owned(), other.server.url())];
    let api = Api::with(WorkflowOptions { file: None, variables }).await;
    let body = "function (job, cb) {
        var client = restify.createJsonClient({url: imgapiUrl, headers: {'x-request-id': 'abc'}});
        client.get('/ping', function (err, req, res, ping) {
            job.ping = ping.backend + ' ' + res.statusCode + ' ' + res.headers['x-request-id'];
            client.get('/jobs/none', function (err) {
                job.code = err.restCode + ' ' + err.statusCode;
                var away = restify.createStringClient({url: 'http://127.0.0.1:1'});
                away.get('/', function (err) {
                    job.away = err.code;
                    new clients.IMGAPI({url: imgapiUrl}).getImage('x', function (err) {
                        cb(err);
                    });
                });
            });
        });
    }";
    let modules = json!({"restify": "restify", "clients": "sdc-clients"});
    let job = api.run(json!({"chain": [{"name": "a", "body": body, "modules": modules}]})).await;
    assert_eq!(job["ping"], "up 200 abc", "{job}");
    assert_eq!((&job["code"], &job["away"]), (&json!("ResourceNotFound 404"), &json!("ECONNREFUSED")));
    let error = &job["chain_results"][0]["error"];
    assert_eq!((&error["statusCode"], &error["body"]["code"]), (&json!(404), &json!("ResourceNotFound")));
}

#[tokio::test]
async fn modules_are_those_that_the_task_names() {
    let api = Api::start().await;
    let none = json!({"body": "function (job, cb) { cb(null, typeof (restify)); }", "modules": {}});
    let job = api.run(json!({"chain": [none]})).await;
    assert_eq!(job["chain_results"][0]["result"], "undefined");
    let unknown = json!({"body": "function (job, cb) { cb(); }", "modules": {"a": "left-pad"}});
    let job = api.run(json!({"chain": [unknown]})).await;
    let error = job["chain_results"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("Cannot find module 'left-pad'"), "{error}");
    let body = "function (job, cb) {
        async.waterfall([
            function (next) { next(null, new Buffer('é').toString('base64')); },
            function (text, next) { next(null, text + new Buffer('w6k=', 'base64').toString()); }
        ], function (err, text) {
            var seen = [];
            vasync.forEachPipeline({inputs: [1, 2], func: function (n, next) { seen.push(n); next(); }}, function () {
                info({seen: seen});
                cb(null, [text, seen.join(), uuid().length, urlModule.parse('http://a:1/b?c').path].join(' '));
            });
        });
    }";
    let job = api.run(json!({"chain": [task(body)]})).await;
    assert_eq!(job["chain_results"][0]["result"], "w6k=é 1,2 36 /b?c", "{job}");
    let info = api.get(&format!("/jobs/{}/info", job["uuid"].as_str().unwrap())).await;
    assert_eq!(info[0]["data"], json!({"seen": [1, 2]}));
}
