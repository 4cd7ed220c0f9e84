// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files on a real disk, in every state between the first byte and the last rename.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use sha1::Digest;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::ingest::Digesting;
use super::local::Received;
use super::{
    Archived, Asset, Content, Leftover, LocalStorage, Location, Owner, ReceiveError, Storage, StorageError,
    Target, Version,
};
use crate::files::planted::Odd;
use crate::manifest::{Stor, Uuid};

const MIB: usize = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

struct Disk {
    storage: LocalStorage,
    directory: TempDir,
}

impl Disk {
    fn new() -> Disk {
        let directory = TempDir::new().unwrap();
        Disk { storage: LocalStorage::new(directory.path().to_owned()), directory }
    }

    fn incoming(&self) -> PathBuf {
        self.directory.path().join("incoming")
    }

    fn place(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.directory.path().join("images").join(&uuid[..3]).join(uuid).join("file0")
    }

    /// Names in `incoming`.
    fn unfinished(&self) -> Vec<String> {
        let names = fs::read_dir(self.incoming()).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Waits until `incoming` has so many files: what is dropped is removed in the background.
    async fn until_unfinished(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.unfinished().len() != count {
            assert!(Instant::now() < end, "{:?} in place of {count}", self.unfinished());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything in `incoming` that nobody works on.
    async fn leftovers(&self) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        for unfinished in self.storage.unfinished().await.unwrap() {
            leftovers.extend(self.storage.claim(unfinished).await.unwrap());
        }
        leftovers
    }

    async fn received(&self, bytes: &'static [u8]) -> Received {
        self.storage.receive(Some(bytes.len() as u64), Digesting::All, NO_LIMIT, body([bytes])).await.unwrap()
    }

    async fn opened(&self, uuid: Uuid, sha1: &str) -> Vec<u8> {
        let mut file = self.storage.open(uuid, 0, sha1).await.unwrap();
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    }
}

fn body<const N: usize>(
    chunks: [&'static [u8]; N],
) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(chunks.map(|chunk| Ok(Bytes::from_static(chunk))))
}

fn sha1_of(bytes: &[u8]) -> String {
    hex::encode(sha1::Sha1::digest(bytes))
}

fn only(directory: &Path) -> PathBuf {
    let mut entries = fs::read_dir(directory).unwrap();
    let found = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    found
}

#[tokio::test]
async fn digests_are_those_of_the_published_vectors() {
    let million = vec![b'a'; 1_000_000];
    let vectors = [
        (
            &b"abc"[..],
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "kAFQmDzST7DWlj99KOF/cg==",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "1B2M2Y8AsgTpgAmY7PhCfg==",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            &million,
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
            "dwfWrk4CfHDuoqk1wilvIQ==",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    let disk = Disk::new();
    for (bytes, sha1, md5, sha256) in vectors {
        let chunk = Ok::<_, Infallible>(Bytes::copy_from_slice(bytes));
        let received =
            disk.storage.receive(None, Digesting::All, NO_LIMIT, stream::iter([chunk])).await.unwrap();
        let digests = &received.digests;
        assert_eq!(digests.size, bytes.len() as u64);
        assert_eq!([&*digests.sha1, &*digests.md5, &*digests.sha256], [sha1, md5, sha256]);
    }
}

#[tokio::test]
async fn bytes_arrive_whole_however_they_are_cut() {
    let disk = Disk::new();
    for size in [1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7] {
        let bytes: Bytes = (0..size).map(|index| (index % 251) as u8).collect::<Vec<_>>().into();
        for cut in [97, MIB - 1, MIB, MIB + 1, size] {
            let pieces = (0..size).step_by(cut).map(|start| bytes.slice(start..size.min(start + cut)));
            // Empty pieces are no end.
            let chunks = pieces.flat_map(|piece| [Ok::<_, Infallible>(piece), Ok(Bytes::new())]);
            let chunks: Vec<_> = chunks.collect();
            let received = disk
                .storage
                .receive(Some(size as u64), Digesting::All, NO_LIMIT, stream::iter(chunks))
                .await
                .unwrap();
            assert_eq!(received.digests.size, size as u64);
            assert_eq!(received.digests.sha1, sha1_of(&bytes), "{size} bytes in pieces of {cut}");
            assert!(fs::read(only(&disk.incoming())).unwrap() == bytes, "{size} bytes in pieces of {cut}");
            drop(received);
            disk.until_unfinished(0).await;
        }
    }
}

#[tokio::test]
async fn the_limit_is_the_last_size_that_is_taken() {
    let disk = Disk::new();
    let received = disk.storage.receive(None, Digesting::All, 6, body([b"abc", b"def"])).await.unwrap();
    assert_eq!(received.digests.size, 6);
    drop(received);
    let refused = disk.storage.receive(None, Digesting::All, 5, body([b"abc", b"def"])).await;
    assert!(matches!(refused, Err(ReceiveError::TooLarge { limit: 5 })), "{refused:?}");
    disk.until_unfinished(0).await;
}

#[tokio::test]
async fn nothing_remains_of_a_body_that_breaks_off() {
    let disk = Disk::new();
    let chunks = [Ok(Bytes::from_static(b"abc")), Err("gone"), Ok(Bytes::from_static(b"def"))];
    let broken = disk.storage.receive(Some(6), Digesting::All, NO_LIMIT, stream::iter(chunks)).await;
    assert!(matches!(broken, Err(ReceiveError::Body("gone"))), "{broken:?}");
    disk.until_unfinished(0).await;
}

#[tokio::test]
async fn nothing_remains_of_a_body_that_nobody_waits_for() {
    let disk = Disk::new();
    let storage = disk.storage.clone();
    let endless =
        stream::unfold((), |()| async { Some((Ok::<_, Infallible>(Bytes::from(vec![7; MIB])), ())) });
    let receiving =
        tokio::spawn(async move { storage.receive(None, Digesting::All, NO_LIMIT, endless).await });
    disk.until_unfinished(1).await;
    receiving.abort();
    assert!(receiving.await.unwrap_err().is_cancelled());
    disk.until_unfinished(0).await;
}

#[tokio::test]
async fn a_base_directory_that_has_gone_is_not_made_again() {
    let disk = Disk::new();
    let base = disk.directory.path().join("mounted");
    let storage = LocalStorage::new(base.clone());
    let receive = || {
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"bytes"))]);
        storage.receive(Some(5), Digesting::All, NO_LIMIT, body)
    };
    let refused = receive().await;
    assert!(matches!(refused, Err(ReceiveError::Storage(StorageError::Io(_)))), "{refused:?}");
    assert!(!base.exists());
    fs::create_dir(&base).unwrap();
    receive().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_being_received_is_no_leftover() {
    let disk = Disk::new();
    let received = disk.received(b"abc").await;
    assert!(disk.leftovers().await.is_empty());
    let uuid = Uuid::new_v4();
    let staged = disk.storage.stage(received, uuid, 0).await.unwrap();
    assert!(disk.leftovers().await.is_empty());
    assert_eq!(disk.unfinished(), [format!("{uuid}.file0.{}", sha1_of(b"abc"))]);
    staged.discard().await.unwrap();
    assert!(disk.unfinished().is_empty());
}

#[tokio::test]
async fn a_name_that_a_manifest_may_have_is_not_taken_from_it() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    let complete = disk.incoming().join(format!("{uuid}.file0.{sha1}"));
    // Whether it was named is not known, or its last rename failed.
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().leave();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let first = inode(&complete);
    // The same bytes once more, for something that fails, is given up, and succeeds.
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().discard().await.unwrap();
    drop(disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap());
    disk.until_unfinished(1).await;
    assert_eq!((inode(&complete), disk.opened(uuid, &sha1).await), (first, b"abc".to_vec()));
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().settle().await.unwrap();
    disk.until_unfinished(0).await;
    assert_eq!(inode(&disk.place(uuid)), first);

