// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random concurrent requests about the same few images, through two servers on one Moray and one Manta, while one server is
//! killed and Manta fails. The final records are not predictable, but everything that a record says must be true.

mod actions;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use coal::Datacenter;
use coal::datacenter::MantaMode;
use coal::manta::{MantaFault, MantaFaultRule};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::support::{IMGAPI, Remote, SecondServer, randomness, scaled};
use world::World;

/// Number of workers that send requests at the same time.
const WORKERS: usize = 6;
/// Number of requests of each worker in a round.
const REQUESTS: usize = 60;
const ROUNDS: usize = 3;
/// Latest moment of a kill within a round, in milliseconds.
const LATEST_KILL: u64 = 1500;

async fn start() -> (Datacenter, SecondServer, Remote) {
    let datacenter = Datacenter::builder().imgapi(IMGAPI).manta(MantaMode::Local).start().await.unwrap();
    let second = SecondServer::start(&datacenter).await;
    let remote = Remote::new(&datacenter);
    (datacenter, second, remote)
}

/// Runs one round of random requests.
async fn work(world: &World, random: &mut StdRng) {
    let workers = (0..WORKERS).map(|_| {
        let mut random = StdRng::seed_from_u64(random.random());
        async move {
            for _ in 0..REQUESTS {
                actions::act(world, &mut random).await;
            }
        }
    });
    join_all(workers).await;
}

#[tokio::test]
async fn whatever_happens_at_once_records_tell_the_truth_and_nothing_else_remains() {
    let (datacenter, second, remote) = start().await;
    let mut random = randomness(4_131);
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..scaled(ROUNDS) {
        let world = World::new(&datacenter, second.url(), false);
        work(&world, &mut random).await;
        world.check().await;
        world.check_remote(&remote).await;
        world.done().into_iter().for_each(|(what, count)| *done.entry(what).or_default() += count);
    }
    println!("{done:?}");
    for what in actions::ALL {
        assert!(done.get(what).is_some_and(|count| *count > 0), "no {what} was a success: {done:?}");
    }
    second.stop().await;
    datacenter.stop().await;
}

#[tokio::test]
async fn kills_and_a_manta_that_fails_lose_nothing() {
    let (mut datacenter, second, _) = start().await;
    let mut random = randomness(1_314);
    for _ in 0..scaled(ROUNDS) {
        let world = World::new(&datacenter, second.url(), true);
        let fault = [MantaFault::HangUp, MantaFault::LostAnswer, MantaFault::CutAfter { bytes: 1000 }];
        let fault = fault[random.random_range(0..fault.len())].clone();
        let faults = datacenter.manta().unwrap().faults().clone();
        faults.set(MantaFaultRule::new(fault).path("/images/").times(5));
        let delay = Duration::from_millis(random.random_range(0..LATEST_KILL));
        let kill = async {
            // This is not a wait for a condition: the test is about the moment of the kill.
            sleep(delay).await;
            datacenter.kill_imgapi().await;
        };
        tokio::join!(work(&world, &mut random), kill);
        faults.clear();
        datacenter.restart_imgapi().await.unwrap();
        world.moved_to(&datacenter).check().await;
    }
    second.stop().await;
    datacenter.stop().await;
}
