// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Replaces this process by another program that does not outlive coal.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Replaces this process by `command`, which is sent SIGTERM when the process `parent` ends, even by SIGKILL. Returns only on
/// failure.
///
/// The process itself must request this signal, and the request survives the exec. By parent, Linux means the thread that started
/// the process. For coal this is the main thread, which lives as long as coal does.
pub(crate) fn exec_with_parent(parent: u32, command: &[PathBuf]) -> io::Error {
    if let Err(error) = die_with_parent(parent) {
        return error;
    }
    match command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::ErrorKind::InvalidInput.into(),
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have ended before the request was made.
    if getppid() != Pid::from_raw(parent.cast_signed()) {
        return Err(io::Error::other("the parent is gone"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}