    // One that has other bytes is repaired, and still not this upload's to remove.
    fs::write(&complete, "xyz").unwrap();
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().discard().await.unwrap();
    assert_eq!(fs::read(&complete).unwrap(), b"abc");
}

#[tokio::test]
async fn what_a_dead_process_left_is_claimed_once_and_discarded() {
    let disk = Disk::new();
    disk.storage.prepare().await.unwrap();
    fs::write(disk.incoming().join(format!("{}.part", Uuid::new_v4())), "abc").unwrap();
    let mut leftovers = disk.leftovers().await;
    assert_eq!(leftovers.len(), 1);
    assert!(disk.leftovers().await.is_empty(), "it is claimed");
    let leftover = leftovers.remove(0);
    assert_eq!(leftover.content, Content::Part);
    disk.storage.discard(leftover).await.unwrap();
    assert!(disk.unfinished().is_empty());
}

#[tokio::test]
async fn what_was_left_for_the_sweep_says_whose_it_is_and_can_be_settled() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().leave();
    assert_eq!(disk.opened(uuid, &sha1).await, b"abc");

    let mut leftovers = disk.leftovers().await;
    let leftover = leftovers.remove(0);
    let owner = Owner { uuid, asset: Asset::File(0), sha1: sha1.clone() };
    assert_eq!(leftover.content, Content::File(owner));
    disk.storage.settle_leftover(leftover).await.unwrap();
    assert!(disk.unfinished().is_empty());
    assert_eq!(disk.opened(uuid, &sha1).await, b"abc");
    assert_eq!(fs::read(disk.place(uuid)).unwrap(), b"abc");
}

