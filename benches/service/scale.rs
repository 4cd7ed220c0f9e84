// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads and lives of images in a database of many, beside a constant of the same length and the bare disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::bare_axum::BareAxum;
use crate::changes::lives_per_second;
use crate::durable::durable_files_per_second;
use crate::figure::{Figure, Pair, mebibytes, per_second, print};
use crate::fill::{fill, name_of, uuid_of};
use crate::memory::resident;
use crate::stage::Stage;
use crate::wrk::requests_per_second;

const SIZES: [usize; 3] = [500, 10_000, 100_000];
/// How long loading all images may take, and how often it is looked whether it has ended.
const LOADED_WITHIN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);
/// Seconds per measurement.
const SECONDS: u32 = 2;
/// Changes per second beside the reads.
const WRITES: u32 = 20;
/// Clients that let images live at the same time.
const CLIENTS: usize = 8;
/// How long they do.
const LIVES: Duration = Duration::from_secs(3);

/// Measures with ever more images, and prints each figure when it is there.
pub(crate) async fn measure(stage: &mut Stage, rounds: usize) -> Result<(), Failure> {
    let peer = BareAxum::start()?;
    all_in_memory(stage, 0).await?;
    let empty = resident(stage.pid()?)?;
    let (mut filled, mut manifests) = (0, 0);
    for size in SIZES {
        stage.stop_service().await;
        manifests += fill(stage.moray(), filled..size, &stage.owner, &stage.account).await?;
        filled = size;
        println!("-- {size} images, {} of manifests", mebibytes(manifests));
        start(stage, size).await?;
        let grown = resident(stage.pid()?)?.saturating_sub(empty);
        line("memory, more than without images", &mebibytes(grown));
        line("the same per byte of manifests", &format!("{:.2}", grown as f64 / manifests as f64));
        let scale = Scale { stage, peer: &peer, size, rounds };
        scale.reads("").await?;
        let changes = Changes::start(stage, size);
        let outcome = scale.reads(", 20 writes a second").await;
        changes.stop().await?;
        outcome?;
        scale.lives().await?;
    }
    Ok(())
}

/// Starts the service on what is there: how long until it answers a list, and until it has all `size` images in memory.
async fn start(stage: &mut Stage, size: usize) -> Result<(), Failure> {
    let began = Instant::now();
    stage.restart().await?;
    stage.get("/images?limit=1").await?;
    line("start until the first list", &format!("{:.2} s", began.elapsed().as_secs_f64()));
    all_in_memory(stage, size).await?;
    line("start until all images are in memory", &format!("{:.2} s", began.elapsed().as_secs_f64()));
    Ok(())
}

async fn all_in_memory(stage: &Stage, size: usize) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < LOADED_WITHIN {
        let state: Value = serde_json::from_str(&stage.get("/state").await?)?;
        if state["database"]["images"].as_u64().is_some_and(|images| images >= size as u64) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Err("the images are not in memory yet".into())
}

fn line(what: &str, value: &str) {
    println!("{what:<44} {value:>12}");
}

struct Scale<'a> {
    stage: &'a Stage,
    peer: &'a BareAxum,
    size: usize,
    rounds: usize,
}

impl Scale<'_> {
    async fn reads(&self, condition: &str) -> Result<(), Failure> {
        let account = &self.stage.account;
        let name = name_of(self.size / 2);
        let part = &name[..name.len() - "-lts".len()];
        let paths = [
            ("GetImage", format!("/images/{}", uuid_of(self.size / 2))),
            ("ListImages of 100", "/images?limit=100".to_owned()),
            ("ListImages of 1,000", "/images?limit=1000".to_owned()),
            ("ListImages of 100, account", format!("/images?limit=100&account={account}")),
            ("ListImages of 1,000, account", format!("/images?limit=1000&account={account}")),
            ("ListImages by name", format!("/images?name={name}")),
            ("ListImages by a part of a name", format!("/images?name=~{part}")),
        ];
        for (what, path) in paths {
            let ours = self.stage.url(&path);
            let peer = self.peer.constant(self.stage.get(&path).await?.len());
            requests_per_second(&ours, 1).await?;
            let mut pairs = Vec::new();
            for _ in 0..self.rounds {
                let ours = requests_per_second(&ours, SECONDS).await?;
                pairs.push(Pair { ours, peer: requests_per_second(&peer, SECONDS).await? });
            }
            print(&Figure::of_pairs(format!("{what}{condition}"), "constant", &pairs, None, per_second));
        }
        Ok(())
    }

    /// Images that are created, get a file, are activated and deleted.
    async fn lives(&self) -> Result<(), Failure> {
        let mut pairs = Vec::new();
        for _ in 0..self.rounds {
            let ours = lives_per_second(self.stage, CLIENTS).await?;
            let peer = durable_files_per_second(self.stage.local_dir(), CLIENTS, LIVES).await?;
            pairs.push(Pair { ours, peer });
        }
        print(&Figure::of_pairs("lives of an image", "durable small files", &pairs, None, per_second));
        Ok(())
    }
}

/// A client that changes images at a constant rate.
struct Changes {
    running: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Changes {
    fn start(stage: &Stage, size: usize) -> Changes {
        let running = Arc::new(AtomicBool::new(true));
        let (more, client, base) = (Arc::clone(&running), stage.client(), stage.url("/images"));
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / WRITES);
            while more.load(Ordering::Relaxed) {
                ticks.tick().await;
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let uuid = uuid_of(number as usize * 7 % size);
                let change = serde_json::json!({"description": format!("change {number}")});
                let request = client.post(format!("{base}/{uuid}?action=update")).json(&change);
                request.send().await?.error_for_status()?;
            }
            Ok(())
        });
        Changes { running, task }
    }

    async fn stop(self) -> Result<(), Failure> {
        self.running.store(false, Ordering::Relaxed);
        self.task.await?
    }
}
