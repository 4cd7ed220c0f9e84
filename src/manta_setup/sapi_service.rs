// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The object of the setup: the service `imgapi` in SAPI.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::key::Key;
use super::zone::Zone;
use crate::config::{Secret, Ufds};
use crate::jobs::Machines;
use crate::manifest::Uuid;
use crate::sapi::{Application, Metadata, Sapi, SapiError, Service};
use crate::telemetry::{Metrics, StaticLabels};

const URL: &str = "IMGAPI_MANTA_URL";
const USER: &str = "IMGAPI_MANTA_USER";
const INSECURE: &str = "IMGAPI_MANTA_INSECURE";
const REMOTE: &str = "IMGAPI_MANTA_REMOTE";
const PRIVATE_KEY: &str = "IMGAPI_PRIVATE_KEY";
const PUBLIC_KEY: &str = "IMGAPI_PUBLIC_KEY";
const KEY_ID: &str = "IMGAPI_KEY_ID";

/// The metadata keys that describe a Manta.
const ALL: [&str; 7] = [URL, USER, INSECURE, REMOTE, PRIVATE_KEY, PUBLIC_KEY, KEY_ID];

/// Where Manta is, as given on the command line.
pub(super) enum MantaUrl {
    /// At this URL.
    Url(String),
    /// `FIRST-LB`: at the external address of the first load balancer.
    FirstBalancer,
}

impl FromStr for MantaUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<MantaUrl, String> {
        if text == "FIRST-LB" { Ok(MantaUrl::FirstBalancer) } else { checked(text).map(MantaUrl::Url) }
    }
}

/// The application `sdc` and its service `imgapi`, as last read from SAPI.
pub(super) struct SapiService {
    sapi: Sapi,
    pub(super) application: Application,
    pub(super) service: Service,
}

/// The settings of a Manta to store in SAPI.
pub(super) struct Settings<'a> {
    pub(super) url: &'a str,
    pub(super) user: &'a str,
    pub(super) insecure: bool,
    pub(super) remote: bool,
    pub(super) key: &'a Key,
}

impl Settings<'_> {
    fn metadata(&self) -> Metadata {
        let values = [
            (URL, json!(self.url)),
            (USER, json!(self.user)),
            (INSECURE, json!(self.insecure)),
            (REMOTE, json!(self.remote)),
            (PRIVATE_KEY, json!(self.key.private.expose())),
            (PUBLIC_KEY, json!(self.key.public)),
            (KEY_ID, json!(self.key.id)),
        ];
        Metadata(values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }
}

impl SapiService {
    /// Reads the service from the SAPI of the configuration.
    pub(super) async fn find(zone: &Zone) -> Result<SapiService, String> {
        let host = zone.sapi_service.as_deref().filter(|host| !host.is_empty());
        let host = host.ok_or("the configuration has no sapi_service")?;
        let sapi = Sapi::new(service_url(host)?, &zone.user_agent()).map_err(told)?;
        let applications = sapi.applications("sdc").await.map_err(told)?;
        let application = applications.into_iter().next().ok_or("SAPI has no application \"sdc\"")?;
        let services = sapi.services("imgapi", application.uuid).await.map_err(told)?;
        let service = services.into_iter().next().ok_or("SAPI has no service \"imgapi\"")?;
        tracing::info!(application = %application.uuid, service = %service.uuid, "found the imgapi service in SAPI");
        Ok(SapiService { sapi, application, service })
    }