#[tokio::test]
async fn each_manifest_finds_its_own_bytes_while_a_file_is_replaced() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let (old, new) = (sha1_of(b"old"), sha1_of(b"new"));
    disk.storage.stage(disk.received(b"old").await, uuid, 0).await.unwrap().settle().await.unwrap();

    let refused = disk.storage.stage(disk.received(b"new").await, uuid, 0).await.unwrap();
    assert_eq!(disk.opened(uuid, &old).await, b"old");
    assert_eq!(disk.opened(uuid, &new).await, b"new");
    refused.discard().await.unwrap();
    assert!(disk.unfinished().is_empty());
    assert_eq!(disk.opened(uuid, &old).await, b"old");

    disk.storage.stage(disk.received(b"new").await, uuid, 0).await.unwrap().settle().await.unwrap();
    assert_eq!(disk.opened(uuid, &new).await, b"new");
    assert!(disk.unfinished().is_empty());
}

#[tokio::test]
async fn a_deleted_file_is_gone_from_every_place() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().settle().await.unwrap();
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().leave();
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1.clone())]).await.unwrap();
    assert!(disk.unfinished().is_empty());
    assert!(!disk.place(uuid).parent().unwrap().exists());
    let missing = disk.storage.open(uuid, 0, &sha1).await;
    assert!(matches!(missing, Err(StorageError::NotFound(_))), "{missing:?}");
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1)]).await.expect("what is gone already is deleted");
}

#[tokio::test]
async fn deleting_keeps_what_somebody_else_put_beside() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    disk.storage.stage(disk.received(b"abc").await, uuid, 0).await.unwrap().settle().await.unwrap();
    let other = disk.place(uuid).with_file_name("file1");
    fs::write(&other, "other").unwrap();
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1_of(b"abc"))]).await.unwrap();
    assert!(!disk.place(uuid).exists());
    assert_eq!(fs::read(other).unwrap(), b"other");
}

/// A copy for the archive.
async fn copy(disk: &Disk, uuid: Uuid, version: Version, text: &'static str) -> Archived {
    disk.storage.prepare_archive(uuid, version, text.into()).await.unwrap()
}

