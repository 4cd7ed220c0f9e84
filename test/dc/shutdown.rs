// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stopping the service. These tests start their own service.

use std::fs;

use serde_json::json;
use tokio::net::TcpStream;

use super::support::{TestApp, sha1_of, tests, wait_until};

tests! {
    running_transfers_finish,
    an_idle_connection_is_not_waited_for,
}

async fn running_transfers_finish(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    // More bytes than socket buffers hold.
    let bytes = vec![5; 32 << 20];
    let [down, up] = [app.luke().has_image(json!({})).await, app.luke().has_image(json!({})).await];
    app.luke().upload(&down, "compression=none", bytes.clone()).await.ok();
    let mut download = app.connect().await;
    download.send(format!("GET /images/{down}/file HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let head = download.read_head().await;
    let mut upload = app.half_an_upload(&up, "bytes").await;

    let transfers = async {
        wait_until("the signal is noticed", async || {
            let log = app.log();
            log.iter().any(|record| record["msg"] == "SIGTERM: stopping").then_some(())
        })
        .await;
        wait_until("nobody is let in", async || TcpStream::connect(app.address()).await.err()).await;
        upload.send("tes").await;
        let uploaded = upload.read_answer().await;
        assert_eq!(uploaded.ok()["files"][0]["sha1"], sha1_of(b"bytes"));
        assert!(upload.is_closed().await);
        assert_eq!(sha1_of(&download.read_body(&head).await), sha1_of(&bytes));
        assert!(download.is_closed().await);
    };
    let (status, ()) = tokio::join!(app.dc.stop_imgapi(), transfers);
    assert!(status.unwrap().success(), "{status:?}");
    let (record, _) = app.stored(&up).await.unwrap();
    assert_eq!(record["files"][0]["sha1"], sha1_of(b"bytes"));
    assert_eq!(fs::read(app.file(&up)).unwrap(), b"bytes");
    // Connections to backends may end later.
    let stopped = app.log().into_iter().find(|record| record["msg"] == "stopped");
    assert_eq!(stopped.map(|record| record["cut"].clone()), Some(json!(0)));
    app.end().await;
}

async fn an_idle_connection_is_not_waited_for(_shared: &TestApp) {
    let app = TestApp::start_empty().await;
    let mut connection = app.connect().await;
    assert_eq!(connection.exchange(&["GET /ping HTTP/1.1", "Host: x"]).await.status, 200);
    let mut silent = app.connect().await;
    // The datacenter kills a process after half of the time that transfers have, and then the exit status is not a success.
    assert!(app.dc.stop_imgapi().await.unwrap().success());
    assert!(connection.is_closed().await && silent.is_closed().await);
    app.end().await;
}
