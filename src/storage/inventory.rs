// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Lists everything below `images`, known or not, in the local storage and in Manta.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use ::manta::{Entry, EntryKind, Path};
use futures_util::{StreamExt, TryStreamExt};

use super::{LocalStorage, MantaStorage, Storage, StorageError, blocking};
use crate::files;
use crate::manifest::{Stor, Uuid};

/// Most names that are read in one group.
const MOST: usize = 100_000;

/// A file or other entry below `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The image whose directory it is in; `None` if it is not in the directory of an image.
    pub uuid: Option<Uuid>,
    /// Its name in the image's directory, or its path below `images`. Bytes of a name on disk that are no UTF-8 are written as
    /// `\xNN`.
    pub name: String,
    /// When it was last written, if that is known.
    pub modified: Option<SystemTime>,
    /// Whether it is a regular file or an object, and no directory, FIFO or link.
    pub is_file: bool,
    /// The unchanged path below `images`.
    path: PathBuf,
}

impl Item {
    /// Returns whether it is at least this old. Clocks of different machines may differ a little.
    pub fn is_older_than(&self, age: Duration) -> bool {
        let now = SystemTime::now();
        self.modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|since| since >= age))
    }

    /// The entry at a path on disk.
    fn on_disk(uuid: Option<Uuid>, path: PathBuf, known: Option<&fs::Metadata>) -> Item {
        let name = match uuid {
            Some(_) => path.file_name().map(files::readable).unwrap_or_default(),
            None => files::readable(&path),
        };
        let modified = known.and_then(|known| known.modified().ok());
        Item { uuid, name, modified, is_file: known.is_some_and(fs::Metadata::is_file), path }
    }

    /// The entry with this name in Manta.
    fn in_manta(uuid: Option<Uuid>, name: String, modified: Option<SystemTime>, is_file: bool) -> Item {
        let path = match uuid {
            Some(uuid) => format!("{}/{uuid}/{name}", group_of(uuid)),
            None => name.clone(),
        };
        Item { uuid, name, modified, is_file, path: path.into() }
    }
}

/// The contents of one group.
#[derive(Debug, Default)]
pub struct Group {
    /// The entries in the directories of images, and all others.
    pub items: Vec<Item>,
    /// Empty directories of images in Manta.
    pub empty: Vec<Item>,
}

/// Identifies a file on disk, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// The image whose directory has this name in this group.
fn owner(group: &str, directory: &str) -> Option<Uuid> {
    directory.parse().ok().filter(|uuid| group_of(*uuid) == group)
}

fn group_of(uuid: Uuid) -> String {
    uuid.to_string()[..3].to_owned()
}

impl Storage {
    /// The groups below `images`, in order: the first three characters of UUIDs.
    pub async fn groups(&self, stor: Stor) -> Result<Vec<String>, StorageError> {
        let mut groups = match stor {
            Stor::Local => self.local.groups().await?,
            Stor::Manta => self.manta()?.groups().await?,
        };
        groups.sort_unstable();
        Ok(groups)
    }

    /// The contents of one group.
    pub async fn group(&self, stor: Stor, group: &str) -> Result<Group, StorageError> {
        match stor {
            Stor::Local => Ok(Group { items: self.local.items(group).await?, empty: Vec::new() }),
            Stor::Manta => self.manta()?.group(group).await,
        }
    }

    /// Returns whether an entry still exists.
    pub async fn has(&self, stor: Stor, item: &Item) -> Result<bool, StorageError> {
        match stor {
            Stor::Local => self.local.has(item).await,
            Stor::Manta => self.manta()?.has(item).await,
        }
    }
}

impl LocalStorage {
    async fn groups(&self) -> Result<Vec<String>, StorageError> {
        let images = self.images();
        let found = blocking(move || {
            let entries = entries(&images)?;
            entries.take(MOST).map(|entry| Ok(files::readable(entry?.file_name()))).collect()
        });
        Ok(found.await?)
    }

    async fn items(&self, group: &str) -> Result<Vec<Item>, StorageError> {
        let (images, group) = (self.images(), group.to_owned());
        Ok(blocking(move || items(&images, &group)).await?)
    }

    async fn has(&self, item: &Item) -> Result<bool, StorageError> {
        let path = self.images().join(&item.path);
        let looked = blocking(move || match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true),
        });
        Ok(looked.await?)
    }
}

impl LocalStorage {
    /// Returns the identity of the file that has the item's name now; `None` if there is none, or it is no file.
    pub async fn identity(&self, item: &Item) -> Result<Option<FileIdentity>, StorageError> {
        let path = self.images().join(&item.path);
        Ok(blocking(move || identity(&path)).await?)
    }