#[tokio::test]
async fn the_archive_changes_when_it_is_committed() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let place = disk.storage.archive_path(uuid);
    let first = copy(&disk, uuid, Version::Current, "first").await;
    assert!(!place.exists());
    first.commit().await.unwrap();
    assert_eq!(fs::read(&place).unwrap(), b"first");

    drop(copy(&disk, uuid, Version::Current, "never written").await);
    let mut refused = copy(&disk, uuid, Version::Current, "refused").await;
    refused.record_is_written();
    refused.discard();
    disk.until_unfinished(0).await;
    assert_eq!(fs::read(&place).unwrap(), b"first");

    copy(&disk, uuid, Version::Last, "second").await.commit().await.unwrap();
    assert_eq!(fs::read(&place).unwrap(), b"second");
    assert!(disk.unfinished().is_empty());
}

#[tokio::test]
async fn what_nobody_says_of_a_written_record_stays_and_tells_its_image() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    for version in [Version::Current, Version::Last] {
        let mut unknown = copy(&disk, uuid, version, "{}").await;
        assert!(disk.leftovers().await.is_empty(), "somebody works on it");
        unknown.record_is_written();
        drop(unknown);
        let leftover = disk.leftovers().await.remove(0);
        assert_eq!(leftover.content, Content::Manifest { uuid, version });
        assert!(!leftover.is_older_than(Duration::from_secs(3600)) && leftover.is_older_than(Duration::ZERO));
        let (leftover, bytes) = disk.storage.read_leftover(leftover).await.unwrap();
        assert_eq!(bytes, b"{}");
        disk.storage.archive_leftover(leftover).await.unwrap();
        assert_eq!(fs::read(disk.storage.archive_path(uuid)).unwrap(), b"{}");
        let spooled = disk.storage.open_spooled(uuid).await.unwrap().unwrap();
        assert_eq!(spooled.is_last(), version == Version::Last);
        assert!(disk.unfinished().is_empty());
    }
}

#[tokio::test]
async fn a_spooled_manifest_is_removed_unless_another_one_is_there() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let place = disk.storage.archive_path(uuid);
    copy(&disk, uuid, Version::Current, "first").await.commit().await.unwrap();
    let first = disk.storage.open_spooled(uuid).await.unwrap().unwrap();
    assert_eq!(disk.storage.spooled().await.unwrap().manifests, [(uuid, first.id())]);
    copy(&disk, uuid, Version::Current, "second").await.commit().await.unwrap();
    assert_eq!(first.bytes().await.unwrap(), b"first");
    disk.storage.remove_spooled(first).await.unwrap();
    let second = disk.storage.open_spooled(uuid).await.unwrap().unwrap();
    assert_eq!(second.bytes().await.unwrap(), b"second");
    disk.storage.remove_spooled(second).await.unwrap();
    assert!(!place.parent().unwrap().exists() && place.parent().unwrap().parent().unwrap().exists());
    assert!(disk.storage.open_spooled(uuid).await.unwrap().is_none());
}

#[tokio::test]
async fn only_names_of_images_are_manifests_and_empty_directories_go() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    copy(&disk, uuid, Version::Current, "{}").await.commit().await.unwrap();
    let archive = disk.storage.archive();
    let name = format!("{uuid}.json");
    let foreign =
        ["file".to_owned(), "zzz/x.json".to_owned(), format!("zzz/{name}"), format!("{}/{uuid}", &name[..3])];
    for directory in ["zzz", "e0f"] {
        fs::create_dir(archive.join(directory)).unwrap();
    }
    for name in &foreign {
        fs::write(archive.join(name), "x").unwrap();
    }
    let spool = disk.storage.spooled().await.unwrap();
    assert_eq!(spool.manifests.len(), 1);
    assert_eq!(spool.foreign, foreign.map(|name| archive.join(name)).into());
    assert!(!archive.join("e0f").exists());
}

