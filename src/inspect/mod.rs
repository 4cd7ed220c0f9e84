// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi inspect`: what a file is, and whether it is whole, before it becomes an image's file. It needs no service and no
//! configuration.

mod report;
mod text;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::{console, contents, files};
use report::Report;

/// The exit status for a damaged file.
const DAMAGED: u8 = 1;
/// The exit status if the file cannot be read, as for a mistake in the command line.
const FAILED: u8 = 2;

/// Say what a file is: compression, ZFS stream, GUIDs, sizes, features, and whether all sums are right.
///
/// The exit status is 0 if the file is whole, 1 if it is damaged, and 2 if it cannot be read. It reads the whole file, and holds
/// little of it in memory.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The file; - is standard input, which may be a pipe.
    file: PathBuf,
    /// Print JSON.
    #[arg(short, long)]
    json: bool,
}

/// Reads the file and prints what it is.
pub fn run(inspect: &Inspect) -> ExitCode {
    let failed = |message: String| {
        console::complain(format_args!("imgapi: {message}"));
        ExitCode::from(FAILED)
    };
    let name = files::readable(&inspect.file);
    let contents = match open(&inspect.file).and_then(contents::examine) {
        Ok(contents) => contents,
        Err(error) => return failed(format!("cannot read {name}: {error}")),
    };
    let is_damaged = contents.is_damaged();
    let report = Report::new(&contents);
    let printed = if inspect.json {
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string()).and_then(console::print_line)
    } else {
        console::print(text::format(&name, &report))
    };
    match printed {
        Err(message) => failed(message),
        Ok(()) if is_damaged => ExitCode::from(DAMAGED),
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Opens a regular file, or standard input where that is a regular file or a pipe: others may never end.
fn open(path: &Path) -> io::Result<File> {
    if path != Path::new("-") {
        return files::open_linked(path);
    }
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&input)?.st_mode);
    match kind {
        rustix::fs::FileType::RegularFile | rustix::fs::FileType::Fifo => Ok(input),
        _ => Err(io::Error::other("standard input is neither a regular file nor a pipe")),
    }
}
