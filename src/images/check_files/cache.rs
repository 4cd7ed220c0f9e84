use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::name_of;
use crate::manifest::Stor;
use crate::storage::Location;
use crate::telemetry::err;

/// Most bytes of what is kept: some 500,000 files.
const MAX_SIZE: u64 = 64 << 20;

/// The files that were found to be good, kept in `run/check-files.json` below the local base directory. Losing it costs time only.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Cache(BTreeMap<String, Good>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Good {
    storage: Stor,
    size: u64,
    sha1: String,
}

impl Good {
    fn of(location: &Location) -> Good {
        Good { storage: location.stor, size: location.size, sha1: location.sha1.clone() }
    }
}

impl Cache {
    pub(super) async fn read(base: &Path) -> Cache {
        let file = file(base);
        match tokio::fs::metadata(&file).await {
            Ok(known) if known.len() <= MAX_SIZE => {}
            _ => return Cache::default(),
        }
        let content = tokio::fs::read(&file).await.unwrap_or_default();
        serde_json::from_slice(&content).unwrap_or_default()
    }

    pub(super) async fn write(&self, base: &Path) {
        let (file, new) = (file(base), file(base).with_extension("json.new"));
        let written = async {
            if let Some(directory) = file.parent() {
                tokio::fs::create_dir_all(directory).await?;
            }
            tokio::fs::write(&new, serde_json::to_vec(self)?).await?;
            tokio::fs::rename(&new, &file).await
        };
        if let Err(error) = written.await {
            tracing::warn!(err.json = %err(&error), "it cannot be kept which files are good");
        }
    }

    pub(super) fn has(&self, location: &Location) -> bool {
        self.0.get(&key(location)) == Some(&Good::of(location))
    }

    pub(super) fn add(&mut self, location: &Location) {
        self.0.insert(key(location), Good::of(location));
    }

    pub(super) fn remove(&mut self, location: &Location) {
        self.0.remove(&key(location));
    }
}

fn file(base: &Path) -> PathBuf {
    base.join("run").join("check-files.json")
}

fn key(location: &Location) -> String {
    format!("{}/{}", location.uuid, name_of(location))
}
