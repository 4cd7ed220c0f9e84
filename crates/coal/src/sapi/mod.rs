// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI: the deployed services, and the metadata from which the config-agents render their configs.
//!
//! It implements SAPI 2: applications, services, instances and manifests with their three kinds of changes, `GetConfig` with its
//! `ETag`, and the mode. Differences: in neither mode is a zone created, changed or removed for an instance. Networks and images
//! in `params` are not checked. There is no history, no cache, and no master datacenter (`include_master` is ignored).

mod config;
mod kind;
mod model;
mod routes;
mod seed;
mod store;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::rest::RestServer;
use store::Store;

pub(crate) use config::SERVER_UUID;
pub(crate) use kind::Kind;

/// An application, a service, an instance, a manifest, or a part of one of these.
pub(crate) type Object = Map<String, Value>;

/// What a SAPI server keeps.
#[derive(Debug)]
pub struct Sapi {
    store: Store,
}

/// A running SAPI server.
pub type SapiServer = RestServer<Sapi>;

impl SapiServer {
    /// Opens the store, in memory without a `file`, and listens on `address`. Port 0 chooses a free port. A new store is in full
    /// mode.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or the port cannot be bound.
    pub async fn bind(address: SocketAddr, file: Option<PathBuf>) -> io::Result<Self> {
        let store = tokio::task::spawn_blocking(move || Store::open(file.as_deref()))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let down = (StatusCode::INTERNAL_SERVER_ERROR, routes::ping_of("full", false));
        let server = RestServer::serve_with_ping(address, routes::router(store.clone()), down).await?;
        Ok(server.with(Sapi { store }))
    }

    /// Returns to the mode that is used during the setup of a headnode. `POST /mode` ends it.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn set_proto_mode(&self) -> io::Result<()> {
        self.state().store.run(|tables| tables.set_mode("proto")).await.map_err(io::Error::other)
    }

    /// Returns the first object of the kind whose members have these values.
    pub(crate) async fn find(&self, kind: Kind, members: Object) -> io::Result<Option<Object>> {
        self.state()
            .store
            .run(move |tables| {
                let all = tables.list(kind)?;
                Ok(all
                    .into_iter()
                    .find(|object| members.iter().all(|(name, value)| object.get(name) == Some(value))))
            })
            .await
            .map_err(io::Error::other)
    }

    /// Creates the object with this UUID, or updates an earlier one: values that were seeded here before are updated, values that
    /// were changed or removed since stay as they are.
    pub(crate) async fn seed(&self, kind: Kind, object: Object) -> io::Result<()> {
        self.state().store.run(move |tables| seed::seed(tables, kind, object)).await.map_err(io::Error::other)
    }
}
