// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Backends that can be reached but do not work.

use coal::moray::{Fault, FaultRule};
use coal::ufds::UfdsFault;

use super::load::{KINDS, Kind, Target};
use super::{ANSWERED_WITHIN, HEALED_WITHIN};
use crate::support::{Client, start_asking_for_owners, start_datacenter, wait_for};

async fn assert_unavailable(target: &Target, kind: Kind) {
    let answer = target.ask(kind).await;
    assert_eq!(answer.outcome(), (503, "ServiceUnavailableError".to_owned()), "{kind:?}");
    assert!(answer.took < ANSWERED_WITHIN, "{kind:?} took {:?}", answer.took);
}

/// Checks that every kind of request gets a right answer within the time limit, or at once if it was not affected.
async fn assert_heals(target: &Target) {
    for kind in KINDS {
        wait_for("a right answer", HEALED_WITHIN, async || match target.ask(kind).await {
            answer if target.is_right(kind, &answer) => Ok(()),
            answer => Err((kind, answer.outcome())),
        })
        .await;
    }
}

#[tokio::test]
async fn a_moray_without_its_database_is_unavailable() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    let pid = datacenter.imgapi_pid();
    for fault in [Fault::Refuse, Fault::NoDatabasePeers, Fault::DatabaseLost, Fault::ReadOnly] {
        datacenter.moray().faults().set(fault);
        for kind in KINDS {
            match kind.needs_moray() {
                true => assert_unavailable(&target, kind).await,
                false => assert!(target.is_right(kind, &target.ask(kind).await)),
            }
        }
        datacenter.moray().faults().clear();
        assert_heals(&target).await;
    }
    assert_eq!(datacenter.imgapi_pid(), pid);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let mut datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    datacenter.moray().faults().set(FaultRule::new(Fault::ErrorAfterData).method("findObjects"));
    // The replica of the old process is complete; a new process has to load one.
    datacenter.restart_imgapi().await.unwrap();
    assert_unavailable(&target, Kind::List).await;
    datacenter.moray().faults().clear();
    assert_heals(&target).await;
}

#[tokio::test]
async fn a_moray_that_stalls_costs_a_deadline_and_no_more() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    datacenter.moray().faults().set(FaultRule::new(Fault::Stall).method("getObject"));
    // A read of a known image does not need Moray.
    let unknown = Client::new(&datacenter).activate("4b9b5c3a-2547-11e2-a75e-9fdca1940570").await.unwrap();
    assert_eq!(unknown.outcome(), (503, "ServiceUnavailableError".to_owned()));
    assert!(unknown.took < ANSWERED_WITHIN, "it took {:?}", unknown.took);
    for kind in [Kind::Ping, Kind::List, Kind::Get, Kind::Download, Kind::Upload] {
        assert!(target.is_right(kind, &target.ask(kind).await), "{kind:?}");
    }
    datacenter.moray().faults().clear();
    assert_heals(&target).await;
}

#[tokio::test]
async fn a_moray_that_stalls_for_a_while_costs_nothing_else() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    let faults = datacenter.moray().faults();
    for kind in [Kind::List, Kind::Get, Kind::Download, Kind::Create, Kind::Upload] {
        let met = faults.applied();
        faults.set(Fault::Stall);
        let stalled = async {
            faults.wait_applied(met + 1).await;
            faults.clear();
        };
        let (answer, ()) = tokio::join!(target.ask(kind), stalled);
        assert!(target.is_right(kind, &answer), "{kind:?}: {:?}", answer.outcome());
    }
}

#[tokio::test]
async fn a_ufds_without_its_database_is_unavailable() {
    let datacenter = start_asking_for_owners().await;
    let target = Target::make(&datacenter).await;
    for fault in [UfdsFault::Unavailable, UfdsFault::MorayFailure] {
        datacenter.ufds().faults().set(fault);
        for kind in KINDS {
            match kind.needs_ufds() {
                true => assert_unavailable(&target, kind).await,
                false => assert!(target.is_right(kind, &target.ask(kind).await), "{kind:?}"),
            }
        }
        datacenter.ufds().faults().clear();
        assert_heals(&target).await;
    }
}

#[tokio::test]
async fn a_ufds_that_fails_once_is_asked_again() {
    let datacenter = start_datacenter().await;
    let target = Target::make(&datacenter).await;
    datacenter.ufds().faults().set(UfdsFault::MorayFailureOnce);
    let answer = target.ask(Kind::Create).await;
    assert!(target.is_right(Kind::Create, &answer), "{:?}", answer.outcome());
}

#[tokio::test]
async fn a_ufds_that_stalls_costs_a_deadline_and_no_more() {
    let datacenter = start_asking_for_owners().await;
    let target = Target::make(&datacenter).await;
    datacenter.ufds().faults().set(UfdsFault::Stall);
    assert_unavailable(&target, Kind::Create).await;
    for kind in [Kind::Ping, Kind::List, Kind::Get, Kind::Download, Kind::Upload] {
        assert!(target.is_right(kind, &target.ask(kind).await), "{kind:?}");
    }
    datacenter.ufds().faults().clear();
    assert_heals(&target).await;
}
