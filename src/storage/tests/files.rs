// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests of image files, and of what interrupted uploads leave behind.

use super::*;

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
        let (digests, _) = disk.storage.receive(ANYTHING, stream::iter([chunk])).await.unwrap();
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
            // Empty pieces do not end the body.
            let chunks = pieces.flat_map(|piece| [Ok::<_, Infallible>(piece), Ok(Bytes::new())]);
            let chunks: Vec<_> = chunks.collect();
            let expected = Expected { length: Some(size as u64), ..ANYTHING };
            let (digests, received) = disk.storage.receive(expected, stream::iter(chunks)).await.unwrap();
            assert_eq!(digests.size, size as u64);
            assert_eq!(digests.sha1, sha1_of(&bytes), "{size} bytes in pieces of {cut}");
            assert!(fs::read(only(&disk.incoming())).unwrap() == bytes, "{size} bytes in pieces of {cut}");
            drop(received);
            disk.until_unfinished(0).await;
        }
    }
}

#[tokio::test]
async fn the_limit_is_the_last_size_that_is_taken() {
    let disk = Disk::new();
    let expected = |limit| Expected { limit, ..ANYTHING };
    let (digests, received) = disk.storage.receive(expected(6), body([b"abc", b"def"])).await.unwrap();
    assert_eq!(digests.size, 6);
    drop(received);
    let refused = disk.storage.receive(expected(5), body([b"abc", b"def"])).await;
    assert!(matches!(refused, Err(ReceiveError::TooLarge { limit: 5 })), "{refused:?}");
    disk.until_unfinished(0).await;
}

#[tokio::test]
async fn nothing_remains_of_a_body_that_breaks_off() {
    let disk = Disk::new();
    let chunks = [Ok(Bytes::from_static(b"abc")), Err("gone"), Ok(Bytes::from_static(b"def"))];
    let broken = disk.storage.receive(Expected { length: Some(6), ..ANYTHING }, stream::iter(chunks)).await;
    assert!(matches!(broken, Err(ReceiveError::Body("gone"))), "{broken:?}");
    disk.until_unfinished(0).await;
}

#[tokio::test]
async fn nothing_remains_of_a_body_that_nobody_waits_for() {
    let disk = Disk::new();
    let storage = disk.storage.clone();
    let endless =
        stream::unfold((), |()| async { Some((Ok::<_, Infallible>(Bytes::from(vec![7; MIB])), ())) });
    let receiving = tokio::spawn(async move { storage.receive(ANYTHING, endless).await });
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
        storage.receive(Expected { length: Some(5), ..ANYTHING }, body)
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
    let staged = received.stage(target(uuid), sha1_of(b"abc")).await.unwrap();
    assert!(disk.leftovers().await.is_empty());
    assert_eq!(disk.incoming_files(), [format!("{uuid}.file0.{}", sha1_of(b"abc"))]);
    staged.discard().await.unwrap();
    assert!(disk.incoming_files().is_empty());
}

#[tokio::test]
async fn a_name_that_a_manifest_may_have_is_not_taken_from_it() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    let complete = disk.incoming().join(format!("{uuid}.file0.{sha1}"));
    // Perhaps a manifest named the file, or its last rename failed.
    disk.staged(uuid, b"abc").await.leave();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let first = inode(&complete);
    // The same bytes are staged once more, then discarded, then dropped, then settled.
    disk.staged(uuid, b"abc").await.discard().await.unwrap();
    drop(disk.staged(uuid, b"abc").await);
    disk.until_unfinished(1).await;
    assert_eq!((inode(&complete), disk.opened(uuid, &sha1).await), (first, b"abc".to_vec()));
    disk.staged(uuid, b"abc").await.settle().await.unwrap();
    disk.until_unfinished(0).await;
    assert_eq!(inode(&disk.final_path(uuid)), first);

    // A file with other bytes is repaired, and this upload still must not remove it.
    fs::write(&complete, "xyz").unwrap();
    disk.staged(uuid, b"abc").await.discard().await.unwrap();
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
    assert!(disk.incoming_files().is_empty());
}

#[tokio::test]
async fn what_was_left_for_the_sweep_says_whose_it_is_and_can_be_settled() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    disk.staged(uuid, b"abc").await.leave();
    assert_eq!(disk.opened(uuid, &sha1).await, b"abc");

    let mut leftovers = disk.leftovers().await;
    let leftover = leftovers.remove(0);
    let owner = Owner { uuid, asset: Asset::File(0), sha1: sha1.clone() };
    assert_eq!(leftover.content, Content::File(owner));
    disk.storage.settle_leftover(leftover).await.unwrap();
    assert!(disk.incoming_files().is_empty());
    assert_eq!(disk.opened(uuid, &sha1).await, b"abc");
    assert_eq!(fs::read(disk.final_path(uuid)).unwrap(), b"abc");
}

#[tokio::test]
async fn each_manifest_finds_its_own_bytes_while_a_file_is_replaced() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let (old, new) = (sha1_of(b"old"), sha1_of(b"new"));
    disk.staged(uuid, b"old").await.settle().await.unwrap();

    let refused = disk.staged(uuid, b"new").await;
    assert_eq!(disk.opened(uuid, &old).await, b"old");
    assert_eq!(disk.opened(uuid, &new).await, b"new");
    refused.discard().await.unwrap();
    assert!(disk.incoming_files().is_empty());
    assert_eq!(disk.opened(uuid, &old).await, b"old");

    disk.staged(uuid, b"new").await.settle().await.unwrap();
    assert_eq!(disk.opened(uuid, &new).await, b"new");
    assert!(disk.incoming_files().is_empty());
}

