// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stores files in Manta.
//!
//! | Object below the root directory | Contents |
//! | --- | --- |
//! | `images/<first 3 characters of the UUID>/<uuid>/file0`, `file1`, `icon` | an image's files, where 4.13.1 looks for them |
//! | `images/…/<uuid>/<asset>.<id>` | a replacement of a file, until the old object can be deleted |
//! | `archive/<first 3>/<uuid>.json` | the last version of each manifest |
//!
//! Manta has no rename. An object appears with its last byte, and replaces an earlier object of the same name. So the last
//! bytes of an upload are held back until all bytes have been verified: an upload that fails or breaks off changes nothing. An
//! upload uses the final name only if no object has it yet, which Manta checks again when it commits. A replacement of a file
//! gets a name of its own, which the record keeps (`object`) until the bytes have been copied to the final name. So at every
//! moment the record names bytes that exist.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use manta::{Client, ErrorCode, NewObject, Path, Precondition, Stored};

use super::claims::Claims;
use super::deletion::Object;
use super::{Location, MantaConnection, StorageError};
use crate::config;
use crate::manifest::{OwnName, Uuid};

pub(super) const CONTENT_TYPE: &str = "application/octet-stream";

/// The storage below the configured root directory.
#[derive(Debug, Clone)]
pub struct MantaStorage(pub(super) Arc<MantaStorageInner>);

#[derive(Debug)]
pub(super) struct MantaStorageInner {
    connection: MantaConnection,
    pub(super) claims: Claims,
}

/// The object that has a name, if any, and the condition under which a write replaces exactly that object.
#[derive(Debug)]
pub struct Occupant {
    pub(super) precondition: Precondition,
    pub(super) md5: Option<[u8; 16]>,
    stored: Option<SystemTime>,
}

impl Occupant {
    /// Returns whether the name is free, or has the object that `own` is known to displace.
    pub fn may_be_replaced(&self, own: &OwnName) -> bool {
        let displaced = own.displaces.as_deref().and_then(super::md5_bytes);
        self.is_absent() || (self.md5.is_some() && self.md5 == displaced)
    }

    /// Returns whether the name is free.
    pub fn is_absent(&self) -> bool {
        self.precondition == Precondition::Absent
    }

    /// Returns whether the object is at least this old. The clocks of the machines may differ a little.
    pub fn is_older_than(&self, age: Duration) -> bool {
        self.was_there_for(age, SystemTime::now())
    }

    /// Returns whether the object was at least this old at another time.
    pub fn was_there_for(&self, age: Duration, at: SystemTime) -> bool {
        self.stored.is_some_and(|stored| at.duration_since(stored).is_ok_and(|since| since >= age))
    }

    /// Returns whether the object was stored at least this long after another time.
    pub fn came_after(&self, time: Duration, at: SystemTime) -> bool {
        self.stored.is_some_and(|stored| stored.duration_since(at).is_ok_and(|since| since >= time))
    }
}

impl MantaStorage {
    /// The storage of one configuration. Manta is not asked for anything yet.
    pub fn new(connection: MantaConnection) -> MantaStorage {
        MantaStorage(Arc::new(MantaStorageInner { connection, claims: Claims::default() }))
    }

    /// The storage of the next configuration in the same process.
    #[must_use]
    pub fn reconfigured(&self, connection: MantaConnection) -> MantaStorage {
        MantaStorage(Arc::new(MantaStorageInner { connection, claims: self.0.claims.clone() }))
    }

