// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A full disk, in two ways that need no special rights: a small file system of the process's own, and a limit on the size of its
//! files. The second way works everywhere, so one of the two always runs.

use std::path::PathBuf;
use std::process::Command;

use coal::Datacenter;

use crate::support::{Client, IMGAPI, PATIENCE, TestFile, image_file, wait_for, wait_until_swept};

const MIB: usize = 1 << 20;

const SMALL: TestFile = TestFile { seed: 1, size: 3 * MIB };
/// More than fits, even if nothing else is stored.
const LARGE: TestFile = TestFile { seed: 2, size: 12 * MIB };

/// Mounts `$SMALL_DISK` in namespaces of its own, which end with the process, so that nothing stays mounted.
const WITH_SMALL_DISK: &str = r#"mount -t tmpfs -o size=8m,mode=0755 small "$SMALL_DISK" && exec "$@""#;
const NAMESPACES: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

/// The limit is in units of 512 bytes: 8 MiB. The signal would end the process; without it the write fails.
const WITH_FILE_LIMIT: &str = r#"trap "" XFSZ && ulimit -f 16384 && exec "$@""#;

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_storage_that_is_down() {
    let command = ["sh", "-c", WITH_FILE_LIMIT, "sh", IMGAPI].map(PathBuf::from);
    let datacenter = Datacenter::builder().imgapi_command(command.into()).start().await.unwrap();
    assert_that_a_full_disk_changes_nothing(&datacenter).await;
    wait_until_swept(&datacenter).await;
}

/// The limit allows no file of 4 KiB.
#[tokio::test]
async fn a_deep_ping_says_that_nothing_can_be_written() {
    let script = r#"trap "" XFSZ && ulimit -f 4 && exec "$@""#;
    let command = ["sh", "-c", script, "sh", IMGAPI].map(PathBuf::from);
    let datacenter = Datacenter::builder().imgapi_command(command.into()).start().await.unwrap();
    let url = format!("http://{}/ping?deep=true", datacenter.imgapi_address().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let ping: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let backends = ping["backends"].as_array().unwrap();
    let storage = backends.iter().find(|backend| backend["name"] == "local-storage").unwrap();
    assert_eq!(storage["state"], "down");
    assert!(storage["lastError"]["message"].as_str().unwrap().contains("no space"), "{storage}");
}

#[tokio::test]
async fn a_full_disk_is_a_storage_that_is_down() {
    let script = ["sh", "-c", WITH_SMALL_DISK, "sh"];
    let probe_directory = tempfile::tempdir().unwrap();
    let probe = Command::new(NAMESPACES[0])
        .args(&NAMESPACES[1..])
        .args(script)
        .arg("true")
        .env("SMALL_DISK", probe_directory.path())
        .output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("no namespaces here ({probe:?}): the limit on the size of files stands for the full disk");
        return;
    }
    let command = NAMESPACES.into_iter().chain(script).chain([IMGAPI]).map(PathBuf::from);
    let data = tempfile::tempdir().unwrap();
    let disk = data.path().join("imgapi").display().to_string();
    let builder = Datacenter::builder().data_dir(data.path()).imgapi_environment("SMALL_DISK", &disk);
    let datacenter = builder.imgapi_command(command.collect()).start().await.unwrap();
    assert_eq!(datacenter.local_dir(), std::path::Path::new(&disk));
    assert_that_a_full_disk_changes_nothing(&datacenter).await;
    let uuid = fill(&Client::new(&datacenter)).await;
    assert_that_room_comes_back(&Client::new(&datacenter), &uuid).await;
}

async fn assert_that_a_full_disk_changes_nothing(datacenter: &Datacenter) {
    let client = Client::new(datacenter);
    let (empty, full) = (client.created().await, client.uploaded(SMALL).await);
    for uuid in [&empty, &full] {
        // With an announced length, the lack of space is found before the first byte, otherwise while writing.
        for answer in [client.upload(uuid, LARGE).await, client.upload_chunked(uuid, LARGE).await] {
            assert_eq!(answer.unwrap().outcome(), (503, "StorageIsDown".to_owned()));
        }
    }
    client.assert_has_no_file(&empty).await;
    client.assert_holds(&full, SMALL).await;
    assert!(!image_file(datacenter, &empty).exists());
    // A rejected upload takes up no space.
    let uuid = client.created().await;
    until_uploaded(&client, &uuid, SMALL).await;
}

/// Uploads to new images until the disk is full; returns the last image that got a file.
async fn fill(client: &Client) -> String {
    let mut last = None;
    loop {
        let uuid = client.created().await;
        match client.upload(&uuid, TestFile { seed: 9, size: MIB }).await.unwrap().outcome() {
            (200, _) => last = Some(uuid),
            outcome => {
                assert_eq!(outcome, (503, "StorageIsDown".to_owned()));
                return last.unwrap();
            }
        }
    }
}

/// Checks that a deleted image makes room for another one without a restart.
async fn assert_that_room_comes_back(client: &Client, uuid: &str) {
    assert_eq!(client.delete(uuid).await.unwrap().status, 204);
    let file = TestFile { seed: 10, size: MIB };
    let created = client.created().await;
    until_uploaded(client, &created, file).await;
}

/// Uploads as soon as there is space: rejected and deleted files are removed in the background.
async fn until_uploaded(client: &Client, uuid: &str, file: TestFile) {
    wait_for("room for a file", PATIENCE, async || match client.upload(uuid, file).await.unwrap() {
        answer if answer.is_success() => Ok(()),
        answer => Err(answer.outcome()),
    })
    .await;
    client.assert_holds(uuid, file).await;
}
