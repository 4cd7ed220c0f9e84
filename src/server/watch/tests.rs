// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
/// Nothing here takes long. A test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Watches a file in such a way that only events, or only the regular checks, report changes.
async fn watch(file: &Path, with_events: bool) -> Watch {
    let hangup = signal(SignalKind::hangup()).unwrap();
    let mut watch = Watch::new(file.to_owned(), hangup, with_events).await;
    assert_eq!(watch.events.is_some(), with_events);
    watch.seen = watch.look().await;
    watch.poll = if with_events { HOUR } else { POLL };
    watch
}

async fn sees_a_change(watch: &mut Watch, what: &str) {
    // In a test without events the paused clock advances by itself when there is nothing to do.
    let deadline = if watch.events.is_some() { DEADLINE } else { HOUR };
    let change = async {
        // Another test sends hangups to this process.
        while watch.reason().await == Reason::Hangup {}
    };
    assert!(timeout(deadline, change).await.is_ok(), "{what}");
}

fn replace(file: &Path, text: &str) {
    let other = file.with_extension("new");
    fs::write(&other, text).unwrap();
    fs::rename(other, file).unwrap();
}

/// Swaps the link as a container volume does: all files are links through `data`, which is a link, too.
fn swap(directory: &Path, version: &str, text: &str) {
    fs::create_dir(directory.join(version)).unwrap();
    fs::write(directory.join(version).join("config"), text).unwrap();
    symlink(version, directory.join("data.new")).unwrap();
    fs::rename(directory.join("data.new"), directory.join("data")).unwrap();
}

async fn changes_are_seen(with_events: bool) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("config");
    let mut watch = watch(&file, with_events).await;
    fs::write(&file, "1").unwrap();
    sees_a_change(&mut watch, "a new file").await;
    fs::write(&file, "2").unwrap();
    sees_a_change(&mut watch, "written in place").await;
    replace(&file, "3");
    sees_a_change(&mut watch, "replaced").await;
    fs::remove_file(&file).unwrap();
    sees_a_change(&mut watch, "removed").await;
    swap(directory.path(), "1", "4");
    symlink("data/config", &file).unwrap();
    sees_a_change(&mut watch, "a link").await;
    swap(directory.path(), "2", "5");
    sees_a_change(&mut watch, "another target of a link").await;
    fs::write(directory.path().join("2/config"), "6").unwrap();
    sees_a_change(&mut watch, "a target written in place").await;
    let key = directory.path().join("key");
    watch.follow(BTreeSet::from([file, key.clone()]));
    watch.seen = watch.look().await;
    fs::write(&key, "1").unwrap();
    sees_a_change(&mut watch, "a file that was not watched at first").await;
}

#[tokio::test]
async fn events_tell_of_every_change() {
    changes_are_seen(true).await;
}

#[tokio::test(start_paused = true)]
async fn every_change_is_noticed_without_events() {
    changes_are_seen(false).await;
}

#[tokio::test]
async fn the_first_look_finds_a_change() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("config");
    fs::write(&file, "1").unwrap();
    let hangup = signal(SignalKind::hangup()).unwrap();
    sees_a_change(&mut Watch::new(file, hangup, true).await, "before it was watched").await;
}

#[tokio::test]
async fn a_directory_may_be_another_one() {
    let above = TempDir::new().unwrap();
    let file = above.path().join("etc/config");
    fs::create_dir(above.path().join("etc")).unwrap();
    fs::write(&file, "1").unwrap();
    let mut watch = watch(&file, true).await;
    watch.poll = POLL;
    fs::remove_dir_all(above.path().join("etc")).unwrap();
    sees_a_change(&mut watch, "removed with its directory").await;
    fs::create_dir(above.path().join("etc")).unwrap();
    fs::write(&file, "1").unwrap();
    sees_a_change(&mut watch, "there again with its directory").await;
    watch.poll = HOUR;
    fs::write(&file, "2").unwrap();
    sees_a_change(&mut watch, "the new directory is watched").await;
}

#[tokio::test]
async fn a_hangup_asks_for_a_look() {
    let directory = TempDir::new().unwrap();
    let mut watch = watch(&directory.path().join("config"), true).await;
    let me = rustix::process::getpid();
    for _ in 0..2 {
        rustix::process::kill_process(me, rustix::process::Signal::HUP).unwrap();
        assert_eq!(timeout(DEADLINE, watch.reason()).await.ok(), Some(Reason::Hangup));
    }
}