    /// Returns whether both are the same storage.
    pub fn ptr_eq(&self, other: &MantaStorage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether the storage uses this connection.
    pub fn uses(&self, connection: &MantaConnection) -> bool {
        self.0.connection.ptr_eq(connection)
    }

    fn config(&self) -> &config::Manta {
        self.0.connection.config()
    }

    /// Returns whether Manta is configured as remote.
    pub fn is_remote(&self) -> bool {
        self.config().remote
    }

    pub(super) fn root_dir(&self) -> &str {
        &self.config().root_dir
    }

    pub(super) async fn client(&self) -> Result<Client, StorageError> {
        self.0.connection.client().await.map_err(StorageError::MantaUnusable)
    }

    /// The directory of all images.
    pub(super) fn images(&self) -> Result<Path, StorageError> {
        parse(&format!("{}/images", self.config().root_dir))
    }

    fn directory(&self, uuid: Uuid) -> Result<Path, StorageError> {
        let uuid = uuid.to_string();
        parse(&format!("{}/images/{}/{uuid}", self.config().root_dir, &uuid[..3]))
    }

    pub(super) fn object(&self, uuid: Uuid, name: &str) -> Result<Path, StorageError> {
        self.directory(uuid)?.join(name).map_err(|_| StorageError::InvalidName)
    }

    pub(super) fn path_of(&self, location: &Location) -> Result<Path, StorageError> {
        match &location.object {
            Some(own) => self.object(location.uuid, &own.name),
            None => self.object(location.uuid, &location.asset.to_string()),
        }
    }

    /// Asks Manta for the directory of all images. Its absence is no error.
    pub async fn probe(&self) -> Result<(), StorageError> {
        match self.client().await?.head(&self.images()?).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The URL of Manta.
    pub fn url(&self) -> &str {
        &self.config().url
    }

    /// Returns whether there is a directory at any path in Manta.
    pub async fn is_directory(&self, path: &str) -> Result<bool, StorageError> {
        match self.client().await?.head(&parse(path)?).await {
            Ok(known) => Ok(known.is_directory()),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a manifest to any path in Manta.
    pub async fn export_manifest(&self, path: &str, manifest: Vec<u8>) -> Result<(), StorageError> {
        let new = NewObject { content_type: Some("application/json".to_owned()), ..NewObject::default() };
        self.client().await?.put_bytes(&parse(path)?, manifest.into(), &new).await?;
        Ok(())
    }

    /// Copies a stored file to any path in Manta.
    pub async fn export_file(&self, location: &Location, path: &str) -> Result<(), StorageError> {
        self.copy_to(location, &parse(path)?, Precondition::Any, false).await.map(drop)
    }

    /// The objects of a stored file that its record names: the object at the final name, or the object with a name of its own
    /// together with the object that it displaces.
    pub(super) async fn objects_of(&self, location: &Location) -> Result<Vec<Object>, StorageError> {
        let own = location.object.as_ref();
        let mut objects = Vec::new();
        if let Some(own) = own {
            objects.push(Object { path: self.object(location.uuid, &own.name)?, etag: None });
        }
        let md5 = own.map_or(&location.md5, |own| &own.displaces).as_deref().and_then(super::md5_bytes);
        if own.is_some() && md5.is_none() {
            return Ok(objects);
        }
        let occupant = self.occupant(location).await?;
        // An object with other bytes may belong to an upload that took the final name because the file was missing.
        let is_it = occupant.md5 == md5 || own.is_none() && (md5.is_none() || occupant.md5.is_none());
        objects.extend(self.object_at_final_name(location, occupant).filter(|_| is_it));
        Ok(objects)
    }

    /// The object at the final name of a file, if it is at least `age` old.
    pub(super) async fn old_object(
        &self,
        location: &Location,
        age: Duration,
    ) -> Result<Option<Object>, StorageError> {
        let occupant = self.occupant(location).await?;
        let is_old = occupant.is_older_than(age);
        Ok(self.object_at_final_name(location, occupant).filter(|_| is_old))
    }

    fn object_at_final_name(&self, location: &Location, occupant: Occupant) -> Option<Object> {
        let path = self.object(location.uuid, &location.asset.to_string()).ok()?;
        match occupant.precondition {
            Precondition::Etag(etag) => Some(Object { path, etag: Some(etag) }),
            _ => None,
        }
    }

    /// Deletes the directory of an image, if it is empty.
    pub(super) async fn delete_directory(&self, uuid: Uuid) -> Result<(), StorageError> {
        match self.client().await?.delete(&self.directory(uuid)?, None).await {
            Err(error) if error.code() == Some(ErrorCode::DirectoryNotEmpty) || error.is_not_found() => {
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// Deletes an object, if it still has this etag. A missing object is no error.
    pub(super) async fn delete_object(&self, path: &Path, etag: Option<&str>) -> Result<(), StorageError> {
        match self.client().await?.delete(path, etag).await {
            Err(error) if error.is_not_found() || error.code() == Some(ErrorCode::PreconditionFailed) => {
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// The object at the final name of a file now.
    pub async fn occupant(&self, location: &Location) -> Result<Occupant, StorageError> {
        self.at(&self.object(location.uuid, &location.asset.to_string())?).await
    }

    /// The object at a path now.
    pub(super) async fn at(&self, path: &Path) -> Result<Occupant, StorageError> {
        match self.client().await?.head(path).await {
            Ok(known) => Ok(Occupant {
                precondition: known.etag.map_or(Precondition::Any, Precondition::Etag),
                md5: known.md5,
                stored: known.last_modified,
            }),
            Err(error) if error.is_not_found() => {
                Ok(Occupant { precondition: Precondition::Absent, md5: None, stored: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Copies a stored file to another path, with its size and MD5, which Manta verifies.
    pub(super) async fn copy_to(
        &self,
        location: &Location,
        path: &Path,
        precondition: Precondition,
        make_directories: bool,
    ) -> Result<Stored, StorageError> {
        let mut body = self.read(location, None).await?.boxed();
        let new = NewObject {
            content_type: Some(CONTENT_TYPE.to_owned()),
            length: Some(location.size),
            md5: location.md5.as_deref().and_then(super::md5_bytes),
            precondition,
            make_directories,
            ..NewObject::default()
        };
        let mut upload = self.client().await?.put(path, &new).await?;
        while let Some(chunk) = body.try_next().await? {
            upload.write(chunk).await?;
        }
        Ok(upload.finish().await?)
    }
}

pub(super) fn parse(path: &str) -> Result<Path, StorageError> {
    Path::new(path).map_err(|_| StorageError::InvalidName)
}

/// Returns whether somebody else has written the object since it was looked up.
pub(super) fn is_lost_race(error: &manta::Error) -> bool {
    matches!(error.code(), Some(ErrorCode::PreconditionFailed | ErrorCode::ConcurrentRequest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_of_no_use_may_go() {
        let md5 = "XUFAKrxLKna5cZ2REBfFkg==";
        let own = |displaces: Option<&str>| OwnName {
            name: "file0.x".into(),
            displaces: displaces.map(Into::into),
        };
        let occupant = |precondition, md5| Occupant { precondition, md5, stored: None };
        let nothing = occupant(Precondition::Absent, None);
        assert!(nothing.may_be_replaced(&own(None)) && nothing.may_be_replaced(&own(Some(md5))));
        let other = occupant(Precondition::Etag("x".into()), Some([7; 16]));
        assert!(!other.may_be_replaced(&own(None)) && !other.may_be_replaced(&own(Some(md5))));
        let known = occupant(Precondition::Etag("x".into()), super::super::md5_bytes(md5));
        assert!(known.may_be_replaced(&own(Some(md5))) && !known.may_be_replaced(&own(None)));
        let unsaid = occupant(Precondition::Etag("x".into()), None);
        assert!(!unsaid.may_be_replaced(&own(None)) && !unsaid.may_be_replaced(&own(Some("no MD5"))));
    }

    #[test]
    fn an_age_needs_a_time() {
        let hour = Duration::from_secs(3600);
        let since = |stored| Occupant { precondition: Precondition::Any, md5: None, stored };
        let now = SystemTime::now();
        assert!(since(Some(now - 2 * hour)).is_older_than(hour));
        assert!(!since(Some(now)).is_older_than(hour) && !since(Some(now + hour)).is_older_than(hour));
        assert!(!since(None).is_older_than(hour));
    }
}
