// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! HTTP: the routes, the processing that they share, and the translation between requests and operations.

mod acl;
mod actions;
mod answer_memory;
mod audit;
mod auth;
mod body;
mod body_memory;
mod body_stream;
mod body_watch;
mod change_stor;
mod channels;
mod clone;
mod conditional;
mod context;
mod cors;
mod docs;
mod download;
mod drain;
mod extract;
mod fetch;
mod files;
mod foreign;
mod icons;
mod images;
mod imports;
mod jobs;
mod metrics;
mod negotiate;
mod params;
mod ping;
mod pipeline;
mod push;
mod range;
mod redirect;
mod reload;
mod reply;
mod routes;
mod state;
mod static_content;
mod unavailable;
mod upload_params;
mod version;
mod version_range;

use std::sync::Arc;

use axum::http::HeaderValue;

use crate::auth::Authenticator;
use crate::config::ReloadStatus;
use crate::images::App;
use crate::telemetry::Metrics;
use crate::workers::Workers;

use answer_memory::AnswerMemory;
use drain::Drain;

pub use context::Peer;
pub use download::FileBodies;
pub use metrics::router as metrics_router;
pub use pipeline::Api;
pub use routes::{Route, mounted};

/// The state that every handler can use.
#[derive(Debug, Clone)]
pub struct AppState(Arc<AppStateInner>);

#[derive(Debug)]
struct AppStateInner {
    app: Arc<App>,
    auth: Arc<Authenticator>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    drain: Drain,
    answers: AnswerMemory,
    reload_status: Arc<ReloadStatus>,
    server_name: HeaderValue,
    host_name: HeaderValue,
}

impl AppState {
    /// Makes the state of a server that serves `app` to the callers that `auth` admits. `host_name` is sent as `x-server-name`.
    pub fn new(
        app: Arc<App>,
        auth: Arc<Authenticator>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
        reload_status: Arc<ReloadStatus>,
        host_name: &str,
    ) -> AppState {
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("imgapi"));
        let server_name = header(&app.config.server_name);
        let drain = Drain::new(&app.config);
        let answers = AnswerMemory::new(app.config.max_answer_bytes);
        let host_name = header(host_name);
        let shared = AppStateInner {
            app,
            auth,
            workers,
            metrics,
            drain,
            answers,
            reload_status,
            server_name,
            host_name,
        };
        AppState(Arc::new(shared))
    }

    fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    fn auth(&self) -> &Authenticator {
        &self.0.auth
    }

    fn workers(&self) -> &Workers {
        &self.0.workers
    }

    fn drain(&self) -> &Drain {
        &self.0.drain
    }
}
