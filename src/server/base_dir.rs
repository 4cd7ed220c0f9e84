// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::config::{Config, NamedBy};

/// Why the base directory cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("the local base directory {path} ({named_by}) {problem}", path = .path.display())]
pub struct NoBaseDir {
    path: PathBuf,
    named_by: NamedBy,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("is not there; name another by localBaseDir in the configuration")]
    Missing,
    #[error("is no directory")]
    NoDirectory,
    #[error("cannot be made: {0}")]
    NotMade(io::Error),
}

/// Makes sure that the directory of local data exists. A directory named in the configuration is created, but none
/// above it: a missing parent may be a file system that is not mounted yet, and would later hide the data.
pub(super) fn prepare(config: &Config) -> Result<(), NoBaseDir> {
    let (path, named_by) = (&config.local_base_dir, config.local_base_dir_named_by);
    let failed = |problem| Err(NoBaseDir { path: path.clone(), named_by, problem });
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => failed(Problem::NoDirectory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match named_by {
            NamedBy::Nobody => failed(Problem::Missing),
            NamedBy::Variable | NamedBy::Key => {
                fs::create_dir(path).or_else(|error| failed(Problem::NotMade(error)))
            }
        },
        // Local storage reports the problem whenever it is used.
        Err(_) => Ok(()),
    }
}
