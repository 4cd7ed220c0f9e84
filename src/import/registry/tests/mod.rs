// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The client against a server that is told what to answer.

mod auth;
mod blobs;
mod faults;
mod foreign;
mod layers;
mod manifests;
mod push;
mod schema1;
mod server;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Access, Clients, Credentials, Digest, Layer, Registry, RegistryError, Repository, Revision};
use crate::config::{Config, Secret};
use server::Server;

/// The clients of a configuration. They wait only for a moment before they try again.
fn clients(settings: &Value, no_proxy: Option<&str>) -> Clients {
    let mut instance = json!({"transferIdleSeconds": 20, "registryAllow": ["127.0.0.1"]});
    let instance = instance.as_object_mut().unwrap();
    instance.extend(settings.as_object().unwrap().clone());
    let config = Config::from_instance(instance.clone()).unwrap();
    let mut clients = Clients::new(&config, no_proxy, Arc::new(Semaphore::new(8)));
    clients.pause = Duration::from_millis(1);
    clients
}

/// The same for a test in which nothing comes any more.
fn impatient() -> Clients {
    let mut clients = clients(&json!({"transferIdleSeconds": 1}), None);
    clients.blob_idle = Duration::from_millis(300);
    clients
}

fn registry_with(clients: Clients, text: &str, user: Option<(&str, &str)>, access: Access) -> Registry {
    let credentials = user.map(|(username, password)| Credentials {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    });
    let repository = Repository::parse(text).unwrap();
    Registry::new(Arc::new(clients), repository, credentials, access, Some("some-id".parse().unwrap()))
}

/// Returns a client of the repository `a/b` on this server.
fn registry(server: &Server) -> Registry {
    let text = format!("{}/aa/b", server.address);
    registry_with(clients(&json!({}), None), &text, None, Access::Pull)
}

fn tag() -> Revision {
    Revision::tag("latest").unwrap()
}

/// Fetches an image: its manifest, its configuration, and the bytes of its layers as they are to be stored.
async fn pull(registry: &Registry) -> Result<Vec<Vec<u8>>, RegistryError> {
    let manifest = registry.manifest(&tag(), &Default::default()).await?;
    let super::Content::Image(image) = &manifest.content else { unreachable!() };
    let config = registry.config(&image.config).await?;
    let mut layers = Vec::new();
    for layer in config.layers(image)? {
        let received = registry.layer(&layer.descriptor, Some(layer.diff_id)).await?;
        layers.push(whole(received).await?.0);
    }
    Ok(layers)
}

/// Returns the bytes of a layer, and the digest of the uncompressed ones.
async fn whole(layer: Layer) -> Result<(Vec<u8>, Digest), RegistryError> {
    let chunks: Vec<_> = layer.bytes.try_collect().await?;
    Ok((chunks.concat(), *layer.uncompressed.get().unwrap()))
}
