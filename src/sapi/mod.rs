// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A client of SAPI, the datacenter's services API. SAPI knows the applications, services and instances, and the
//! metadata and manifests from which their configuration files are made.

mod call;
mod error;
mod types;

#[cfg(test)]
mod tests;

use serde_json::json;
use url::Url;

pub use call::TimeLimits;
pub use error::SapiError;
pub use types::{
    Application, ConfigAnswer, Instance, InstanceConfig, Manifest, Metadata, Mode, Ping, Service,
};

use crate::manifest::Uuid;
use call::{Answer, Caller};

/// A client of one SAPI. Its only state is kept connections, and it is cheap to create.
#[derive(Debug)]
pub struct Sapi(Caller);

impl Sapi {
    /// Makes a client of the SAPI at `base`, which sends `user_agent`.
    ///
    /// # Errors
    /// `Down` if no HTTP client can be made, because the system has no certificates.
    pub fn new(base: Url, user_agent: &str) -> Result<Sapi, SapiError> {
        Sapi::with_limits(base, user_agent, TimeLimits::default())
    }

    /// Makes a client with other time limits.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_limits(base: Url, user_agent: &str, limits: TimeLimits) -> Result<Sapi, SapiError> {
        Ok(Sapi(Caller::new(base, user_agent, limits)?))
    }

    /// Returns SAPI's status. If it has lost its store, it answers with an error.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn ping(&self) -> Result<Ping, SapiError> {
        self.0.get("/ping", &[]).await
    }

    /// Returns whether the datacenter is still being set up.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn mode(&self) -> Result<Mode, SapiError> {
        self.0.get("/mode", &[]).await
    }

    /// Returns the applications with this name.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn applications(&self, name: &str) -> Result<Vec<Application>, SapiError> {
        self.0.get("/applications", &[("name", name)]).await
    }

    /// Returns the applications with this name, including those of the region's master datacenter.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn applications_of_region(&self, name: &str) -> Result<Vec<Application>, SapiError> {
        self.0.get("/applications", &[("name", name), ("include_master", "true")]).await
    }

    /// Returns the services with this name in an application.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn services(&self, name: &str, application: Uuid) -> Result<Vec<Service>, SapiError> {
        let application = application.to_string();
        self.0.get("/services", &[("name", name), ("application_uuid", &application)]).await
    }

    /// Returns the instances of a service.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn instances(&self, service: Uuid) -> Result<Vec<Instance>, SapiError> {
        self.0.get("/instances", &[("service_uuid", &service.to_string())]).await
    }

    /// Sets the given keys of a service's metadata, and leaves the others unchanged. It is sent only once: after
    /// `OutcomeUnknown` it may have been done, or may still be done.
    ///
    /// # Errors
    /// Any error of SAPI.
    pub async fn update_service_metadata(
        &self,
        service: Uuid,
        metadata: &Metadata,
    ) -> Result<Service, SapiError> {
        let body = json!({"action": "update", "metadata": metadata.0});
        self.0.put(&format!("/services/{service}"), &body).await
    }

    /// Returns the metadata and manifests of an instance; `NotModified` if they are those that came with `etag`.
    ///
    /// # Errors
    /// Any error of SAPI; `Refused` with 404 if it does not know the instance.
    pub async fn config(&self, instance: Uuid, etag: Option<&str>) -> Result<ConfigAnswer, SapiError> {
        match self.0.conditional_get(&format!("/configs/{instance}"), etag).await? {
            Answer::NotModified => Ok(ConfigAnswer::NotModified),
            Answer::Body { etag, value } => Ok(ConfigAnswer::Config(InstanceConfig { etag, ..value })),
        }
    }
}
