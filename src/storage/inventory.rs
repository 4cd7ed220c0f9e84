//! What there is below `images`, whoever it belongs to: in the local storage and in Manta.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path as FilePath;
use std::time::{Duration, SystemTime};

use ::manta::{Entry, EntryKind, Path};
use futures_util::{StreamExt, TryStreamExt};

use super::temporary::{create_directories, sync_directory};
use super::{LocalStorage, MantaStorage, Storage, StorageError, blocking};
use crate::manifest::{Stor, Uuid};

/// More names than this are not looked at in one group.
const MOST: usize = 100_000;

/// A name below `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whose it is; `None` for what is no directory of an image, and in none.
    pub uuid: Option<Uuid>,
    /// The name in the image's directory, or the path below `images`.
    pub name: String,
    /// When it was written, where that is known.
    pub modified: Option<SystemTime>,
}

impl Item {
    /// Whether it has been there for so long, as far as the clocks agree.
    pub fn is_older_than(&self, age: Duration) -> bool {
        let now = SystemTime::now();
        self.modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|since| since >= age))
    }

    fn path(&self) -> String {
        match self.uuid {
            Some(uuid) => format!("{}/{uuid}/{}", group_of(uuid), self.name),
            None => self.name.clone(),
        }
    }
}

/// Which file it is, whatever its name.
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
    /// The names below `images`, in order: the first three characters of UUIDs.
    pub async fn groups(&self, stor: Stor) -> Result<Vec<String>, StorageError> {
        let mut groups = match stor {
            Stor::Local => self.local.groups().await?,
            Stor::Manta => self.manta()?.groups().await?,
        };
        groups.sort_unstable();
        Ok(groups)
    }

    /// What is in the directories of one group's images, and what else there is.
    pub async fn items(&self, stor: Stor, group: &str) -> Result<Vec<Item>, StorageError> {
        match stor {
            Stor::Local => self.local.items(group).await,
            Stor::Manta => self.manta()?.items(group).await,
        }
    }

    /// Whether it is still there.
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
            entries.take(MOST).map(|entry| Ok(name(&entry?))).collect()
        });
        Ok(found.await?)
    }

    async fn items(&self, group: &str) -> Result<Vec<Item>, StorageError> {
        let (directory, group) = (self.images().join(group), group.to_owned());
        Ok(blocking(move || items(&directory, &group)).await?)
    }

    async fn has(&self, item: &Item) -> Result<bool, StorageError> {
        let path = self.images().join(item.path());
        let looked = blocking(move || match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true),
        });
        Ok(looked.await?)
    }
}

impl LocalStorage {
    /// Which file an item is now; `None` for what is gone, or no file.
    pub async fn identity(&self, item: &Item) -> Result<Option<FileIdentity>, StorageError> {
        let path = self.images().join(item.path());
        Ok(blocking(move || identity(&path)).await?)
    }

    /// Moves a file that no record names out of the way, to the returned path below the base directory. Nothing is deleted.
    /// What has come to its place since it was `seen` is another file, and gets the place back: then `None`.
    pub async fn set_aside(&self, item: &Item, seen: FileIdentity) -> Result<Option<String>, StorageError> {
        let aside = format!("orphans/{}.{}", item.path(), Uuid::new_v4());
        let (from, to) = (self.images().join(item.path()), self.note(&aside));
        let moved = blocking(move || {
            if let Some(directory) = to.parent() {
                create_directories(directory)?;
            }
            match fs::rename(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                renamed => renamed?,
            }
            let is_it = identity(&to)? == Some(seen);
            if !is_it {
                match fs::hard_link(&to, &from) {
                    Ok(()) => fs::remove_file(&to)?,
                    // Another one came already. Both stay.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            from.parent().into_iter().chain(to.parent()).try_for_each(sync_directory)?;
            Ok(is_it.then_some(aside))
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

    async fn items(&self, group: &str) -> Result<Vec<Item>, StorageError> {
        let path = join(&self.images()?, group)?;
        let entries = match self.entries(&path).await {
            Err(StorageError::Manta(error)) if matches!(*error, ::manta::Error::NotADirectory) => {
                let modified = self.modified(&path).await?;
                return Ok(vec![Item { uuid: None, name: group.to_owned(), modified }]);
            }
            entries => entries?,
        };
        let mut found = Vec::new();
        for Entry { name, kind, modified, .. } in entries {
            match owner(group, &name).filter(|_| kind == EntryKind::Directory) {
                None => found.push(Item { uuid: None, name: format!("{group}/{name}"), modified }),
                Some(uuid) => {
                    let files = self.entries(&join(&path, &name)?).await?;
                    let items = files.into_iter();
                    found.extend(items.map(|Entry { name, modified, .. }| Item {
                        uuid: Some(uuid),
                        name,
                        modified,
                    }));
                }
            }
            if found.len() >= MOST {
                break;
            }
        }
        Ok(found)
    }

    async fn has(&self, item: &Item) -> Result<bool, StorageError> {
        let path = item.path().split('/').try_fold(self.images()?, |path, name| join(&path, name))?;
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

    /// What is in a directory, page by page; nothing where there is none.
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

fn items(directory: &FilePath, group: &str) -> io::Result<Vec<Item>> {
    let item = |uuid, name, entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        Item { uuid, name, modified }
    };
    let mut found = Vec::new();
    if !directory.is_dir() {
        let modified = directory.symlink_metadata().and_then(|metadata| metadata.modified()).ok();
        return Ok(vec![Item { uuid: None, name: group.to_owned(), modified }]);
    }
    for entry in entries(directory)? {
        let entry = entry?;
        let image = name(&entry);
        match owner(group, &image).filter(|_| entry.path().is_dir()) {
            None => found.push(item(None, format!("{group}/{image}"), &entry)),
            Some(uuid) => {
                for file in entries(&entry.path())? {
                    let file = file?;
                    found.push(item(Some(uuid), name(&file), &file));
                }
            }
        }
        if found.len() >= MOST {
            break;
        }
    }
    Ok(found)
}

/// Nothing where there is no such directory.
fn entries(directory: &FilePath) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten())
}

fn name(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
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
        assert_eq!(storage.groups(Stor::Local).await.unwrap(), ["356", "abc", "z"]);
        let mut found = Vec::new();
        for group in ["356", "abc", "z", "gone"] {
            for item in storage.items(Stor::Local, group).await.unwrap() {
                let is_there = group != "gone";
                assert_eq!(storage.has(Stor::Local, &item).await.unwrap(), is_there);
                assert!(!item.is_older_than(Duration::from_secs(3600)));
                assert_eq!(item.is_older_than(Duration::ZERO), is_there);
                found.push((item.uuid.is_some(), item.path()));
            }
        }
        found.sort_unstable();
        let expected = [
            (false, "356/other".to_owned()),
            (false, format!("abc/{uuid}")),
            (false, "gone".to_owned()),
            (false, "z".to_owned()),
            (true, format!("356/{uuid}/file0")),
            (true, format!("356/{uuid}/x")),
        ];
        assert_eq!(found, expected);
    }
}
