// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! AddImageFile, durable, beside what bounds it: MD5 on one thread, and the disk.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::figure::{Figure, Pair, megabytes_per_second, rate};
use crate::payload::{FILE_SIZE, Payload};
use crate::stage::{Stage, blocking};

/// The least part of the peers' rate.
const TARGET: f64 = 0.6;

pub(crate) async fn measure(stage: &Stage, rounds: usize) -> Result<Vec<Figure>, Failure> {
    stage.need_space(FILE_SIZE)?;
    let payload = Payload::random();
    let probe = stage.local_dir().join("bench.probe");
    let (mut with_md5, mut with_disk, mut with_slower) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let md5 = rate(FILE_SIZE, digest(payload.clone()).await?);
        let ours = rate(FILE_SIZE, upload(stage, &payload).await?);
        let disk = rate(FILE_SIZE, write(probe.clone(), payload.clone()).await?);
        with_md5.push(Pair { ours, peer: md5 });
        with_disk.push(Pair { ours, peer: disk });
        with_slower.push(Pair { ours, peer: md5.min(disk) });
    }
    let figure =
        |name, peer, pairs: &[Pair], least| Figure::of_pairs(name, peer, pairs, least, megabytes_per_second);
    Ok(vec![
        figure("AddImageFile, 1 GiB, durable", "MD5, one thread", &with_md5, Some(TARGET)),
        figure("AddImageFile, 1 GiB, durable", "disk, write and fsync", &with_disk, None),
        figure("AddImageFile, 1 GiB, durable", "the slower of both", &with_slower, Some(TARGET)),
    ])
}

async fn upload(stage: &Stage, payload: &Payload) -> Result<Duration, Failure> {
    let image = stage.create().await?;
    let time = stage.upload(&image, payload).await?;
    stage.delete(&image).await?;
    Ok(time)
}

async fn digest(payload: Payload) -> Result<Duration, Failure> {
    blocking(move || {
        let start = Instant::now();
        black_box(payload.md5());
        Ok(start.elapsed())
    })
    .await
}

async fn write(path: PathBuf, payload: Payload) -> Result<Duration, Failure> {
    blocking(move || {
        let start = Instant::now();
        let file = File::create(&path)?;
        payload.write_to(&file)?;
        file.sync_all()?;
        let time = start.elapsed();
        fs::remove_file(&path)?;
        Ok(time)
    })
    .await
}
