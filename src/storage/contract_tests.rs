// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What every storage does: one suite of tests, run on a disk and on a Manta.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use coal::datacenter::{Datacenter, MantaMode};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use md5::Digest;
use tempfile::TempDir;
use tokio::time::sleep;

use super::{
    Asset, Digests, Expected, LocalStorage, Location, MantaConnection, MantaStorage, Part, ReceiveError,
    Storage, StorageError, Target, Upload,
};
use crate::config;
use crate::manifest::{Stor, Uuid};

const ANYTHING: Expected = Expected { length: None, limit: u64::MAX, digests: None };
const FILE: Asset = Asset::File(0);

/// A server with both storages, one of which is tested.
struct Stage {
    storage: Storage,
    stor: Stor,
    _directory: TempDir,
}

impl Stage {
    fn target(&self, uuid: Uuid) -> Target {
        Target { uuid, asset: FILE, stor: self.stor, replaces: false }
    }

    async fn receive(&self, uuid: Uuid, bytes: &[u8]) -> Upload {
        let chunks = bytes.chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        let body = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        let expected = Expected { length: Some(bytes.len() as u64), ..ANYTHING };
        self.storage.receive(self.target(uuid), expected, body).await.unwrap()
    }

    /// Stores a file as if a manifest named it.
    async fn has_file(&self, uuid: Uuid, bytes: &[u8]) -> Location {
        let received = self.receive(uuid, bytes).await;
        let location = self.location(uuid, &received.digests);
        received.stage().await.unwrap().settle().await.unwrap();
        location
    }

    fn location(&self, uuid: Uuid, digests: &Digests) -> Location {
        Location {
            uuid,
            asset: FILE,
            stor: self.stor,
            sha1: digests.sha1.clone(),
            size: digests.size,
            md5: Some(digests.md5.clone()),
            sha256: None,
            object: None,
        }
    }

    async fn read(&self, location: &Location) -> Result<Vec<u8>, StorageError> {
        let file = self.storage.open(location, Part::Whole).await?;
        let chunks: Vec<Bytes> = file.into_stream().try_collect().await?;
        Ok(chunks.concat())
    }

    async fn is_missing(&self, location: &Location) -> bool {
        match self.read(location).await {
            Ok(_) => false,
            Err(StorageError::NotFound(_)) => true,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn delete(&self, location: &Location) {
        let pending = self.storage.prepare_deletion(location.uuid, std::slice::from_ref(location)).await;
        self.storage.delete(pending).await.unwrap();
    }
}

/// The error of a body that breaks off.
#[derive(Debug)]
struct Broken;

impl Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

fn broken_body(bytes: &'static [u8]) -> impl Stream<Item = Result<Bytes, Broken>> {
    stream::iter([Ok(Bytes::from_static(bytes)), Err(Broken)])
}

/// So many bytes, which differ between seeds.
fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ seed).collect()
}

