// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SAPI in a datacenter: the server, and the objects that the installation of a datacenter writes into it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::builder::DataDir;
use super::error::{DatacenterError, cannot};
use super::manta::Manta;
use super::services::Services;
use crate::moray::MorayServer;
use crate::sapi::{Kind, Object, SERVER_UUID, SapiServer};
use crate::ufds::{Account, UfdsServer};

/// The domain of a datacenter's names. The names are never resolved here.
const DNS_DOMAIN: &str = "local";

/// A running SAPI.
#[derive(Debug)]
pub(super) struct Sapi {
    server: Arc<SapiServer>,
    ids: Ids,
}

/// The UUIDs of the objects that IMGAPI's zone consists of.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    /// The application `sdc`.
    pub(super) application: String,
    /// Its service `imgapi`.
    pub(super) service: String,
    /// The instance of that service.
    pub(super) instance: String,
}

/// The values from which the metadata are made.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) datacenter: &'a str,
    pub(super) admin: Option<&'a Account>,
    pub(super) imgapi: SocketAddr,
    pub(super) moray: &'a MorayServer,
    pub(super) ufds: &'a UfdsServer,
    pub(super) ufds_root_dn: &'a str,
    pub(super) ufds_root_password: &'a str,
    pub(super) manta: Option<&'a Manta>,
    pub(super) services: Option<&'a Services>,
    pub(super) peers: &'a BTreeMap<String, String>,
}

impl Sapi {
    /// Starts the server and writes the objects.
    pub(super) async fn start(
        data: &DataDir,
        address: SocketAddr,
        content: &Content<'_>,
    ) -> Result<Self, DatacenterError> {
        let failed = || cannot(format!("start SAPI on {address}"));
        let server =
            SapiServer::bind(address, Some(data.path().join("sapi.sqlite"))).await.map_err(failed())?;
        let ids = write(&server, content).await.map_err(failed())?;
        Ok(Self { server: Arc::new(server), ids })
    }

    /// Returns the server.
    pub(super) fn server(&self) -> &Arc<SapiServer> {
        &self.server
    }

    /// Returns the UUIDs of IMGAPI's objects.
    pub(super) fn ids(&self) -> &Ids {
        &self.ids
    }
}

async fn write(sapi: &SapiServer, content: &Content<'_>) -> std::io::Result<Ids> {
    let owner = content.admin.map(|admin| admin.uuid.clone()).unwrap_or_default();
    let uuid = async |kind, members: Value| {
        let found = sapi.find(kind, members_of(members)).await?;
        let uuid = found.and_then(|object| Some(object.get("uuid")?.as_str()?.to_owned()));
        std::io::Result::Ok(uuid.unwrap_or_else(|| Uuid::new_v4().to_string()))
    };
    let application = uuid(Kind::Application, json!({"name": "sdc"})).await?;
    let sdc = json!({
        "uuid": application,
        "name": "sdc",
        "owner_uuid": owner,
        "params": {},
        "metadata": content.of_sdc(&sapi.address().to_string()),
        "metadata_schema": {},
        "manifests": {},
    });
    sapi.seed(Kind::Application, members_of(sdc)).await?;
    let service =
        uuid(Kind::Service, json!({"name": "imgapi", "application_uuid": application.clone()})).await?;
    let imgapi = json!({
        "uuid": service,
        "name": "imgapi",
        "application_uuid": application,
        "params": {
            "package_name": "sdc_imgapi",
            "delegate_dataset": true,
            "maintain_resolvers": true,
            "firewall_enabled": true,
            "archive_on_delete": true,
            "networks": [{"name": "admin"}],
            "tags": {"smartdc_role": "imgapi", "smartdc_type": "core"},
        },
        "metadata": content.of_imgapi(&sapi.url())?,
        "manifests": {},
        "type": "vm",
    });
    sapi.seed(Kind::Service, members_of(imgapi)).await?;
    let instance = uuid(Kind::Instance, json!({"service_uuid": service.clone()})).await?;
    let zone = json!({
        "uuid": instance,
        "service_uuid": service,
        "params": {"alias": "imgapi0", "server_uuid": SERVER_UUID},
        "metadata": {},
        "manifests": {},
        "type": "vm",
    });
    sapi.seed(Kind::Instance, members_of(zone)).await?;
    if let Some(manta) = content.manta {
        let manta_url = manta.server().url();
        let manta = json!({
            "uuid": uuid(Kind::Application, json!({"name": "manta"})).await?,
            "name": "manta",
            "owner_uuid": owner,
            "params": {},
            "metadata": {"DATACENTER": content.datacenter, "MANTA_URL": manta_url},
            "manifests": {},
        });
        sapi.seed(Kind::Application, members_of(manta)).await?;
    }
    Ok(Ids { application, service, instance })
}

fn members_of(value: Value) -> Object {
    match value {
        Value::Object(members) => members,
        _ => Object::new(),
    }
}

impl Content<'_> {
    /// Returns the name of a service in the datacenter's DNS.
    fn name_of(&self, service: &str) -> String {
        format!("{service}.{}.{DNS_DOMAIN}", self.datacenter)
    }

    /// Returns the metadata of all services. Real ones contain a DNS name and the usual port; here they contain an address and
    /// its port. A service that does not run keeps its name.
    fn of_sdc(&self, sapi: &str) -> Value {
        let address = |service: &str, url: Option<String>| {
            let address = url.as_deref().and_then(|url| url.strip_prefix("http://")).map(str::to_owned);
            address.unwrap_or_else(|| self.name_of(service))
        };
        json!({
            "datacenter_name": self.datacenter,
            "region_name": "coal",
            "dns_domain": DNS_DOMAIN,
            "ufds_admin_uuid": self.admin.map_or("", |admin| admin.uuid.as_str()),
            "ufds_admin_login": self.admin.map_or("", |admin| admin.login.as_str()),
            "ufds_ldap_root_dn": self.ufds_root_dn,
            "ufds_ldap_root_pw": self.ufds_root_password,
            "ufds_is_master": "true",
            "UFDS_SERVICE": self.ufds.address().to_string(),
            "MORAY_SERVICE": self.moray.address().ip().to_string(),
            "IMGAPI_SERVICE": self.imgapi.to_string(),
            "SAPI_SERVICE": sapi,
            "NAPI_SERVICE": self.name_of("napi"),
            "WORKFLOW_SERVICE": address("workflow", self.services.map(|all| all.workflow().url())),
            "VMAPI_SERVICE": address("vmapi", self.services.map(|all| all.vmapi().url())),
            "CNAPI_SERVICE": address("cnapi", self.services.map(|all| all.cnapi().url())),
            "ZK_SERVERS": [{"host": self.moray.address().ip(), "port": 2181, "num": 1, "last": true}],
            "http_proxy": "",
            "docker_registry_insecure": false,
        })
    }

    /// Returns the metadata of IMGAPI.
    fn of_imgapi(&self, sapi_url: &str) -> std::io::Result<Value> {
        let mut metadata = members_of(json!({
            "SERVICE_NAME": "imgapi",
            "SERVICE_DOMAIN": self.name_of("imgapi"),
            "STORAGE_MANTA_BASEDIR": "imgapi",
            "sapi-url": sapi_url,
            "assets-ip": self.imgapi.ip(),
            "user-script": "#!/usr/bin/bash\n",
        }));
        if !self.peers.is_empty() {
            metadata.insert("IMGAPI_URL_FROM_DATACENTER".to_owned(), json!(self.peers));
        }
        if let Some(manta) = self.manta {
            metadata.extend(manta.metadata()?);
        }
        Ok(metadata.into())
    }
}
