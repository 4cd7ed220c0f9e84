// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Our parser of ZFS streams, beside a copy of the same bytes and `zstream dump` of OpenZFS.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zfs_stream::{ByteOrder, Parser, Sums};

use crate::Failure;
use crate::figure::{Figure, Pair, megabytes_per_second, rate};
use crate::stage::blocking;

#[path = "../../crates/zfs-stream/tests/support/mod.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "it is made for tests, which need more of it")]
mod support;

const BLOCK: usize = 128 << 10;
const BLOCKS: usize = 4096;
/// What an upload hands on at a time.
const SLICE: usize = 512 << 10;

/// The least ratio to zstream.
const TARGET: f64 = 3.0;

pub(crate) async fn measure(data: &Path, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let file = data.join("bench.zsend");
    blocking(move || {
        let stream = stream();
        std::fs::write(&file, &stream)?;
        let figures = compare(&stream, &file, rounds);
        std::fs::remove_file(&file)?;
        figures
    })
    .await
}

fn compare(stream: &[u8], file: &Path, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let mut copy = vec![1; stream.len()];
    let (mut checked, mut copied, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let speed = |time| rate(stream.len() as u64, time);
        let ours = speed(parse(stream, Sums::Check)?);
        checked.push(Pair { ours, peer: speed(zstream(file, &[])?) });
        let start = Instant::now();
        copy.copy_from_slice(black_box(stream));
        black_box(&copy);
        copied.push(Pair { ours, peer: speed(start.elapsed()) });
        let ours = speed(parse(stream, Sums::Skip)?);
        skipped.push(Pair { ours, peer: speed(zstream(file, &["-C"])?) });
    }
    let figure =
        |name, peer, pairs: &[Pair], least| Figure::of_pairs(name, peer, pairs, least, megabytes_per_second);
    Ok(vec![
        figure("ZFS stream, all sums", "zstream dump", &checked, Some(TARGET)),
        figure("ZFS stream, all sums", "memcpy", &copied, None),
        figure("ZFS stream, records only", "zstream dump -C", &skipped, Some(TARGET)),
    ])
}

fn parse(stream: &[u8], sums: Sums) -> Result<Duration, Failure> {
    let start = Instant::now();
    let mut parser = Parser::new(sums);
    for slice in black_box(stream).chunks(SLICE) {
        parser.feed(slice, |event| {
            black_box(event);
        })?;
    }
    let summary = parser.finish()?;
    let time = start.elapsed();
    if summary.length == stream.len() as u64 { Ok(time) } else { Err("the parser stopped too soon".into()) }
}

fn zstream(file: &Path, options: &[&str]) -> Result<Duration, Failure> {
    let program: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".tools", "zfs", "zstream"].iter().collect();
    let start = Instant::now();
    let mut command = Command::new(&program);
    let ended = command.arg("dump").args(options).arg(file).stdout(Stdio::null()).status();
    let ended = ended.map_err(|error| format!("{}: {error} (make bench has it)", program.display()))?;
    let time = start.elapsed();
    if ended.success() { Ok(time) } else { Err(format!("zstream: {ended}").into()) }
}

/// A stream of a file of incompressible blocks.
fn stream() -> Vec<u8> {
    let mut builder = support::Builder::new(ByteOrder::Little, true);
    builder.begin(0x11, 2, (1, 0), "pool/image@final", &[]);
    let mut state = 1_u32;
    for _ in 0..BLOCKS {
        let block: Vec<u8> = (0..BLOCK)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        builder.write(BLOCK as u64, 0, &block);
    }
    builder.end(1);
    builder.bytes
}