#[tokio::test]
async fn a_directory_that_is_removed_in_between_does_not_matter() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let place = disk.storage.archive_path(uuid);
    let directory = place.parent().unwrap().to_owned();
    // How often it may be removed during one commit: fewer times than that tries.
    let (removals, is_done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let removing = std::thread::spawn({
        let (removals, is_done) = (Arc::clone(&removals), Arc::clone(&is_done));
        move || {
            while !is_done.load(Ordering::SeqCst) {
                if removals.load(Ordering::SeqCst) > 0 && fs::remove_dir(&directory).is_ok() {
                    removals.fetch_sub(1, Ordering::SeqCst);
                }
                std::thread::yield_now();
            }
        }
    });
    for _ in 0..50 {
        removals.store(3, Ordering::SeqCst);
        copy(&disk, uuid, Version::Current, "{}").await.commit().await.unwrap();
        let spooled = disk.storage.open_spooled(uuid).await.unwrap().unwrap();
        disk.storage.remove_spooled(spooled).await.unwrap();
    }
    is_done.store(true, Ordering::SeqCst);
    removing.join().unwrap();
}

#[tokio::test]
async fn a_storage_without_its_directory_says_so() {
    let disk = Disk::new();
    fs::write(disk.incoming(), "a file where the directory should be").unwrap();
    let failed = disk.storage.receive(None, Digesting::All, NO_LIMIT, body([b"abc"])).await;
    assert!(matches!(failed, Err(ReceiveError::Storage(StorageError::Io(_)))), "{failed:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let chunks = stream::iter((0..8).map(|_| Ok::<_, Infallible>(Bytes::from(vec![1; MIB]))));
    let mut sink = super::ingest::FileSink::new(full, None).await.unwrap();
    let failed = super::ingest::ingest(&mut sink, Digesting::All, NO_LIMIT, chunks).await;
    assert!(matches!(failed, Err(ReceiveError::Storage(StorageError::NoSpace))), "{failed:?}");
}

#[tokio::test]
async fn a_file_has_a_second_name_until_one_of_them_goes() {
    let disk = Disk::new();
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    let received = disk.received(b"abc").await;
    let sha1 = received.digests.sha1.clone();
    disk.storage.stage(received, old, 0).await.unwrap().settle().await.unwrap();
    let link = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap();
    assert_eq!(disk.opened(new, &sha1).await, b"abc");
    // Nobody takes it for a leftover meanwhile.
    assert!(disk.leftovers().await.is_empty());
    link.leave();
    let leftover = disk.leftovers().await.remove(0);
    assert!(leftover.shares_its_bytes());
    // Who judges it keeps others away.
    let busy = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap_err();
    assert!(matches!(busy, StorageError::Io(error) if error.kind() == io::ErrorKind::WouldBlock));
    drop(leftover);
    // What is there from before stays, whatever comes of the next one.
    disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap().discard().await.unwrap();
    assert_eq!(disk.opened(new, &sha1).await, b"abc");
    disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap().settle().await.unwrap();
    disk.storage.delete(old, vec![(Asset::File(0), sha1.clone())]).await.unwrap();
    assert_eq!((disk.opened(new, &sha1).await, disk.unfinished().len()), (b"abc".to_vec(), 0));
    let gone = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap_err();
    assert!(matches!(gone, StorageError::NotFound(_)));
}

#[tokio::test]
async fn a_copy_has_the_digests_of_what_was_read() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let bytes: &'static [u8] = Box::leak(vec![7; 3 * MIB + 1].into_boxed_slice());
    let received = disk.received(bytes).await;
    let digests = received.digests.clone();
    disk.storage.stage(received, uuid, Asset::Icon).await.unwrap().settle().await.unwrap();
    let storage = Storage::new(disk.storage.clone(), None);
    let (asset, stor, size) = (Asset::Icon, Stor::Local, digests.size);
    let location = Location {
        uuid,
        asset,
        stor,
        sha1: digests.sha1.clone(),
        size,
        md5: None,
        sha256: None,
        object: None,
    };
    let target = Target { uuid: Uuid::new_v4(), asset, stor, replaces: false };
    let copy = storage.copy(&location, target).await.unwrap();
    assert_eq!(copy.digests, digests);
    drop(copy);
    disk.until_unfinished(0).await;
    assert!(storage.open_verified(&location).await.is_ok());
    fs::write(disk.place(uuid).with_file_name("icon"), "changed").unwrap();
    let changed = storage.open_verified(&location).await.unwrap_err();
    assert!(matches!(changed, StorageError::Damaged(_)), "{changed}");
    assert_ne!(storage.copy(&location, target).await.unwrap().digests, digests);
    let elsewhere = Location { stor: Stor::Manta, ..location };
    assert!(matches!(storage.open(&elsewhere).await, Err(StorageError::Absent(Stor::Manta))));
}

