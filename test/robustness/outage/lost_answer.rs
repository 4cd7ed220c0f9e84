// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Writes that Moray does but whose answer is lost. Their outcome is unknown, but nothing may be wrong.

use coal::Datacenter;
use coal::moray::{Fault, FaultRule};

use crate::support::{Answer, Client, TestFile, files_below, image_file, start_datacenter, wait_until_swept};

const OLD: TestFile = TestFile { seed: 1, size: 100_000 };
const NEW: TestFile = TestFile { seed: 2, size: 200_000 };

/// The ways of losing an answer: between Moray and its client, and between Moray and its database.
const LOSSES: [Fault; 2] = [Fault::HangUpAfterWrite, Fault::DatabaseLostAfterWrite];

/// Loses the answers to the next change in Moray and to its repetitions.
fn lose_answers(datacenter: &Datacenter, loss: Fault, method: &str) {
    datacenter.moray().faults().set(FaultRule::new(loss).method(method));
}

/// Checks that the client was told that the change was made, or that this is unknown.
fn assert_honest(answer: &Answer) {
    let is_honest = answer.is_success() || answer.outcome() == (503, "ServiceUnavailableError".to_owned());
    assert!(is_honest, "{:?}", answer.outcome());
}

#[tokio::test]
async fn an_upload_whose_put_is_not_answered_is_whole() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let met = datacenter.moray().faults().applied();
    let mut uuids = Vec::new();
    for loss in LOSSES {
        for uuid in [client.created().await, client.uploaded(OLD).await] {
            lose_answers(&datacenter, loss, "putObject");
            let answer = client.upload(&uuid, NEW).await.unwrap();
            assert_honest(&answer);
            datacenter.moray().faults().clear();
            // The record was changed, so every later request must return the new file.
            client.assert_holds(&uuid, NEW).await;
            uuids.push(uuid);
        }
    }
    assert!(datacenter.moray().faults().applied() >= met + 4);

    // The start sweeps.
    datacenter.restart_imgapi().await.unwrap();
    wait_until_swept(&datacenter).await;
    for uuid in &uuids {
        client.assert_holds(uuid, NEW).await;
        assert!(image_file(&datacenter, uuid).exists());
        assert_eq!(client.activate(uuid).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn an_upload_whose_put_is_not_made_leaves_the_old_file() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let (fresh, replaced) = (client.created().await, client.uploaded(OLD).await);
    for fault in [Fault::Refuse, Fault::NoDatabasePeers, Fault::DatabaseLost, Fault::ReadOnly] {
        for uuid in [&fresh, &replaced] {
            datacenter.moray().faults().set(FaultRule::new(fault).method("putObject"));
            let answer = client.upload(uuid, NEW).await.unwrap();
            assert_eq!(answer.outcome(), (503, "ServiceUnavailableError".to_owned()));
            datacenter.moray().faults().clear();
        }
        client.assert_has_no_file(&fresh).await;
        client.assert_holds(&replaced, OLD).await;
    }
    datacenter.restart_imgapi().await.unwrap();
    wait_until_swept(&datacenter).await;
    client.assert_has_no_file(&fresh).await;
    client.assert_holds(&replaced, OLD).await;
    assert_eq!(files_below(&datacenter.local_dir().join("images")).len(), 1);
}

#[tokio::test]
async fn a_put_that_is_made_after_the_sweep_names_no_bytes_that_are_gone() {
    /// Number of reads after the put is released: far more than Moray needs to process it.
    const READS: usize = 50;
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for had in [None, Some(OLD)] {
        let uuid = match had {
            Some(file) => client.uploaded(file).await,
            None => client.created().await,
        };
        let met = datacenter.moray().faults().applied();
        datacenter.moray().faults().set(FaultRule::new(Fault::Stall).method("putObject").times(1));
        let upload = tokio::spawn({
            let (client, uuid) = (client.clone(), uuid.clone());
            async move { client.upload(&uuid, NEW).await }
        });
        datacenter.moray().faults().wait_applied(met + 1).await;
        datacenter.kill_imgapi().await;
        assert!(upload.await.unwrap().is_err());
        datacenter.restart_imgapi().await.unwrap();
        wait_until_swept(&datacenter).await;

        datacenter.moray().faults().clear();
        for _ in 0..READS {
            match had {
                Some(file) => client.assert_holds(&uuid, file).await,
                None => client.assert_has_no_file(&uuid).await,
            }
        }
        let expected = if had.is_some() { 200 } else { 422 };
        assert_eq!(client.activate(&uuid).await.unwrap().status, expected);
    }
}

#[tokio::test]
async fn an_activation_whose_put_is_not_answered_is_told_apart_from_one_that_failed() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for loss in LOSSES {
        let uuid = client.uploaded(OLD).await;
        lose_answers(&datacenter, loss, "putObject");
        assert_honest(&client.activate(&uuid).await.unwrap());
        datacenter.moray().faults().clear();
        assert_eq!(client.image(&uuid).await.unwrap().json()["state"], "active");
        client.assert_holds(&uuid, OLD).await;
    }
}

#[tokio::test]
async fn a_delete_that_is_not_answered_leaves_no_image_without_its_bytes() {
    let datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for loss in LOSSES {
        let uuid = client.uploaded(OLD).await;
        lose_answers(&datacenter, loss, "batch");
        let answer = client.delete(&uuid).await.unwrap();
        datacenter.moray().faults().clear();
        // The image is deleted, and a repeated delete finds that out.
        let is_honest = [204, 404, 503].contains(&answer.status);
        assert!(is_honest, "{:?}", answer.outcome());
        assert_eq!(client.image(&uuid).await.unwrap().status, 404);
    }
}
