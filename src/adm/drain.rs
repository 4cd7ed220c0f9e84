// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::io;
use std::path::Path;

use clap::ValueEnum;

use crate::config::Config;
use crate::files;

/// What to do with the drain file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// Ping answers 503, so that balancers send no more requests. The service still answers requests.
    On,
    /// Ping answers 200 again.
    Off,
}

/// Creates or removes the drain file of this host's service. Neither fails if that is already done.
pub(super) fn switch(config: &Config, switch: Switch) -> Result<(), String> {
    let file = config.drain_file();
    let done = match switch {
        Switch::On => make(&config.local_base_dir, &file),
        Switch::Off => match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    done.map_err(|error| format!("{}: {error}", file.display()))
}

/// Anything at the path counts as the drain file for the service. It is not opened, because it may be a FIFO.
fn make(base: &Path, file: &Path) -> io::Result<()> {
    if file.try_exists()? {
        return Ok(());
    }
    file.parent().map_or(Ok(()), |directory| files::create_below(base, directory))?;
    files::create(file).map(drop)
}
