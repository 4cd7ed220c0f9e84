// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Adm;
use super::client::{BaseDir, Client};
use crate::config::Config;
use crate::files::DirectoryLock;

/// Names of which at least one exists in every directory that a service has used, of this version or of 4.13.1.
const SIGNS: [&str; 4] = [DirectoryLock::NAME, "images", "manifests", "archive"];

/// What a command needs the local base directory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To read the data of a service.
    Data,
    /// To store data: the directory may be empty.
    Place,
}

/// Rejects a local base directory that does not belong to the configuration's service: missing files would look like a
/// service without images, and the service would never see files that are written there. A running service is asked; if
/// it does not tell, its lock identifies the directory.
pub(super) fn check(config: &Config, adm: &Adm, purpose: Purpose) -> Result<(), String> {
    let directory = &config.local_base_dir;
    let refused = |problem: &str| {
        Err(format!(
            "{} ({}) {problem}; the directory of the service is to be named by localBaseDir in the configuration, or for \
             this command by IMGAPI_LOCAL_BASE_DIR as for the service",
            directory.display(),
            config.local_base_dir_named_by
        ))
    };
    match fs::metadata(directory) {
        Ok(there) if there.is_dir() => {}
        Ok(_) => return refused("is no directory"),
        Err(error) => return refused(&format!("cannot be used: {error}")),
    }
    // Without an address no service can be asked.
    let client = Client::anonymous(config, adm).ok();
    let url = client.as_ref().map(|client| client.url().to_string()).unwrap_or_default();
    match client.map_or(BaseDir::Unknown, |client| client.base_dir()) {
        BaseDir::Is(theirs) if is_same(&theirs, directory) => Ok(()),
        BaseDir::Is(theirs) => {
            refused(&format!("is not that of the service at {url}, which uses {}", theirs.display()))
        }
        BaseDir::Secret if DirectoryLock::is_held(directory) => Ok(()),
        BaseDir::Secret => refused(&format!("is used by no service, and one is at {url}")),
        BaseDir::Unknown if purpose == Purpose::Place || has_signs(directory) => Ok(()),
        BaseDir::Unknown => refused("has nothing that a service has left there"),
    }
}

fn has_signs(directory: &Path) -> bool {
    SIGNS.iter().any(|name| directory.join(name).exists())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let known = |path: &Path| fs::metadata(path).map(|there| (there.dev(), there.ino())).ok();
    one == other || known(one).is_some_and(|one| known(other) == Some(one))
}
