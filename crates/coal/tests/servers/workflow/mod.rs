// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The Workflow API and its runner.

mod api;
mod runner;

use coal::workflow::{WorkflowOptions, WorkflowServer};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::FREE_PORT;

/// A Workflow API and a client of it.
struct Api {
    server: WorkflowServer,
    client: Client,
}

fn client() -> Client {
    // The server, which was started before, has chosen the cryptography provider.
    Client::builder().no_proxy().build().unwrap()
}

impl Api {
    async fn start() -> Self {
        Self::with(WorkflowOptions::default()).await
    }

    async fn with(options: WorkflowOptions) -> Self {
        let server = WorkflowServer::bind(FREE_PORT, options).await.unwrap();
        Self { server, client: client() }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, self.server.url() + path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.call(Method::POST, path, Some(body)).await;
        assert!(status < 300, "{status} {body}");
        body
    }

    /// Adds a workflow with these chains; returns its UUID.
    async fn workflow(&self, chains: Value) -> String {
        let mut workflow = chains;
        workflow["name"] = json!(uuid::Uuid::new_v4().to_string());
        let added = self.post("/workflows", workflow).await;
        added["uuid"].as_str().unwrap().to_owned()
    }

    /// Adds a job of a new workflow; returns its UUID.
    async fn job(&self, chains: Value, params: Value) -> String {
        let mut body = params;
        body["workflow"] = json!(self.workflow(chains).await);
        let job = self.post("/jobs", body).await;
        assert_eq!(job["execution"], "queued");
        job["uuid"].as_str().unwrap().to_owned()
    }

    /// Waits until the job meets the condition, and returns it.
    async fn until(&self, uuid: &str, meets: impl Fn(&Value) -> bool) -> Value {
        crate::within(async {
            loop {
                let job = self.get(&format!("/jobs/{uuid}")).await;
                if meets(&job) {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Runs a job to its end and returns it.
    async fn run(&self, chains: Value) -> Value {
        let uuid = self.job(chains, json!({})).await;
        self.ended(&uuid).await
    }

    async fn ended(&self, uuid: &str) -> Value {
        let is_over = |job: &Value| !matches!(job["execution"].as_str(), Some("queued" | "running"));
        self.until(uuid, is_over).await
    }
}
