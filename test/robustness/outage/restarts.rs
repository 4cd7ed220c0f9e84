// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Backends that are stopped and started again under load.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use coal::Datacenter;

use super::load::{KINDS, Kind, Load, Target};
use super::{ANSWERED_WITHIN, HEALED_WITHIN};
use crate::support::{Client, start_asking_for_owners, start_datacenter, wait_until_swept};

/// Number of answers of each kind to check before, during and after an outage.
const ENOUGH: usize = 6;

/// Takes answers until there are enough of every kind, and passes each to `check`.
async fn take_enough(load: &mut Load, mut check: impl FnMut(Kind, &crate::support::Answer, bool)) {
    let mut counts = BTreeMap::new();
    while KINDS.iter().any(|kind| counts.get(kind).is_none_or(|count| *count < ENOUGH)) {
        let (kind, answer, is_right) = load.next().await;
        check(kind, &answer, is_right);
        *counts.entry(kind).or_insert(0) += 1;
    }
}

fn assert_right(kind: Kind, answer: &crate::support::Answer, is_right: bool) {
    assert!(is_right, "{kind:?}: {:?}", answer.outcome());
}

/// Maximum number of right answers of one kind that belong to the time before the outage: one that waits to be taken, and one of
/// each of the two tasks.
const ON_THEIR_WAY: usize = 3;

/// Takes answers while a backend is unavailable. After the earlier requests, all kinds that need the backend must fail.
async fn watch_outage(load: &mut Load, needs: fn(Kind) -> bool) {
    let mut unavailable = BTreeMap::new();
    let mut right = BTreeMap::new();
    let affected = || KINDS.into_iter().filter(|kind| needs(*kind));
    while affected().any(|kind| unavailable.get(&kind).is_none_or(|count| *count < ENOUGH)) {
        let (kind, answer, is_right) = load.next().await;
        assert!(answer.took < ANSWERED_WITHIN, "{kind:?} took {:?}", answer.took);
        match answer.outcome() {
            (503, code) if code == "ServiceUnavailableError" && needs(kind) => {
                *unavailable.entry(kind).or_insert(0) += 1;
            }
            _ if is_right => {
                let right = right.entry(kind).or_insert(0);
                *right += 1;
                assert!(!needs(kind) || *right <= ON_THEIR_WAY, "{kind:?} without it");
            }
            outcome => panic!("{kind:?}: {outcome:?}"),
        }
    }
}

/// Waits until every kind gets right answers, within the time limit.
async fn watch_healing(load: &mut Load) {
    let back = Instant::now();
    let mut right = BTreeSet::new();
    while right.len() < KINDS.len() {
        let (kind, answer, is_right) = load.next().await;
        let waited = back.elapsed();
        assert!(
            waited < HEALED_WITHIN,
            "{kind:?} after {waited:?}: {:?}; right: {right:?}",
            answer.outcome()
        );
        if is_right {
            right.insert(kind);
        } else {
            assert_eq!(answer.outcome(), (503, "ServiceUnavailableError".to_owned()), "{kind:?}");
        }
    }
}

/// A request from before the return may still fail after it. Later requests must not fail.
async fn watch_aftermath(load: &mut Load, datacenter: &Datacenter, pid: Option<u32>) {
    for _ in 0..2 * KINDS.len() {
        load.next().await;
    }
    take_enough(load, assert_right).await;
    assert_eq!(datacenter.imgapi_pid(), pid);
}

#[tokio::test]
async fn moray_may_go_and_come_back_under_load() {
    let datacenter = start_datacenter().await;
    let pid = datacenter.imgapi_pid();
    let mut load = Load::start(Target::make(&datacenter).await);
    take_enough(&mut load, assert_right).await;
    for _ in 0..2 {
        datacenter.moray().stop().await;
        watch_outage(&mut load, Kind::needs_moray).await;
        datacenter.moray().start().await.unwrap();
        watch_healing(&mut load).await;
        watch_aftermath(&mut load, &datacenter, pid).await;
    }
    drop(load);
    wait_until_swept(&datacenter).await;
}

#[tokio::test]
async fn ufds_may_go_and_come_back_under_load() {
    let datacenter = start_asking_for_owners().await;
    let pid = datacenter.imgapi_pid();
    let mut load = Load::start(Target::make(&datacenter).await);
    take_enough(&mut load, assert_right).await;
    for _ in 0..2 {
        datacenter.ufds().stop().await;
        watch_outage(&mut load, Kind::needs_ufds).await;
        datacenter.ufds().start().await.unwrap();
        watch_healing(&mut load).await;
        watch_aftermath(&mut load, &datacenter, pid).await;
    }
}

#[tokio::test]
async fn it_starts_without_backends_and_finds_them_later() {
    let mut datacenter = start_asking_for_owners().await;
    let target = Target::make(&datacenter).await;
    datacenter.moray().stop().await;
    datacenter.ufds().stop().await;
    datacenter.restart_imgapi().await.unwrap();
    let pid = datacenter.imgapi_pid();
    assert_eq!(Client::new(&datacenter).get("/ping").await.unwrap().status, 200);

    let mut load = Load::start(target);
    watch_outage(&mut load, |kind| kind != Kind::Ping).await;
    datacenter.ufds().start().await.unwrap();
    datacenter.moray().start().await.unwrap();
    watch_healing(&mut load).await;
    watch_aftermath(&mut load, &datacenter, pid).await;
}
