// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The data of IMGAPI in Manta.

use std::collections::{BTreeMap, BTreeSet};

use coal::Datacenter;
use futures_util::TryStreamExt;
use http_signature::PrivateKey;
use serde_json::Value;

const DIRECTORY: &str = "/admin/stor/imgapi/coal";

pub(crate) struct Remote(manta::Client);

impl Remote {
    pub(crate) fn new(datacenter: &Datacenter) -> Remote {
        let key = std::fs::read_to_string(datacenter.key_file("admin")).unwrap();
        let url = datacenter.manta().unwrap().url();
        let config = manta::Config::new(url, "admin", PrivateKey::from_pem(&key).unwrap());
        Remote(manta::Client::new(config).unwrap())
    }

    /// Returns the files of images: UUID and name.
    pub(crate) async fn files(&self) -> BTreeSet<(String, String)> {
        let images = directory("images");
        let mut files = BTreeSet::new();
        for group in self.names(&images).await {
            let group = images.join(&group).unwrap();
            for uuid in self.names(&group).await {
                for name in self.names(&group.join(&uuid).unwrap()).await {
                    files.insert((uuid.clone(), name));
                }
            }
        }
        files
    }

    /// Returns the names of one image's files.
    pub(crate) async fn objects(&self, uuid: &str) -> BTreeSet<String> {
        let directory = directory("images").join(&uuid[..3]).unwrap().join(uuid).unwrap();
        self.names(&directory).await.into_iter().collect()
    }

    /// Returns the archive of manifests, by UUID.
    pub(crate) async fn archived(&self) -> BTreeMap<String, Value> {
        let directory = directory("archive");
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

    /// Returns the names in a directory; empty if it does not exist.
    async fn names(&self, directory: &manta::Path) -> Vec<String> {
        match self.0.list(directory).try_collect::<Vec<_>>().await {
            Err(error) if error.is_not_found() => Vec::new(),
            entries => entries.unwrap().into_iter().map(|entry| entry.name).collect(),
        }
    }
}

fn directory(name: &str) -> manta::Path {
    manta::Path::new(DIRECTORY).unwrap().join(name).unwrap()
}
