// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Writes of records that reach the database late, after their process has ended and another one has swept up. All files that
//! such a record names must exist. These tests start their own datacenters.

use std::fs;

use coal::datacenter::MantaMode;
use coal::moray::{Fault, FaultRule};
use reqwest::Method;
use serde_json::{Value, json};

use super::manta::Stage;
use super::support::{LUKE, TestApp, VADER, entries, sha1_of, tests, wait_until};

tests! {
    a_late_move_of_an_active_image_names_no_file_that_is_gone,
    a_late_clone_has_its_file,
    a_failed_upload_of_the_same_bytes_takes_nothing_away,
    the_rest_of_a_move_goes_though_the_image_gets_an_icon_meanwhile,
}

/// Sends a request whose write waits in Moray, then kills the process.
async fn killed_before_its_write(app: &TestApp, target: &str) {
    let faults = app.dc.moray().faults().clone();
    let met = faults.applied();
    faults.set(FaultRule::new(Fault::Stall).method("putObject").times(1));
    let kill = async {
        faults.wait_applied(met + 1).await;
        app.dc.kill_imgapi().await;
    };
    let (answer, ()) = tokio::join!(app.operator().call(Method::POST, target).try_send(), kill);
    assert!(answer.is_err());
}

/// Starts the next process, and waits until it has swept up.
async fn swept_by_the_next(app: &mut TestApp) {
    app.dc.restart_imgapi().await.unwrap();
    let app = &*app;
    wait_until("the sweep has been through", async || {
        let state: Value = app.operator().get("/state").await.ok();
        let workers = state["workers"].as_array().unwrap().iter();
        let mut sweeps =
            workers.filter(|worker| worker["name"] == "sweep" && worker["lastSuccess"].is_string());
        sweeps.next().map(drop)
    })
    .await;
}

async fn a_late_move_of_an_active_image_names_no_file_that_is_gone(_shared: &TestApp) {
    let mut stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let uuid = stage.app.luke().has_active_image(json!({})).await;
    assert_eq!(stage.stor(&uuid).await, "manta");
    let (_, before) = stage.app.stored(&uuid).await.unwrap();
    killed_before_its_write(&stage.app, &format!("/images/{uuid}?action=change-stor&stor=local")).await;
    // The copy of the manifest is protected separately. It would hide that the file is not.
    for name in entries(&stage.app.incoming()).iter().filter(|name| name.contains(".archive.")) {
        fs::remove_file(stage.app.incoming().join(name)).unwrap();
    }
    assert_eq!(entries(&stage.app.incoming()).len(), 1);
    swept_by_the_next(&mut stage.app).await;
    assert_eq!(entries(&stage.app.incoming()), Vec::<String>::new());
    // The waiting write is based on a version that has been replaced.
    assert_ne!(stage.app.stored(&uuid).await.unwrap().1, before);
    stage.app.dc.moray().faults().clear();
    stage.app.knows_what_others_wrote().await;
    assert_eq!(stage.stor(&uuid).await, "manta");
    assert_eq!(stage.app.luke().download(&uuid).await.text(), "file");
    stage.stop().await;
}

async fn a_late_clone_has_its_file(_shared: &TestApp) {
    let mut app = TestApp::start_empty().await;
    let uuid = app.luke().has_active_image(json!({"acl": [VADER]})).await;
    killed_before_its_write(&app, &format!("/images/{uuid}/clone?account={VADER}")).await;
    swept_by_the_next(&mut app).await;
    app.dc.moray().faults().clear();
    let clone = wait_until("the clone is made", async || {
        app.operator().list_uuids(&format!("owner={VADER}&state=all")).await.pop()
    })
    .await;
    assert_eq!(app.vader().download(&clone).await.text(), "file");
    // The next sweep moves the file to its place.
    app.dc.restart_imgapi().await.unwrap();
    app.nothing_unfinished().await;
    assert_eq!(fs::read(app.file(&clone)).unwrap(), b"file");
    app.stop().await;
}

/// The file in the record is still where it was staged, because its directory could not be created.
async fn a_failed_upload_of_the_same_bytes_takes_nothing_away(_shared: &TestApp) {
    let mut app = TestApp::start_empty().await;
    let uuid = app.luke().has_image(json!({})).await;
    let directory = app.file(&uuid).parent().unwrap().to_owned();
    fs::create_dir_all(directory.parent().unwrap()).unwrap();
    fs::write(&directory, "in the way").unwrap();
    app.luke().upload(&uuid, "compression=none", "bytes").await.ok();
    let complete = app.incoming().join(format!("{uuid}.file0.{}", sha1_of(b"bytes")));
    assert!(complete.exists());
    let mut again = app.half_an_upload(&uuid, "bytes").await;
    app.luke().activate(&uuid).await.ok();
    again.send("tes").await;
    again.read_answer().await.refused(422, "ImageAlreadyActivated");
    // Only the second copy of the bytes is removed.
    wait_until("one file is left", async || (entries(&app.incoming()).len() == 1).then_some(())).await;
    assert!(complete.exists());
    assert_eq!(app.operator().download(&uuid).await.text(), "bytes");
    fs::remove_file(&directory).unwrap();
    app.dc.restart_imgapi().await.unwrap();
    app.nothing_unfinished().await;
    assert_eq!(app.operator().get(&format!("/images/{uuid}/file?account={LUKE}")).await.text(), "bytes");
    app.stop().await;
}

async fn the_rest_of_a_move_goes_though_the_image_gets_an_icon_meanwhile(_shared: &TestApp) {
    let stage = Stage::start_with(|dc| dc.manta(MantaMode::Local)).await;
    let app = &stage.app;
    let uuid = app.luke().has_active_image(json!({})).await;
    assert_eq!(stage.stor(&uuid).await, "manta");
    let rest = app.file(&uuid);
    fs::create_dir_all(rest.parent().unwrap()).unwrap();
    fs::write(&rest, "file").unwrap();
    // The worker that ships the manifest reads the record, too, and would meet the faults in place of the move.
    let shipped = async || (!app.archived(&uuid).exists()).then_some(());
    wait_until("the manifest is in Manta", shipped).await;
    let faults = app.dc.moray().faults().clone();
    let met = faults.applied();
    faults.set(FaultRule::new(Fault::Stall).method("putObject").times(1));
    let icon = app.luke().call(Method::PUT, &format!("/images/{uuid}/icon"));
    let icon = icon.header("content-type", "image/png").body("icon").send();
    let moved = async {
        faults.wait_applied(met + 1).await;
        // The move reads the record without the icon, which is written while the move waits for the image.
        faults.set(FaultRule::new(Fault::RowsInEnd).method("getObject").times(1));
        let write = async {
            faults.wait_applied(met + 2).await;
            faults.clear();
        };
        tokio::join!(stage.move_to(&uuid, "manta"), write).0
    };
    let (icon, moved) = tokio::join!(icon, moved);
    assert_eq!((icon.ok()["icon"].as_bool(), moved.status), (Some(true), 200));
    assert!(!rest.exists());
    assert_eq!(app.luke().download(&uuid).await.text(), "file");
    stage.stop().await;
}
