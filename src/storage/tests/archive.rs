// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests of the archive of manifests, and of foreign entries in its directories.

use super::*;

async fn copy(disk: &Disk, uuid: Uuid, version: Version, text: &'static str) -> ArchiveCopy {
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
    refused.keep_on_drop();
    refused.discard();
    disk.until_unfinished(0).await;
    assert_eq!(fs::read(&place).unwrap(), b"first");

    copy(&disk, uuid, Version::Last, "second").await.commit().await.unwrap();
    assert_eq!(fs::read(&place).unwrap(), b"second");
    assert!(disk.incoming_files().is_empty());
}

#[tokio::test]
async fn what_nobody_says_of_a_written_record_stays_and_tells_its_image() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    for version in [Version::Current, Version::Last] {
        let mut unknown = copy(&disk, uuid, version, "{}").await;
        assert!(disk.leftovers().await.is_empty(), "somebody works on it");
        unknown.keep_on_drop();
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
        assert!(disk.incoming_files().is_empty());
    }
}

#[tokio::test]
async fn a_leftover_does_not_replace_a_version_that_was_archived_later() {
    let disk = Disk::new();
    let uuid = Uuid::new_v4();
    let place = disk.storage.archive_path(uuid);
    let mut unknown = copy(&disk, uuid, Version::Last, "first").await;
    unknown.keep_on_drop();
    drop(unknown);
    let leftover = disk.leftovers().await.remove(0);
    let second = copy(&disk, uuid, Version::Last, "second").await;
    second.commit().await.unwrap();
    // The two were written at different times, however coarse the clock of the file system is.
    let written = fs::metadata(&place).unwrap().modified().unwrap() + Duration::from_secs(1);
    fs::File::open(&place).unwrap().set_modified(written).unwrap();
    disk.storage.archive_leftover(leftover).await.unwrap();
    assert_eq!(fs::read(&place).unwrap(), b"second");
    disk.until_unfinished(0).await;
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
    // How often the directory may be removed during one commit: less often than the commit tries.
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
async fn what_is_not_from_here_stays_in_incoming_and_stops_nothing() {
    let disk = Disk::new();
    disk.storage.prepare().await.unwrap();
    let uuid = Uuid::new_v4();
    let names =
        ["lost+found", "x", "x.part", ".hidden", &format!("{uuid}.file0.x"), &format!("{uuid}.archive.x")];
    for name in names {
        fs::write(disk.incoming().join(name), "abc").unwrap();
    }
    for odd in SpecialFile::ALL {
        odd.plant(&disk.incoming().join(format!("{}.part", Uuid::new_v4())));
        odd.plant(&disk.incoming().join(format!("{}.file0.{}", Uuid::new_v4(), sha1_of(b"abc"))));
        odd.plant(&disk.incoming().join(format!("{odd:?}")));
    }
    let before = disk.incoming_files().len();
    let leftovers = disk.leftovers().await;
    // A file of four gigabytes is still a file.
    let found: Vec<_> = leftovers.iter().map(|leftover| matches!(leftover.content, Content::Part)).collect();
    assert_eq!((found.len(), found.iter().filter(|is_part| **is_part).count()), (2, 1), "{leftovers:?}");
    for leftover in leftovers {
        disk.storage.discard(leftover).await.unwrap();
    }
    assert_eq!(disk.incoming_files().len(), before - 2);
    assert!(disk.leftovers().await.is_empty());
}

#[tokio::test]
async fn what_is_no_file_is_not_opened_as_one() {
    let disk = Disk::new();
    let storage = Storage::new(disk.storage.clone(), None);
    for odd in SpecialFile::ALL {
        let uuid = Uuid::new_v4();
        fs::create_dir_all(disk.final_path(uuid).parent().unwrap()).unwrap();
        odd.plant(&disk.final_path(uuid));
        odd.plant(&disk.final_path(uuid).with_file_name("icon"));
        for asset in [Asset::File(0), Asset::Icon] {
            let sha256 = (asset != Asset::Icon).then(|| "x".to_owned());
            let (stor, sha1) = (Stor::Local, "x".to_owned());
            let location = Location { uuid, asset, stor, sha1, size: 3, md5: None, sha256, object: None };
            let opened = storage.open_verified(&location, Part::Whole).await.err().unwrap();
            match odd {
                SpecialFile::Huge => assert!(matches!(opened, StorageError::Damaged(_)), "{opened:?}"),
                _ => assert!(
                    matches!(&opened, StorageError::Io(error) if error.to_string().contains("file")),
                    "{opened:?}"
                ),
            }
        }
        let link = disk.storage.link(uuid, Uuid::new_v4(), Asset::File(0), "x").await;
        assert_eq!(link.is_ok(), odd == SpecialFile::Huge, "{odd:?}");
        odd.plant(&disk.directory.path().join(format!("{odd:?}.json")));
        assert!(disk.storage.read_state_file(&format!("{odd:?}.json")).await.is_err(), "{odd:?}");
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
    SpecialFile::Fifo.plant(&directory.join(format!("{uuid}.json")));
    let spool = disk.storage.spooled().await.unwrap();
    assert_eq!((spool.manifests.len(), spool.foreign.len()), (0, 1));
    assert!(archive.join("lost+found").exists() && !archive.join("abc").exists());
    assert!(disk.storage.open_spooled(uuid).await.is_err());
}