#[tokio::test]
async fn a_deleted_file_is_gone_from_every_place() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let sha1 = sha1_of(b"abc");
    disk.staged(uuid, b"abc").await.settle().await.unwrap();
    disk.staged(uuid, b"abc").await.leave();
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1.clone())]).await.unwrap();
    assert!(disk.incoming_files().is_empty());
    assert!(!disk.final_path(uuid).parent().unwrap().exists());
    let missing = disk.storage.open(uuid, 0, &sha1).await;
    assert!(matches!(missing, Err(StorageError::NotFound(_))), "{missing:?}");
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1)]).await.expect("what is gone already is deleted");
}

#[tokio::test]
async fn deleting_keeps_what_somebody_else_put_beside() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    disk.staged(uuid, b"abc").await.settle().await.unwrap();
    let other = disk.final_path(uuid).with_file_name("file1");
    fs::write(&other, "other").unwrap();
    disk.storage.delete(uuid, vec![(Asset::File(0), sha1_of(b"abc"))]).await.unwrap();
    assert!(!disk.final_path(uuid).exists());
    assert_eq!(fs::read(other).unwrap(), b"other");
}

#[tokio::test]
async fn a_storage_without_its_directory_says_so() {
    let disk = Disk::new();
    fs::write(disk.incoming(), "a file where the directory should be").unwrap();
    let failed = disk.storage.receive(ANYTHING, body([b"abc"])).await;
    assert!(matches!(failed, Err(ReceiveError::Storage(StorageError::Io(_)))), "{failed:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let chunks = stream::iter((0..8).map(|_| Ok::<_, Infallible>(Bytes::from(vec![1; MIB]))));
    let mut sink = crate::storage::ingest::FileSink::new(full, None).await.unwrap();
    let failed = crate::storage::ingest::ingest(&mut sink, ANYTHING, chunks).await;
    assert!(matches!(failed, Err(ReceiveError::Storage(StorageError::NoSpace))), "{failed:?}");
}

#[tokio::test]
async fn a_file_has_a_second_name_until_one_of_them_goes() {
    let disk = Disk::new();
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    let sha1 = sha1_of(b"abc");
    disk.staged(old, b"abc").await.settle().await.unwrap();
    let link = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap();
    assert_eq!(disk.opened(new, &sha1).await, b"abc");
    // The lock keeps the sweep from taking it for a leftover.
    assert!(disk.leftovers().await.is_empty());
    link.leave();
    let leftover = disk.leftovers().await.remove(0);
    assert!(leftover.shares_its_bytes());
    // A request that judges the file keeps others away.
    let busy = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap_err();
    assert!(matches!(busy, StorageError::Io(error) if error.kind() == io::ErrorKind::WouldBlock));
    drop(leftover);
    // A file from before stays, whatever becomes of the second link.
    disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap().discard().await.unwrap();
    assert_eq!(disk.opened(new, &sha1).await, b"abc");
    disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap().settle().await.unwrap();
    disk.storage.delete(old, vec![(Asset::File(0), sha1.clone())]).await.unwrap();
    assert_eq!((disk.opened(new, &sha1).await, disk.incoming_files().len()), (b"abc".to_vec(), 0));
    let gone = disk.storage.link(old, new, Asset::File(0), &sha1).await.unwrap_err();
    assert!(matches!(gone, StorageError::NotFound(_)));
}

#[tokio::test]
async fn a_copy_has_the_digests_of_what_was_read() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let bytes: &'static [u8] = Box::leak(vec![7; 3 * MIB + 1].into_boxed_slice());
    let storage = Storage::new(disk.storage.clone(), None);
    let (asset, stor) = (Asset::Icon, Stor::Local);
    let original = Target { asset, ..target(uuid) };
    let upload = storage.receive(original, ANYTHING, body([bytes])).await.unwrap();
    let digests = upload.digests.clone();
    upload.stage().await.unwrap().settle().await.unwrap();
    let location = Location {
        uuid,
        asset,
        stor,
        sha1: digests.sha1.clone(),
        size: digests.size,
        md5: None,
        sha256: None,
        object: None,
    };
    let target = Target { uuid: Uuid::new_v4(), asset, stor, replaces: false };
    let copy = storage.copy(&location, target).await.unwrap();
    assert_eq!(copy.digests, digests);
    drop(copy);
    disk.until_unfinished(0).await;
    assert!(storage.open_verified(&location, Part::Whole).await.is_ok());
    fs::write(disk.final_path(uuid).with_file_name("icon"), "changed").unwrap();
    let changed = storage.open_verified(&location, Part::Whole).await.err();
    assert!(matches!(changed, Some(StorageError::Damaged(_))), "{changed:?}");
    assert_ne!(storage.copy(&location, target).await.unwrap().digests, digests);
    let elsewhere = Location { stor: Stor::Manta, ..location };
    assert!(matches!(storage.open(&elsewhere, Part::Nothing).await, Err(StorageError::Absent(Stor::Manta))));
}
