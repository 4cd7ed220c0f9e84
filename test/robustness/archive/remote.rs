//! The archive in Manta.

use std::collections::BTreeMap;

use coal::Datacenter;
use futures_util::TryStreamExt;
use http_signature::PrivateKey;
use serde_json::Value;

const DIRECTORY: &str = "/admin/stor/imgapi/coal/archive";

pub(super) struct Remote(manta::Client);

impl Remote {
    pub(super) fn new(datacenter: &Datacenter) -> Remote {
        let key = std::fs::read_to_string(datacenter.key_file("admin")).unwrap();
        let url = datacenter.manta().unwrap().url();
        let config = manta::Config::new(url, "admin", PrivateKey::from_pem(&key).unwrap());
        Remote(manta::Client::new(config).unwrap())
    }

    /// Everything that is there, by UUID.
    pub(super) async fn archived(&self) -> BTreeMap<String, Value> {
        let directory = manta::Path::new(DIRECTORY).unwrap();
        let mut archived = BTreeMap::new();
        for prefix in self.names(&directory).await {
            let prefix = directory.join(&prefix).unwrap();
            for name in self.names(&prefix).await {
                let object = self.0.get(&prefix.join(&name).unwrap(), &Default::default()).await.unwrap();
                let text = object.body.try_collect::<Vec<_>>().await.unwrap().concat();
                archived.insert(
                    name.strip_suffix(".json").unwrap().to_owned(),
                    serde_json::from_slice(&text).unwrap(),
                );
            }
        }
        archived
    }

    async fn names(&self, directory: &manta::Path) -> Vec<String> {
        let entries = self.0.list(directory).try_collect::<Vec<_>>().await.unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}
