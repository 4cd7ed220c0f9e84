// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SIGKILL between the steps of publishing a file: moments so short that random kills seldom meet them.

use coal::Datacenter;
use coal::moray::{Fault, FaultRule};

use crate::support::{
    Client, PATIENCE, TestFile, files_below, image_file, incoming, start_datacenter, wait_for,
    wait_until_swept,
};

const OLD: TestFile = TestFile { seed: 1, size: 100_000 };
const NEW: TestFile = TestFile { seed: 2, size: 200_000 };

/// Creates an image without a file, and one with `OLD`.
async fn images(client: &Client) -> [String; 2] {
    [client.created().await, client.uploaded(OLD).await]
}

/// Uploads `NEW`, and kills the process after the fault has applied to Moray.
async fn kill_in_upload(datacenter: &Datacenter, uuid: &str, fault: Fault) {
    let faults = datacenter.moray().faults();
    let met = faults.applied();
    faults.set(FaultRule::new(fault).method("putObject"));
    let client = Client::new(datacenter);
    let kill = async {
        faults.wait_applied(met + 1).await;
        datacenter.kill_imgapi().await;
    };
    let (answer, ()) = tokio::join!(client.upload(uuid, NEW), kill);
    // The process may have had time to answer that the outcome is unknown. It must not have reported success.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
}

/// Returns whether the killed process left the complete file for the sweep.
fn staged(datacenter: &Datacenter, uuid: &str) -> bool {
    let name = format!("{uuid}.file0.{}", NEW.sha1());
    incoming(datacenter).join(name).exists()
}

#[tokio::test]
async fn killed_while_the_record_is_changed_the_image_has_the_bytes_it_names() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let [empty, full] = images(&client).await;
    for (uuid, old) in [(&empty, None), (&full, Some(OLD))] {
        kill_in_upload(&datacenter, uuid, Fault::Stall).await;
        assert!(staged(&datacenter, uuid));
        // From now on Moray may make the change, or notice that its client is gone.
        datacenter.moray().faults().clear();
        datacenter.restart_imgapi().await.unwrap();
        wait_until_swept(&datacenter).await;
        let named = client.image(uuid).await.unwrap().json()["files"][0]["sha1"].clone();
        match old {
            _ if named == NEW.sha1() => client.assert_holds(uuid, NEW).await,
            Some(old) => client.assert_holds(uuid, old).await,
            None => client.assert_has_no_file(uuid).await,
        }
    }
}

#[tokio::test]
async fn killed_when_the_record_could_not_be_changed_nothing_is_changed() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let [empty, full] = images(&client).await;
    for uuid in [&empty, &full] {
        kill_in_upload(&datacenter, uuid, Fault::Refuse).await;
        datacenter.moray().faults().clear();
        datacenter.restart_imgapi().await.unwrap();
        wait_until_swept(&datacenter).await;
    }
    client.assert_has_no_file(&empty).await;
    client.assert_holds(&full, OLD).await;
    assert_eq!(files_below(&datacenter.local_dir().join("images")), [image_file(&datacenter, &full)]);
}

#[tokio::test]
async fn killed_after_the_record_was_changed_the_file_is_taken_up() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    for uuid in images(&client).await {
        kill_in_upload(&datacenter, &uuid, Fault::HangUpAfterWrite).await;
        assert!(staged(&datacenter, &uuid));
        datacenter.moray().faults().clear();
        datacenter.restart_imgapi().await.unwrap();
        // The file is available before the sweep and after it.
        client.assert_holds(&uuid, NEW).await;
        wait_until_swept(&datacenter).await;
        client.assert_holds(&uuid, NEW).await;
        assert!(image_file(&datacenter, &uuid).exists());
    }
}

/// Moray is unavailable for the first sweep, which must not decide without it.
#[tokio::test]
async fn a_start_without_moray_loses_no_file_that_a_record_names() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let [_, uuid] = images(&client).await;
    kill_in_upload(&datacenter, &uuid, Fault::HangUpAfterWrite).await;
    datacenter.moray().faults().clear();
    datacenter.moray().stop().await;
    datacenter.restart_imgapi().await.unwrap();
    assert_eq!(client.image(&uuid).await.unwrap().status, 503);
    assert!(staged(&datacenter, &uuid));
    datacenter.moray().start().await.unwrap();
    wait_for("Moray is found", PATIENCE, async || match client.image(&uuid).await.unwrap() {
        answer if answer.is_success() => Ok(()),
        answer => Err(answer.outcome()),
    })
    .await;
    client.assert_holds(&uuid, NEW).await;
    // The next start does the next sweep.
    datacenter.restart_imgapi().await.unwrap();
    wait_until_swept(&datacenter).await;
    client.assert_holds(&uuid, NEW).await;
}
