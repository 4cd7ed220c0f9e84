// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How much memory files take that come and go at the same time.

use std::fs;

use futures_util::future::{try_join, try_join_all};

use crate::figure::{Figure, Outcome, mebibytes};
use crate::payload::{FILE_SIZE, Payload};
use crate::stage::{Stage, blocking};
use crate::{Failure, http};

/// Uploads, and downloads.
const TRANSFERS: u64 = 8;
/// Most bytes that the process may grow by.
const TARGET: u64 = 64 << 20;

pub(crate) async fn measure(stage: &mut Stage) -> Result<Vec<Figure>, Failure> {
    stage.need_space((TRANSFERS + 1) * FILE_SIZE)?;
    let payload = Payload::random();
    let source = stage.active_image(&payload).await?;
    // Memory that earlier figures left with the process would hide what these transfers take.
    stage.restart().await?;
    let mut targets = Vec::new();
    for _ in 0..TRANSFERS {
        targets.push(stage.create().await?);
    }
    let pid = stage.pid()?;
    reset_peak(pid)?;
    let before = resident(pid)?;
    let address = stage.address;
    let uploads = try_join_all(targets.iter().map(|image| stage.upload(image, &payload)));
    let downloads = try_join_all((0..TRANSFERS).map(|_| {
        let path = source.file.clone();
        blocking(move || http::download(address, &path))
    }));
    try_join(uploads, downloads).await?;
    let growth = peak(pid)?.saturating_sub(before);
    for image in targets.iter().chain([&source]) {
        stage.delete(image).await?;
    }
    Ok(vec![Figure {
        name: "memory, 8 up and 8 down of 1 GiB".into(),
        ours: mebibytes(growth),
        peer: Some(("before", mebibytes(before))),
        outcome: Outcome::Bytes(growth, TARGET),
    }])
}

/// Bytes of memory that a process has now.
pub(crate) fn resident(pid: u32) -> Result<u64, Failure> {
    status(pid, "VmRSS:")
}

/// The most bytes that it had since the start, or since the last reset.
pub(crate) fn peak(pid: u32) -> Result<u64, Failure> {
    status(pid, "VmHWM:")
}

/// Forgets the peak, see proc(5).
pub(crate) fn reset_peak(pid: u32) -> Result<(), Failure> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// A size in bytes from the kernel's description of a process.
fn status(pid: u32, name: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("the kernel does not say")?;
    let kibibytes: u64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}