    /// Moves a file that no record names to the returned path below the base directory. Nothing is deleted. If another file
    /// than the one `seen` has the name now, that file is moved back, and `None` is returned.
    pub async fn set_aside(&self, item: &Item, seen: FileIdentity) -> Result<Option<String>, StorageError> {
        let mut aside = FilePath::new("orphans").join(&item.path).into_os_string();
        aside.push(format!(".{}", Uuid::new_v4()));
        let base = self.base().to_owned();
        let (from, to) = (self.images().join(&item.path), base.join(&aside));
        let moved = blocking(move || {
            if let Some(directory) = to.parent() {
                files::create_below(&base, directory)?;
            }
            match fs::rename(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                renamed => renamed?,
            }
            let is_it = identity(&to)? == Some(seen);
            if !is_it {
                match fs::hard_link(&to, &from) {
                    Ok(()) => fs::remove_file(&to)?,
                    // A third file has got the name already. Both stay.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            from.parent().into_iter().chain(to.parent()).try_for_each(files::sync_directory)?;
            Ok(is_it.then(|| files::readable(aside)))
        });
        Ok(moved.await?)
    }
}

fn identity(path: &FilePath) -> io::Result<Option<FileIdentity>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(known) if !known.is_file() => Ok(None),
        known => known.map(|known| Some(FileIdentity { device: known.dev(), inode: known.ino() })),
    }
}