#[tokio::test]
async fn what_is_not_from_here_stays_in_incoming_and_stops_nothing() {
    let disk = Disk::new();
    disk.storage.prepare().await.unwrap();
    let uuid = Uuid::new_v4();
    let names =
        ["lost+found", "x", "x.part", ".hidden", &format!("{uuid}.file0.x"), &format!("{uuid}.archive.x")];
    for name in names {
        fs::write(disk.incoming().join(name), "abc").unwrap();
    }
    for odd in Odd::ALL {
        odd.plant(&disk.incoming().join(format!("{}.part", Uuid::new_v4())));
        odd.plant(&disk.incoming().join(format!("{}.file0.{}", Uuid::new_v4(), sha1_of(b"abc"))));
        odd.plant(&disk.incoming().join(format!("{odd:?}")));
    }
    let before = disk.unfinished().len();
    let leftovers = disk.leftovers().await;
    // Files of four gigabytes are files.
    let found: Vec<_> = leftovers.iter().map(|leftover| matches!(leftover.content, Content::Part)).collect();
    assert_eq!((found.len(), found.iter().filter(|is_part| **is_part).count()), (2, 1), "{leftovers:?}");
    for leftover in leftovers {
        disk.storage.discard(leftover).await.unwrap();
    }
    assert_eq!(disk.unfinished().len(), before - 2);
    assert!(disk.leftovers().await.is_empty());
}

#[tokio::test]
async fn what_is_no_file_is_not_opened_as_one() {
    let disk = Disk::new();
    let storage = Storage::new(disk.storage.clone(), None);
    for odd in Odd::ALL {
        let uuid = Uuid::new_v4();
        fs::create_dir_all(disk.place(uuid).parent().unwrap()).unwrap();
        odd.plant(&disk.place(uuid));
        odd.plant(&disk.place(uuid).with_file_name("icon"));
        for asset in [Asset::File(0), Asset::Icon] {
            let sha256 = (asset != Asset::Icon).then(|| "x".to_owned());
            let (stor, sha1) = (Stor::Local, "x".to_owned());
            let location = Location { uuid, asset, stor, sha1, size: 3, md5: None, sha256, object: None };
            let opened = storage.open_verified(&location).await.unwrap_err();
            match odd {
                Odd::Huge => assert!(matches!(opened, StorageError::Damaged(_)), "{opened:?}"),
                _ => assert!(
                    matches!(&opened, StorageError::Io(error) if error.to_string().contains("file")),
                    "{opened:?}"
                ),
            }
        }
        let link = disk.storage.link(uuid, Uuid::new_v4(), Asset::File(0), "x").await;
        assert_eq!(link.is_ok(), odd == Odd::Huge, "{odd:?}");
        odd.plant(&disk.directory.path().join(format!("{odd:?}.json")));
        assert!(disk.storage.read_note(&format!("{odd:?}.json")).await.is_err(), "{odd:?}");
    }
}

#[tokio::test]
async fn the_archive_keeps_what_is_not_its_own() {
    let disk = Disk::new();
    let archive = disk.directory.path().join("archive");
    fs::create_dir_all(archive.join("lost+found")).unwrap();
    fs::create_dir_all(archive.join("abc")).unwrap();
    let uuid = Uuid::new_v4();
    let directory = archive.join(&uuid.to_string()[..3]);
    fs::create_dir_all(&directory).unwrap();
    Odd::Fifo.plant(&directory.join(format!("{uuid}.json")));
    let spool = disk.storage.spooled().await.unwrap();
    assert_eq!((spool.manifests.len(), spool.foreign.len()), (0, 1));
    assert!(archive.join("lost+found").exists() && !archive.join("abc").exists());
    assert!(disk.storage.open_spooled(uuid).await.is_err());
}