    /// Returns the metadata keys that a Manta still needs.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|key| self.value(key).is_null()).collect()
    }

    /// Returns whether requests may have been signed with a key in SAPI.
    pub(super) fn has_key(&self) -> bool {
        self.service.metadata.text(PRIVATE_KEY).is_some()
    }

    /// Returns the key in SAPI.
    pub(super) fn key(&self) -> Result<Key, String> {
        let text = |key| self.service.metadata.text(key).unwrap_or_default();
        Key::pair(text(PRIVATE_KEY), text(PUBLIC_KEY)).map_err(|error| format!("the key in SAPI: {error}"))
    }

    /// Returns the login of the account in SAPI.
    pub(super) fn user(&self) -> &str {
        self.service.metadata.text(USER).unwrap_or_default()
    }

    /// Returns the names of the stored values that differ from these, except for the key.
    pub(super) fn differing(&self, url: &str, insecure: bool, remote: bool) -> Vec<&'static str> {
        let wanted = [(URL, json!(url)), (INSECURE, json!(insecure)), (REMOTE, json!(remote))];
        wanted.into_iter().filter(|(key, wanted)| self.value(key) != wanted).map(|(key, _)| key).collect()
    }

    fn value(&self, key: &str) -> &Value {
        self.service.metadata.0.get(key).unwrap_or(&Value::Null)
    }

    /// Stores these settings in SAPI, all at once. After an error they may have been stored, or may still be.
    pub(super) async fn store(&mut self, settings: &Settings<'_>) -> Result<(), String> {
        let metadata = settings.metadata();
        if self.says(&metadata) {
            tracing::info!("SAPI says so already");
            return Ok(());
        }
        match self.sapi.update_service_metadata(self.service.uuid, &metadata).await {
            Ok(service) => self.service = service,
            Err(error @ (SapiError::OutcomeUnknown(_) | SapiError::Deadline(_))) => {
                self.look_again().await?;
                if !self.says(&metadata) {
                    return Err(told(error));
                }
            }
            Err(error) => return Err(told(error)),
        }
        tracing::info!(keys = ALL.join(", "), "metadata of the imgapi service set in SAPI");
        Ok(())
    }

    fn says(&self, metadata: &Metadata) -> bool {
        metadata.0.iter().all(|(key, value)| self.value(key) == value)
    }

    /// Reads the service from SAPI again.
    pub(super) async fn look_again(&mut self) -> Result<(), String> {
        let services = self.sapi.services("imgapi", self.application.uuid).await.map_err(told)?;
        let same = services.into_iter().find(|service| service.uuid == self.service.uuid);
        self.service = same.ok_or("SAPI has lost the service \"imgapi\"")?;
        Ok(())
    }

    /// Returns how many zones the service has.
    pub(super) async fn zones(&self) -> Result<usize, String> {
        Ok(self.sapi.instances(self.service.uuid).await.map_err(told)?.len())
    }

    /// Returns a string of the datacenter's metadata.
    pub(super) fn text(&self, key: &str) -> Result<&str, String> {
        let text = self.application.metadata.text(key);
        text.ok_or_else(|| format!("the application \"sdc\" in SAPI has no {key}"))
    }

    /// Returns the UUID of the administrator's account.
    pub(super) fn admin(&self) -> Result<Uuid, String> {
        self.text("ufds_admin_uuid")?.parse().map_err(|error| format!("ufds_admin_uuid in SAPI is {error}"))
    }

    /// Returns the UFDS that accepts changes, which is in the master datacenter.
    pub(super) fn master_ufds(&self) -> Result<Ufds, String> {
        let is_master = match self.application.metadata.0.get("ufds_is_master") {
            Some(Value::Bool(is_master)) => *is_master,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let host = match is_master {
            true => self.text("UFDS_SERVICE").or_else(|_| self.text("ufds_domain")),
            false => self.text("ufds_remote_ip"),
        };
        Ok(Ufds {
            url: format!("ldaps://{}", host?),
            bind_dn: self.text("ufds_ldap_root_dn")?.to_owned(),
            bind_password: Secret::new(self.text("ufds_ldap_root_pw")?.to_owned()),
            remembered: Duration::ZERO,
        })
    }

    /// Returns the URL of the Manta at `manta`.
    pub(super) async fn manta_url(&self, manta: MantaUrl, zone: &Zone) -> Result<String, String> {
        if let MantaUrl::Url(url) = manta {
            return Ok(url);
        }
        let applications = self.sapi.applications_of_region("manta").await.map_err(told)?;
        let manta = applications.into_iter().next().ok_or("SAPI has no application \"manta\"")?;
        let metrics = Metrics::new(&StaticLabels::default()).map_err(|error| error.to_string())?;
        let vmapi = service_url(self.text("VMAPI_SERVICE")?)?;
        let vmapi = Machines::of_vmapi(vmapi, &zone.user_agent(), &metrics.into());
        let balancers = vmapi.addresses(manta.owner_uuid, ("manta_role", "loadbalancer"), "external").await;
        let balancers = balancers.map_err(|error| format!("VMAPI: {error}"))?;
        let first = balancers.into_iter().next().ok_or("no manta \"loadbalancer\" VMs were found")?;
        let address = first.ok_or("no external IP on the first Manta LB")?;
        checked(&format!("https://{address}"))
    }
}

