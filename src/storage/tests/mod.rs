// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests with files on a real disk, in every state between the first byte and the last rename.

mod archive;
mod files;

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

use super::local_upload::{LocalStaged, LocalUpload};
use super::{
    ArchiveCopy, Asset, Content, Expected, Leftover, LocalStorage, Location, Owner, Part, ReceiveError,
    Storage, StorageError, Target, Version,
};
use crate::files::planted::SpecialFile;
use crate::manifest::{Stor, Uuid};

const MIB: usize = 1 << 20;
const ANYTHING: Expected = Expected { length: None, limit: u64::MAX, digests: None };

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

    fn final_path(&self, uuid: Uuid) -> PathBuf {
        let uuid = uuid.to_string();
        self.directory.path().join("images").join(&uuid[..3]).join(uuid).join("file0")
    }

    /// The names in `incoming`.
    fn incoming_files(&self) -> Vec<String> {
        let names = fs::read_dir(self.incoming()).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Waits until `incoming` has so many files: dropped files are removed in the background.
    async fn until_unfinished(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.incoming_files().len() != count {
            assert!(Instant::now() < end, "{:?} in place of {count}", self.incoming_files());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The files in `incoming` that nobody uses.
    async fn leftovers(&self) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        for unfinished in self.storage.incoming_files().await.unwrap() {
            leftovers.extend(self.storage.claim(unfinished).await.unwrap());
        }
        leftovers
    }

    async fn received(&self, bytes: &'static [u8]) -> LocalUpload {
        let expected = Expected { length: Some(bytes.len() as u64), ..ANYTHING };
        self.storage.receive(expected, body([bytes])).await.unwrap().1
    }

    /// Stages the first file of an image, for its manifest to name.
    async fn staged(&self, uuid: Uuid, bytes: &'static [u8]) -> LocalStaged {
        self.received(bytes).await.stage(target(uuid), sha1_of(bytes)).await.unwrap()
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

fn target(uuid: Uuid) -> Target {
    Target { uuid, asset: Asset::File(0), stor: Stor::Local, replaces: false }
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
