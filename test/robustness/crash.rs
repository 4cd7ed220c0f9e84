// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SIGKILL at any time: everything acknowledged exists, everything that exists is complete, and nothing else remains.

mod disk;
mod ledger;
mod life;
mod steps;

use std::time::{Duration, Instant};

use coal::Datacenter;
use futures_util::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::support::{Client, randomness, scaled, start_datacenter, wait_until_swept};
use ledger::Ledger;
use life::Plan;

/// Number of image lives in progress when the process is killed.
const LIVES: usize = 4;
/// Minimum number of uploads that a kill interrupts.
const INTERRUPTED: usize = 25;
/// Number of rounds after which it is clear that kills do not interrupt uploads.
const MAX_ROUNDS: usize = 150;
/// Kills may come a little later than a round usually ends, because its end is the interesting part.
const LATEST_KILL: f64 = 1.2;

/// Each round starts a few image lives at once and kills the process after a random part of the usual duration of a round. Then
/// it restarts the process, and compares every image of the round with what is known about it.
#[tokio::test]
async fn killed_uploads_lose_nothing_and_leave_nothing() {
    let mut datacenter = start_datacenter().await;
    let mut random = randomness(4_131);
    let mut ledger = Ledger::default();
    let mut pace = undisturbed_round(&datacenter, &mut random, &mut ledger).await;
    let mut rounds = 0;
    while ledger.interrupted_uploads() < scaled(INTERRUPTED) {
        rounds += 1;
        assert!(rounds <= scaled(MAX_ROUNDS), "{} in rounds of {pace:?}", ledger.interrupted_uploads());
        let kill_after = pace.mul_f64(random.random_range(0.0..LATEST_KILL));
        if let Some(took) = killed_round(&datacenter, &mut random, &mut ledger, kill_after).await {
            pace = took;
        }
        datacenter.restart_imgapi().await.unwrap();
        wait_until_swept(&datacenter).await;
        ledger.settle(&Client::new(&datacenter)).await;
    }
    println!("{rounds} kills; {}", ledger.summary());
    ledger.check_all(&Client::new(&datacenter)).await;
    disk::assert_only_what_is_named(&datacenter, &ledger);
}

/// Measures the duration of an undisturbed round.
async fn undisturbed_round(datacenter: &Datacenter, random: &mut StdRng, ledger: &mut Ledger) -> Duration {
    let client = Client::new(datacenter);
    let lives = ledger.draw(random, LIVES).into_iter().map(|record| (record, Plan::random(random)));
    let lives: Vec<_> = lives.map(|(record, plan)| life::live(&client, record, plan)).collect();
    let started = Instant::now();
    let records = join_all(lives).await;
    let took = started.elapsed();
    ledger.add(records);
    assert_eq!(ledger.interrupted_uploads(), 0);
    ledger.settle(&client).await;
    took
}

/// Returns the duration of the round if it ended before the kill.
async fn killed_round(
    datacenter: &Datacenter,
    random: &mut StdRng,
    ledger: &mut Ledger,
    kill_after: Duration,
) -> Option<Duration> {
    let client = Client::new(datacenter);
    let lives = ledger.draw(random, LIVES).into_iter().map(|record| (record, Plan::random(random)));
    let lives: Vec<_> = lives.map(|(record, plan)| life::live(&client, record, plan)).collect();
    let started = Instant::now();
    let lives = async { (join_all(lives).await, started.elapsed()) };
    let kill = async {
        // This is not a wait for a condition: the test is about the moment of the kill.
        sleep(kill_after).await;
        datacenter.kill_imgapi().await;
    };
    let ((records, took), ()) = tokio::join!(lives, kill);
    let is_whole = records.iter().all(|record| record.as_ref().is_some_and(|known| !known.is_pending()));
    ledger.add(records);
    is_whole.then_some(took)
}