/// Runs a test on each storage.
async fn on_both(test: impl AsyncFn(&Stage)) {
    let dc = Datacenter::builder().manta(MantaMode::Local).start().await.unwrap();
    let directory = TempDir::new().unwrap();
    let local = LocalStorage::new(directory.path().to_owned());
    local.prepare().await.unwrap();
    let manta = MantaStorage::new(MantaConnection::new(config::Manta {
        url: dc.manta().unwrap().url(),
        user: "admin".into(),
        key: dc.key_file("admin"),
        key_id: None,
        insecure: false,
        idle: Duration::from_secs(60),
        remote: false,
        root_dir: "/admin/stor/imgapi/contract".into(),
        stores_files: true,
    }));
    let mut stage =
        Stage { storage: Storage::new(local, Some(manta)), stor: Stor::Local, _directory: directory };
    for stor in [Stor::Local, Stor::Manta] {
        stage.stor = stor;
        test(&stage).await;
    }
    dc.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_what_was_received() {
    on_both(async |stage| {
        for length in [1, 999, 512 << 10, (512 << 10) + 1, 3 << 20] {
            let (uuid, bytes) = (Uuid::new_v4(), bytes(length, 1));
            let location = stage.has_file(uuid, &bytes).await;
            assert_eq!(location.sha1, hex::encode(sha1::Sha1::digest(&bytes)));
            assert!(stage.read(&location).await.unwrap() == bytes, "{length} bytes");
            stage.storage.check(&location).await.unwrap();
            stage.storage.open_verified(&location, Part::Whole).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_there_before_it_is_staged_and_nothing_stays_that_is_discarded() {
    on_both(async |stage| {
        let uuid = Uuid::new_v4();
        let received = stage.receive(uuid, &bytes(2 << 20, 2)).await;
        let location = stage.location(uuid, &received.digests);
        assert!(stage.is_missing(&location).await);
        drop(received);
        assert!(stage.is_missing(&location).await);
        let received = stage.receive(uuid, &bytes(2 << 20, 2)).await;
        received.stage().await.unwrap().discard().await.unwrap();
        assert!(stage.is_missing(&location).await);
        // The name is free again.
        stage.has_file(uuid, &bytes(10, 3)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_because_nobody_knows_is_found() {
    on_both(async |stage| {
        let uuid = Uuid::new_v4();
        let received = stage.receive(uuid, b"named, or not").await;
        let location = stage.location(uuid, &received.digests);
        received.stage().await.unwrap().leave();
        assert_eq!(stage.read(&location).await.unwrap(), b"named, or not");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_or_is_too_long_leaves_nothing() {
    on_both(async |stage| {
        let (uuid, target) = (Uuid::new_v4(), stage.target(Uuid::new_v4()));
        let outcome = stage.storage.receive(target, ANYTHING, broken_body(b"half")).await;
        assert!(matches!(outcome, Err(ReceiveError::Body(Broken))));
        let long = stream::iter([Ok::<_, Infallible>(Bytes::from(bytes(1000, 4)))]);
        let outcome =
            stage.storage.receive(stage.target(uuid), Expected { limit: 999, ..ANYTHING }, long).await;
        assert!(matches!(outcome, Err(ReceiveError::TooLarge { limit: 999 })));
        for uuid in [target.uuid, uuid] {
            let digests = stage.receive(Uuid::new_v4(), b"half").await.digests.clone();
            assert!(stage.is_missing(&stage.location(uuid, &digests)).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_dropped_half_way_leaves_nothing() {
    on_both(async |stage| {
        let uuid = Uuid::new_v4();
        let (target, storage) = (stage.target(uuid), stage.storage.clone());
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from(bytes(2 << 20, 5))) });
        let then = stream::once(async move {
            seen.store(true, Ordering::SeqCst);
            std::future::pending().await
        });
        let upload = tokio::spawn(async move { storage.receive(target, ANYTHING, first.chain(then)).await });
        while !begun.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
        upload.abort();
        assert!(upload.await.unwrap_err().is_cancelled());
        let digests = stage.receive(Uuid::new_v4(), &bytes(2 << 20, 5)).await.digests.clone();
        assert!(stage.is_missing(&stage.location(uuid, &digests)).await);
        stage.has_file(uuid, b"the next one").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stays_until_the_one_that_replaces_it_is_named() {
    on_both(async |stage| {
        let uuid = Uuid::new_v4();
        let old = stage.has_file(uuid, &bytes(1 << 20, 6)).await;
        let target = Target { replaces: true, ..stage.target(uuid) };
        let body = || stream::iter([Ok::<_, Infallible>(Bytes::from(bytes(1 << 20, 7)))]);
        let received = stage.storage.receive(target, ANYTHING, body()).await.unwrap();
        received.stage().await.unwrap().discard().await.unwrap();
        let is_old = async || stage.read(&old).await.unwrap() == bytes(1 << 20, 6);
        assert!(is_old().await);
        let received = stage.storage.receive(target, ANYTHING, body()).await.unwrap();
        let new = Location { object: received.object(), ..stage.location(uuid, &received.digests) };
        let staged = received.stage().await.unwrap();
        assert!(is_old().await && stage.read(&new).await.unwrap() == bytes(1 << 20, 7));
        staged.settle().await.unwrap();
        assert!(stage.read(&new).await.unwrap() == bytes(1 << 20, 7));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_others_are_told_apart() {
    on_both(async |stage| {
        let location = stage.has_file(Uuid::new_v4(), b"these").await;
        let damaged = |location| async move {
            matches!(stage.storage.check(&location).await, Err(StorageError::Damaged(_)))
        };
        assert!(damaged(Location { size: 6, ..location.clone() }).await);
        // The bytes of small files are read, and Manta knows digests.
        let other = stage.receive(Uuid::new_v4(), b"those").await.digests.clone();
        let others = Location { md5: Some(other.md5), sha1: other.sha1, ..location.clone() };
        let nowhere = Location { uuid: Uuid::new_v4(), ..location };
        for part in [Part::Nothing, Part::Whole, Part::Range(1..3)] {
            let outcome = stage.storage.open_verified(&others, part.clone()).await.err();
            assert!(matches!(outcome, Some(StorageError::Damaged(_))), "{part:?}: {outcome:?}");
            let outcome = stage.storage.open_verified(&nowhere, part.clone()).await.err();
            assert!(matches!(outcome, Some(StorageError::NotFound(_))), "{part:?}: {outcome:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_and_a_link_are_files_of_their_own() {
    on_both(async |stage| {
        let bytes = bytes(1 << 20, 8);
        let original = stage.has_file(Uuid::new_v4(), &bytes).await;
        let (copied, linked) = (Uuid::new_v4(), Uuid::new_v4());
        let mut others = vec![copied];
        let received = stage.storage.copy(&original, stage.target(copied)).await.unwrap();
        received.stage().await.unwrap().settle().await.unwrap();
        if stage.stor == Stor::Local {
            stage.storage.link(&original, linked).await.unwrap().settle().await.unwrap();
            others.push(linked);
        }
        stage.delete(&original).await;
        assert!(stage.is_missing(&original).await);
        for uuid in others {
            let location = Location { uuid, ..original.clone() };
            assert!(stage.read(&location).await.unwrap() == bytes);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_can_be_copied_to_the_other_storage() {
    on_both(async |stage| {
        let bytes = bytes(1 << 20, 9);
        let here = stage.has_file(Uuid::new_v4(), &bytes).await;
        let other = if stage.stor == Stor::Local { Stor::Manta } else { Stor::Local };
        let target = Target { stor: other, ..stage.target(here.uuid) };
        let received = stage.storage.copy(&here, target).await.unwrap();
        received.stage().await.unwrap().settle().await.unwrap();
        let there = Location { stor: other, ..here.clone() };
        assert!(stage.read(&here).await.unwrap() == bytes && stage.read(&there).await.unwrap() == bytes);
        // The two files do not depend on each other.
        stage.delete(&here).await;
        assert!(stage.is_missing(&here).await && stage.read(&there).await.unwrap() == bytes);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_is_not_copied_as_another() {
    on_both(async |stage| {
        let uuid = Uuid::new_v4();
        let received = stage.receive(uuid, &bytes(1 << 20, 10)).await;
        let digests = received.digests.clone();
        received.stage().await.unwrap().settle().await.unwrap();
        let location = stage.location(uuid, &digests);
        let copied = async |location: &Location| {
            let target = stage.target(Uuid::new_v4());
            stage.storage.copy(location, target).await.map(|received| received.digests.clone())
        };
        // The copy has all digests, even where the SHA-256 alone decides.
        let known = Location { sha256: Some(digests.sha256.clone()), ..location.clone() };
        for location in [&location, &known] {
            assert_eq!(copied(location).await.unwrap(), digests);
        }
        let other = stage.receive(Uuid::new_v4(), &bytes(1 << 20, 11)).await.digests.clone();
        let wrong = Location { sha256: Some(other.sha256), ..location.clone() };
        assert!(matches!(copied(&wrong).await, Err(StorageError::Damaged(_))));
        // Without a SHA-256 the caller compares the digests.
        assert_eq!(copied(&Location { sha1: other.sha1, ..location }).await.unwrap(), digests);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_what_is_gone_is_no_error() {
    on_both(async |stage| {
        let location = stage.has_file(Uuid::new_v4(), b"short-lived").await;
        for _ in 0..2 {
            stage.delete(&location).await;
            assert!(stage.is_missing(&location).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_arrive_at_a_time() {
    on_both(async |stage| {
        let files = (0..20u8).map(|seed| async move {
            let bytes = bytes(200_000, seed);
            let location = stage.has_file(Uuid::new_v4(), &bytes).await;
            assert!(stage.read(&location).await.unwrap() == bytes);
        });
        join_all(files).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_a_name_later_is_not_what_was_condemned() {
    on_both(async |stage| {
        // Locally the image's lock prevents this.
        if stage.stor == Stor::Local {
            return;
        }
        let location = stage.has_file(Uuid::new_v4(), b"the same bytes").await;
        let pending =
            async || stage.storage.prepare_deletion(location.uuid, std::slice::from_ref(&location)).await;
        let (first, second) = (pending().await, pending().await);
        stage.storage.delete(first).await.unwrap();
        assert!(stage.is_missing(&location).await);
        let again = stage.has_file(location.uuid, b"the same bytes").await;
        stage.storage.delete(second).await.unwrap();
        assert_eq!(stage.read(&again).await.unwrap(), b"the same bytes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_those_that_were_named_stay() {
    on_both(async |stage| {
        let there = stage.has_file(Uuid::new_v4(), b"an upload's").await;
        let other = stage.receive(Uuid::new_v4(), b"missing").await.digests.clone();
        let named = Location { uuid: there.uuid, ..stage.location(there.uuid, &other) };
        if stage.stor == Stor::Manta {
            stage.delete(&named).await;
            assert_eq!(stage.read(&there).await.unwrap(), b"an upload's");
        }
    })
    .await;
}