impl MantaStorage {
    async fn groups(&self) -> Result<Vec<String>, StorageError> {
        let entries = self.entries(&self.images()?).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    async fn group(&self, group: &str) -> Result<Group, StorageError> {
        let mut found = Group::default();
        let path = join(&self.images()?, group)?;
        let entries = match self.entries(&path).await {
            Err(StorageError::Manta(error)) if matches!(*error, ::manta::Error::NotADirectory) => {
                let modified = self.modified(&path).await?;
                found.items.push(Item::in_manta(None, group.to_owned(), modified, true));
                return Ok(found);
            }
            entries => entries?,
        };
        for Entry { name, kind, modified, .. } in entries {
            let is_file = kind == EntryKind::Object;
            match owner(group, &name).filter(|_| kind == EntryKind::Directory) {
                None => found.items.push(Item::in_manta(None, format!("{group}/{name}"), modified, is_file)),
                Some(uuid) => {
                    let files = self.entries(&join(&path, &name)?).await?;
                    if files.is_empty() {
                        found.empty.push(Item::in_manta(Some(uuid), String::new(), modified, false));
                    }
                    found.items.extend(files.into_iter().map(|Entry { name, kind, modified, .. }| {
                        Item::in_manta(Some(uuid), name, modified, kind == EntryKind::Object)
                    }));
                }
            }
            if found.items.len() >= MOST {
                break;
            }
        }
        Ok(found)
    }

    async fn has(&self, item: &Item) -> Result<bool, StorageError> {
        let mut names = item.path.to_str().unwrap_or_default().split('/');
        let path = names.try_fold(self.images()?, |path, name| join(&path, name))?;
        match self.client().await?.head(&path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn modified(&self, path: &Path) -> Result<Option<SystemTime>, StorageError> {
        match self.client().await?.head(path).await {
            Ok(known) => Ok(known.last_modified),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The entries of a directory in Manta, page by page; empty if it does not exist.
    async fn entries(&self, directory: &Path) -> Result<Vec<Entry>, StorageError> {
        match self.client().await?.list(directory).take(MOST).try_collect().await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            entries => Ok(entries?),
        }
    }
}

fn join(directory: &Path, name: &str) -> Result<Path, StorageError> {
    directory.join(name).map_err(|_| StorageError::InvalidName)
}

fn items(images: &FilePath, group: &str) -> io::Result<Vec<Item>> {
    let name = raw_name(images, group)?;
    let directory = images.join(&name);
    let mut found = Vec::new();
    let Some(entries) = entries_of(&directory)? else {
        return Ok(vec![Item::on_disk(None, name, directory.symlink_metadata().ok().as_ref())]);
    };
    for entry in entries {
        let entry = entry?;
        let (path, known) = (name.join(entry.file_name()), entry.metadata().ok());
        let image = entry.file_name().to_str().and_then(|image| owner(group, image));
        let files = match image {
            Some(uuid) => entries_of(&entry.path())?.map(|files| (uuid, files)),
            None => None,
        };
        let Some((uuid, files)) = files else {
            found.push(Item::on_disk(None, path, known.as_ref()));
            continue;
        };
        for file in files {
            let file = file?;
            found.push(Item::on_disk(Some(uuid), path.join(file.file_name()), file.metadata().ok().as_ref()));
        }
        if found.len() >= MOST {
            break;
        }
    }
    Ok(found)
}

/// The name of a group as it is on disk.
fn raw_name(images: &FilePath, group: &str) -> io::Result<PathBuf> {
    if !group.contains('\\') {
        return Ok(group.into());
    }
    for entry in entries(images)? {
        let name = entry?.file_name();
        if files::readable(&name) == group {
            return Ok(name.into());
        }
    }
    Ok(group.into())
}

/// The entries of a directory. `None` if it is no directory, such as a link to one, or may not be read, such as a file system's
/// `lost+found`.
fn entries_of(
    directory: &FilePath,
) -> io::Result<Option<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>>> {
    if directory.is_symlink() {
        return Ok(None);
    }
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotADirectory | io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The entries of a directory; empty if it does not exist.
fn entries(directory: &FilePath) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_names_are_found_with_those_they_belong_to() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::new(LocalStorage::new(directory.path().to_owned()), None);
        assert_eq!(storage.groups(Stor::Local).await.unwrap(), Vec::<String>::new());
        let uuid = "3560c262-fc65-0242-a446-7c6d1fb482e3";
        let images = directory.path().join("images");
        for path in [format!("356/{uuid}"), "356/other".into(), format!("abc/{uuid}")] {
            fs::create_dir_all(images.join(path)).unwrap();
        }
        for path in [format!("356/{uuid}/file0"), format!("356/{uuid}/x"), "356/other/y".into(), "z".into()] {
            fs::write(images.join(path), "").unwrap();
        }
        // Links in the place of an image's directory, and of a group: to themselves, and out of the base directory.
        let elsewhere = tempfile::tempdir().unwrap();
        let [looped, linked] =
            ["abcdef62-fc65-0242-a446-7c6d1fb482e3", "abcdef63-fc65-0242-a446-7c6d1fb482e3"];
        fs::create_dir_all(elsewhere.path().join(linked)).unwrap();
        for path in ["file0".to_owned(), format!("{linked}/file0")] {
            fs::write(elsewhere.path().join(path), "").unwrap();
        }
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        for path in [format!("abc/{looped}"), "def".into()] {
            link(images.join(&path), images.join(&path)).unwrap();
        }
        link(elsewhere.path().join(linked), images.join(format!("abc/{linked}"))).unwrap();
        link(elsewhere.path().to_owned(), images.join("fed")).unwrap();
        assert_eq!(storage.groups(Stor::Local).await.unwrap(), ["356", "abc", "def", "fed", "z"]);
        let mut found = Vec::new();
        for group in ["356", "abc", "def", "fed", "z", "gone"] {
            for item in storage.group(Stor::Local, group).await.unwrap().items {
                let is_there = group != "gone";
                assert_eq!(storage.has(Stor::Local, &item).await.unwrap(), is_there);
                assert!(!item.is_older_than(Duration::from_secs(3600)));
                assert_eq!(item.is_older_than(Duration::ZERO), is_there);
                found.push((item.uuid.is_some(), item.path.to_str().unwrap().to_owned()));
            }
        }
        found.sort_unstable();
        let expected = [
            (false, "356/other".to_owned()),
            (false, format!("abc/{uuid}")),
            (false, format!("abc/{looped}")),
            (false, format!("abc/{linked}")),
            (false, "def".to_owned()),
            (false, "fed".to_owned()),
            (false, "gone".to_owned()),
            (false, "z".to_owned()),
            (true, format!("356/{uuid}/file0")),
            (true, format!("356/{uuid}/x")),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_name_that_is_no_utf8_is_told_and_can_be_moved() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::new(LocalStorage::new(directory.path().to_owned()), None);
        let uuid = Uuid::new_v4();
        let images = directory.path().join("images");
        let image = images.join(group_of(uuid)).join(uuid.to_string());
        fs::create_dir_all(&image).unwrap();
        fs::write(image.join(OsStr::from_bytes(b"file\xff")), "abc").unwrap();
        fs::create_dir(image.join("below")).unwrap();
        fs::create_dir_all(images.join(OsStr::from_bytes(b"z\xfe")).join("x")).unwrap();
        let groups = storage.groups(Stor::Local).await.unwrap();
        assert_eq!(groups, [group_of(uuid), "z\\xfe".to_owned()]);
        let mut found = storage.group(Stor::Local, &groups[0]).await.unwrap().items;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<_> = found.iter().map(|item| (item.name.as_str(), item.is_file)).collect();
        assert_eq!(names, [("below", false), ("file\\xff", true)]);
        assert!(storage.has(Stor::Local, &found[1]).await.unwrap());
        assert_eq!(storage.local.identity(&found[0]).await.unwrap(), None);
        let seen = storage.local.identity(&found[1]).await.unwrap().unwrap();
        let moved = storage.local.set_aside(&found[1], seen).await.unwrap().unwrap();
        assert!(moved.contains("file\\xff."), "{moved}");
        assert_eq!(fs::read_dir(&image).unwrap().count(), 1);
        let strange = storage.group(Stor::Local, &groups[1]).await.unwrap().items;
        assert_eq!(strange[0].name, "z\\xfe/x");
        assert!(storage.has(Stor::Local, &strange[0]).await.unwrap());
    }
}