fn told(error: SapiError) -> String {
    error.to_string()
}

fn service_url(host: &str) -> Result<Url, String> {
    Url::parse(&format!("http://{host}"))
        .map_err(|error| format!("{host:?} is no name of a service: {error}"))
}

/// Checks the URL of a server, and returns it unchanged.
pub(super) fn checked(url: &str) -> Result<String, String> {
    let fits = Url::parse(url).is_ok_and(|parsed| {
        let plain = parsed.username().is_empty() && parsed.password().is_none();
        let bare = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && plain && bare
    });
    // The URL is inserted into a configuration file without escaping.
    let printable = url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'));
    match fits && printable {
        true => Ok(url.to_owned()),
        // The message does not quote the URL, which may contain a password.
        false => Err("the URL of Manta must be https:// or http:// and a host, and nothing else".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_a_server() {
        for good in ["https://manta.example.com", "http://1.2.3.4:8080", "https://[::1]/"] {
            assert_eq!(checked(good).unwrap(), good);
        }
        for bad in
            ["", "manta", "ftp://x", "https://u:p@x", "https://x/y", "https://x?y", "https://x\"", "https://"]
        {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    fn sapi_service(sdc: Value, imgapi: Value) -> SapiService {
        let uuid = "930896af-bf8c-48d4-885c-6573a94b1853";
        let application = json!({"uuid": uuid, "name": "sdc", "owner_uuid": uuid, "metadata": sdc});
        let service = json!({"uuid": uuid, "name": "imgapi", "application_uuid": uuid, "metadata": imgapi});
        SapiService {
            sapi: Sapi::new(service_url("sapi").unwrap(), "imgapi/1").unwrap(),
            application: serde_json::from_value(application).unwrap(),
            service: serde_json::from_value(service).unwrap(),
        }
    }

    #[test]
    fn keys_are_changed_in_the_master_datacenter() {
        let ufds = |more: Value| {
            let mut sdc = json!({
                "UFDS_SERVICE": "ufds.here", "ufds_remote_ip": "10.9.9.9",
                "ufds_ldap_root_dn": "cn=root", "ufds_ldap_root_pw": "hunter2",
            });
            sdc.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sapi_service(sdc, json!({})).master_ufds().map(|ufds| ufds.url)
        };
        for is_master in [json!("true"), json!(true)] {
            assert_eq!(ufds(json!({"ufds_is_master": is_master})).unwrap(), "ldaps://ufds.here");
        }
        let old = json!({"ufds_is_master": "true", "UFDS_SERVICE": "", "ufds_domain": "ufds.old"});
        assert_eq!(ufds(old).unwrap(), "ldaps://ufds.old");
        for is_master in [json!("false"), json!(false), Value::Null] {
            assert_eq!(ufds(json!({"ufds_is_master": is_master})).unwrap(), "ldaps://10.9.9.9");
        }
        let error = ufds(json!({"ufds_remote_ip": null})).unwrap_err();
        assert_eq!(error, "the application \"sdc\" in SAPI has no ufds_remote_ip");
    }

    #[test]
    fn what_is_missing_or_another_is_named() {
        let nothing = sapi_service(json!({}), json!({}));
        assert_eq!((nothing.missing(), nothing.has_key()), (ALL.to_vec(), false));
        let some = json!({"IMGAPI_MANTA_URL": "https://x", "IMGAPI_MANTA_INSECURE": false, "IMGAPI_MANTA_REMOTE": true});
        let some = sapi_service(json!({}), some);
        assert_eq!(some.missing(), [USER, PRIVATE_KEY, PUBLIC_KEY, KEY_ID]);
        assert_eq!(some.differing("https://x", false, true), Vec::<&str>::new());
        assert_eq!(some.differing("https://y", false, false), [URL, REMOTE]);
    }
}
