// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The content of an object while it is received.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use tempfile::TempPath;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Maximum number of pieces that wait for the disk. A piece is the result of one read from the socket, at most some hundred KiB.
const PIECES: usize = 8;

/// A file that is being written. It is removed unless it is completed and kept.
#[derive(Debug)]
pub(in crate::manta) struct Content {
    etag: String,
    path: TempPath,
    pieces: mpsc::Sender<Bytes>,
    writer: JoinHandle<io::Result<Md5>>,
}

/// A complete file. It is removed unless it is kept.
#[derive(Debug)]
pub(in crate::manta) struct Complete {
    /// Etag of the object, and name of the file.
    pub(in crate::manta) etag: String,
    /// MD5 of the content, in base64.
    pub(in crate::manta) md5: String,
    path: TempPath,
}

impl Content {
    /// Creates a file with a new name. Blocks.
    pub(super) fn create(objects: &Path) -> io::Result<Self> {
        let etag = Uuid::new_v4().to_string();
        let path = objects.join(&etag);
        let mut file = File::create_new(&path)?;
        let path = TempPath::try_from_path(path)?;
        let (pieces, mut queue) = mpsc::channel::<Bytes>(PIECES);
        let writer = tokio::task::spawn_blocking(move || {
            let mut md5 = Md5::new();
            while let Some(piece) = queue.blocking_recv() {
                file.write_all(&piece)?;
                md5.update(&piece);
            }
            Ok(md5)
        });
        Ok(Self { etag, path, pieces, writer })
    }

    /// Appends a piece. Waits while the disk is slower.
    ///
    /// # Errors
    ///
    /// Fails if the disk has failed; [`complete`](Self::complete) returns the reason.
    pub(in crate::manta) async fn write(&self, piece: Bytes) -> Result<(), DiskFailed> {
        self.pieces.send(piece).await.map_err(|_| DiskFailed)
    }

    /// Waits until everything is written.
    pub(in crate::manta) async fn complete(self) -> io::Result<Complete> {
        drop(self.pieces);
        let md5 = self.writer.await.map_err(io::Error::other)??;
        Ok(Complete { etag: self.etag, md5: STANDARD.encode(md5.finalize()), path: self.path })
    }
}

/// The disk accepts no more data.
#[derive(Debug, thiserror::Error)]
#[error("the content cannot be written")]
pub(in crate::manta) struct DiskFailed;

impl Complete {
    /// Keeps the file, because an entry names it.
    pub(super) fn keep(self) -> io::Result<()> {
        self.path.keep().map(drop).map_err(io::Error::from)
    }
}
