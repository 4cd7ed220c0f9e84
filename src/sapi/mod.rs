// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI, the datacenter's services API: which applications, services and instances there are, and the metadata and
//! manifests that their configuration files are made from.

mod call;
mod error;
mod types;

#[cfg(test)]
mod tests;

use serde_json::json;
use url::Url;

pub use call::Patience;
pub use error::SapiError;
pub use types::{
    Application, ConfigAnswer, Instance, InstanceConfig, Manifest, Metadata, Mode, Ping, Service,
};

use crate::manifest::Uuid;
use call::{Answer, Caller};

/// A client of one SAPI. It has no state but kept connections, and is cheap to make.
#[derive(Debug)]
pub struct Sapi(Caller);

impl Sapi {
    /// The SAPI at `base`, which is told `user_agent`.
    ///
    /// # Errors
    /// `Down` when no HTTP client can be made, for want of a system's certificates.
    pub fn new(base: Url, user_agent: &str) -> Result<Sapi, SapiError> {
        Sapi::with_patience(base, user_agent, Patience::default())
    }

    /// The same with other limits of time.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn with_patience(base: Url, user_agent: &str, patience: Patience) -> Result<Sapi, SapiError> {
        Ok(Sapi(Caller::new(base, user_agent, patience)?))
    }

    /// How it is. One that has lost its store answers with an error.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn ping(&self) -> Result<Ping, SapiError> {
        self.0.get("/ping", &[]).await
    }

    /// Whether the datacenter is still being set up.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn mode(&self) -> Result<Mode, SapiError> {
        self.0.get("/mode", &[]).await
    }

    /// The applications of this name.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn applications(&self, name: &str) -> Result<Vec<Application>, SapiError> {
        self.0.get("/applications", &[("name", name)]).await
    }

    /// The same, with those of the master datacenter of the region.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn applications_of_region(&self, name: &str) -> Result<Vec<Application>, SapiError> {
        self.0.get("/applications", &[("name", name), ("include_master", "true")]).await
    }

    /// The services of this name in an application.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn services(&self, name: &str, application: Uuid) -> Result<Vec<Service>, SapiError> {
        let application = application.to_string();
        self.0.get("/services", &[("name", name), ("application_uuid", &application)]).await
    }

    /// The instances of a service.
    ///
    /// # Errors
    /// What is wrong with SAPI.
    pub async fn instances(&self, service: Uuid) -> Result<Vec<Instance>, SapiError> {
        self.0.get("/instances", &[("service_uuid", &service.to_string())]).await
    }

    /// Sets the given keys of a service's metadata, and leaves others as they are. It is sent once: after
    /// `OutcomeUnknown` it may have been done, or be done later.
    ///
    /// # Errors
    /// What is wrong with SAPI, or why it refused.
    pub async fn update_service_metadata(
        &self,
        service: Uuid,
        metadata: &Metadata,
    ) -> Result<Service, SapiError> {
        let body = json!({"action": "update", "metadata": metadata.0});
        self.0.put(&format!("/services/{service}"), &body).await
    }

    /// What the files of an instance are made from; `NotModified` while that is what came with `etag`.
    ///
    /// # Errors
    /// What is wrong with SAPI; `Refused` with 404 when it does not know the instance.
    pub async fn config(&self, instance: Uuid, etag: Option<&str>) -> Result<ConfigAnswer, SapiError> {
        match self.0.conditional_get(&format!("/configs/{instance}"), etag).await? {
            Answer::NotModified => Ok(ConfigAnswer::NotModified),
            Answer::Body { etag, value } => Ok(ConfigAnswer::Config(InstanceConfig { etag, ..value })),
        }
    }
}
