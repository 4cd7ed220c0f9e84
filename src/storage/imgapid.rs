// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The data directory of `imgapid`, the small image server of github.com/trondn/imgapi.
//!
//! It has a directory for each image, named after the UUID: `manifest.json`, the file as `image.bz2`, `image.gz` or `image`, and
//! the icon as `icon.png`, `icon.jpg` or `icon.gif`.

use std::fs;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::{LocalStorage, StorageError, blocking};
use crate::files;
use crate::manifest::Uuid;

/// Where the directories of images are moved that have been taken over.
const TAKEN_OVER: &str = "imgapid";
const MANIFEST: &str = "manifest.json";
/// The names of the file, in the order in which `imgapid` looks for them.
const FILES: [&str; 3] = ["image.bz2", "image.gz", "image"];
/// The names of the icon, with its media types.
const ICONS: [(&str, &str); 3] =
    [("icon.png", "image/png"), ("icon.jpg", "image/jpeg"), ("icon.gif", "image/gif")];
const MAX_MANIFEST: u64 = 4 << 20;

/// An image of `imgapid`.
#[derive(Debug)]
pub struct ImgapidImage {
    /// The text of the manifest.
    pub manifest: Vec<u8>,
    /// The image's file.
    pub file: Option<ImgapidFile>,
    /// The image's icon, and its media type.
    pub icon: Option<(ImgapidFile, &'static str)>,
}

/// A file of `imgapid`.
#[derive(Debug)]
pub struct ImgapidFile {
    /// Its path.
    pub path: PathBuf,
    /// When it was last written.
    pub modified: OffsetDateTime,
}

impl LocalStorage {
    /// Returns the UUIDs of the images of `imgapid` in the base directory.
    pub async fn imgapid_images(&self) -> Result<Vec<Uuid>, StorageError> {
        let base = self.base().to_owned();
        let found = blocking(move || {
            let mut uuids = Vec::new();
            for entry in fs::read_dir(&base)? {
                let uuid = entry?.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok());
                uuids.extend(uuid.filter(|uuid| is_there(&base.join(uuid.to_string()).join(MANIFEST))));
            }
            Ok(uuids)
        });
        Ok(found.await?)
    }

    /// Reads the manifest of an image of `imgapid`, and finds its files.
    pub async fn imgapid_image(&self, uuid: Uuid) -> Result<ImgapidImage, StorageError> {
        let directory = self.base().join(uuid.to_string());
        let read = blocking(move || {
            let find = |name: &str| {
                let path = directory.join(name);
                let modified = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified()).ok()?;
                Some(ImgapidFile { path, modified: modified.into() })
            };
            Ok(ImgapidImage {
                manifest: files::read(&directory.join(MANIFEST), MAX_MANIFEST)?,
                file: FILES.into_iter().find_map(find),
                icon: ICONS.into_iter().find_map(|(name, media_type)| Some((find(name)?, media_type))),
            })
        });
        Ok(read.await?)
    }

    /// Moves the directory of an image of `imgapid` aside, durably.
    pub async fn put_imgapid_image_aside(&self, uuid: Uuid) -> Result<(), StorageError> {
        let base = self.base().to_owned();
        let moved = blocking(move || {
            let taken_over = base.join(TAKEN_OVER);
            files::create_below(&base, &taken_over)?;
            let name = uuid.to_string();
            fs::rename(base.join(&name), taken_over.join(&name))?;
            files::sync_directory(&taken_over)?;
            files::sync_directory(&base)
        });
        Ok(moved.await?)
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
