// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! FIFOs, directories, links and huge files instead of regular files: the service neither waits for them nor stops because of
//! them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::support::{Client, PATIENCE, TestFile, image_file, incoming, start_datacenter, wait_for};

const FILE: TestFile = TestFile { seed: 1, size: 100_000 };

/// A name, and a function that creates such a file.
type Kind = (&'static str, fn(&Path));

const KINDS: [Kind; 4] = [
    ("fifo", |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("directory", |path| fs::create_dir(path).unwrap()),
    ("link", |path| symlink("/etc/hostname", path).unwrap()),
    ("huge", |path| fs::File::create(path).unwrap().set_len(4 << 30).unwrap()),
];

#[tokio::test]
async fn what_is_no_file_stops_neither_a_start_nor_a_sweep_nor_an_end() {
    let mut datacenter = start_datacenter().await;
    let client = Client::new(&datacenter);
    let good = client.uploaded(FILE).await;
    let base = datacenter.local_dir();
    let mut images = Vec::new();
    for (_, plant) in KINDS {
        let uuid = client.uploaded(FILE).await;
        fs::remove_file(image_file(&datacenter, &uuid)).unwrap();
        plant(&image_file(&datacenter, &uuid));
        images.push(uuid);
    }
    datacenter.stop_imgapi().await.unwrap();
    let incoming = incoming(&datacenter);
    let id = || uuid::Uuid::new_v4();
    let (mut stay, mut go) = (Vec::new(), Vec::new());
    for (name, plant) in KINDS {
        plant(&incoming.join(name));
        stay.push(name.to_owned());
        let part = format!("{}.part", id());
        plant(&incoming.join(&part));
        if name == "huge" {
            go.push(part)
        } else {
            stay.push(part)
        }
        let note = base.join(format!("{name}.json"));
        plant(&note);
    }
    fs::remove_file(base.join("scrub.json")).ok();
    fs::rename(base.join("fifo.json"), base.join("scrub.json")).unwrap();
    for (name, is_ours) in [("lost+found", false), ("notes.txt", false), ("left.part", false), ("", true)] {
        let name = if is_ours { format!("{}.part", id()) } else { name.to_owned() };
        fs::write(incoming.join(&name), "x").unwrap();
        if is_ours { go.push(name) } else { stay.push(name) }
    }

    datacenter.restart_imgapi().await.unwrap();
    let client = Client::new(&datacenter);
    let is_there = |name: &String| incoming.join(name).symlink_metadata().is_ok();
    wait_for("the sweep", PATIENCE, async || {
        let left: Vec<_> = go.iter().filter(|name| is_there(name)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert!(
        stay.iter().all(is_there),
        "{:?}",
        stay.iter().filter(|name| !is_there(name)).collect::<Vec<_>>()
    );
    client.assert_holds(&good, FILE).await;
    for ((name, _), uuid) in KINDS.iter().zip(&images) {
        let answer = client.get(&format!("/images/{uuid}/file")).await.unwrap();
        assert_eq!(answer.outcome(), (500, "InternalError".to_owned()), "{name}");
        // Far less time than reading four gigabytes takes; and there is no wait for the other end of a FIFO.
        assert!(answer.took < Duration::from_secs(30), "{name}: {:?}", answer.took);
    }
    // A new file can replace all of them except a directory.
    for ((name, _), uuid) in KINDS.iter().zip(&images) {
        assert_eq!(client.upload(uuid, FILE).await.unwrap().status, 200, "{name}");
        client.assert_holds(uuid, FILE).await;
    }
    assert!(datacenter.stop_imgapi().await.unwrap().success());
    // Nothing was written through the link.
    assert_ne!(fs::metadata("/etc/hostname").unwrap().len(), FILE.size as u64);
}
