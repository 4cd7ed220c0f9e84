// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Transfers without progress. These tests start their own service, with low limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{TestApp, fresh, sha1_of, small_record, tests, wait_until};

tests! {
    an_upload_on_which_nothing_comes_is_given_up,
    an_upload_that_trickles_is_given_up,
    a_download_that_nobody_takes_is_given_up,
}

async fn app(min_rate: u64) -> TestApp {
    TestApp::start_with(|dc| {
        dc.imgapi_config("transferIdleSeconds", 1).imgapi_config("transferMinRate", min_rate)
    })
    .await
}

async fn assert_stalls(app: &TestApp, direction: &str) {
    let label = format!("direction=\"{direction}\"");
    let is_it = |line: &str| line.starts_with("imgapi_transfers_stalled_total{") && line.contains(&label);
    wait_until("the stall is counted", async || {
        let metrics = app.metrics().await;
        metrics.lines().any(|line| is_it(line) && line.ends_with(" 1")).then_some(())
    })
    .await;
    let logged = |record: &Value| record["msg"].as_str().is_some_and(|msg| msg.starts_with("giving up "));
    let times = || app.log().into_iter().filter(logged).count();
    wait_until("the stall is logged", async || (times() > 0).then_some(())).await;
    assert_eq!(times(), 1);
}

async fn an_upload_on_which_nothing_comes_is_given_up(_shared: &TestApp) {
    let app = app(0).await;
    let uuid = app.luke().has_image(json!({})).await;
    let mut upload = app.half_an_upload(&uuid, "bytes").await;
    upload.read_answer().await.refused(408, "RequestTimeout");
    assert_stalls(&app, "in").await;
    assert_eq!(app.luke().get_image(&uuid).await.ok()["files"], json!([]));
    app.stop().await;
}

async fn an_upload_that_trickles_is_given_up(_shared: &TestApp) {
    let app = app(1 << 20).await;
    let uuid = app.luke().has_image(json!({})).await;
    let mut upload = app.half_an_upload(&uuid, &"x".repeat(1 << 20)).await;
    // The sender is never silent for long, but far slower than a mebibyte a second.
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let answer = loop {
        tokio::select! {
            _ = ticks.tick() => upload.send("x").await,
            answer = upload.read_head() => break answer,
        }
    };
    assert_eq!(answer.status, 408);
    assert_stalls(&app, "in").await;
    app.stop().await;
}

async fn a_download_that_nobody_takes_is_given_up(_shared: &TestApp) {
    let app = app(0).await;
    // More bytes than socket buffers hold. The file is not uploaded, because an upload must not pause here.
    let bytes = vec![1; 32 << 20];
    let file = json!({"sha1": sha1_of(&bytes), "size": bytes.len(), "compression": "none", "stor": "local"});
    let uuid = fresh();
    app.store(&small_record(json!({"uuid": uuid, "files": [file]}))).await;
    std::fs::create_dir_all(app.file(&uuid).parent().unwrap()).unwrap();
    std::fs::write(app.file(&uuid), bytes).unwrap();
    let mut download = app.connect().await;
    download.send(format!("GET /images/{uuid}/file HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(download.read_head().await.status, 200);
    assert_stalls(&app, "out").await;
    assert!(download.read_to_end().await < 32 << 20, "the answer is not whole");
    app.stop().await;
}
