// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Verifies the files of one image against its manifest.

use std::io;

use super::findings::Problem;
use super::pace::Pace;
use crate::files::NotRegular;
use crate::images::record::change::annotate;
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App};
use crate::manifest::{Stor, Uuid};
use crate::storage::{Asset, Digests, Location, StorageError};
use rustix::io::Errno;

/// What an image costs at least, in bytes, because its record is read from the database.
const LEAST: u64 = 64 << 10;

/// Reads the files of an image, and returns the problems of files that its record still names afterwards. Files without a
/// SHA-256 get one in the record, as often as `pace` allows: after a takeover every record needs this write.
pub(super) async fn verify(
    app: &App,
    uuid: Uuid,
    pace: &mut Pace,
    read: impl Fn(u64),
) -> ApiResult<Vec<(Location, Problem)>> {
    pace.bytes.spend(LEAST).await;
    let Some(stored) = app.db.get(uuid).await? else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    for location in locations(&stored.image) {
        let stor = location.stor;
        let found = match app.storage.digests_of(&location, &mut pace.bytes, &read).await {
            Ok(found) => found,
            Err(error) => {
                problems.push((location, problem_of(error, stor)?));
                continue;
            }
        };
        match difference(&location, &found) {
            Some(problem) => problems.push((location, problem)),
            None if location.sha256.is_none() && pace.may_add_digest().await => {
                note_sha256(app, &location, &found.sha256).await?;
            }
            None => {}
        }
    }
    if !problems.is_empty() {
        // Damaged files may have been replaced, moved or deleted meanwhile.
        let now = app.db.get(uuid).await?.map(|stored| locations(&stored.image)).unwrap_or_default();
        problems.retain(|(location, _)| now.contains(location));
    }
    Ok(problems)
}

fn difference(expected: &Location, found: &Digests) -> Option<Problem> {
    let is_other = |expected: Option<&str>, found: &str| expected.is_some_and(|expected| expected != found);
    if found.size != expected.size {
        return Some(Problem::OtherSize);
    }
    let has_other_bytes = found.sha1 != expected.sha1
        || is_other(expected.md5.as_deref(), &found.md5)
        || is_other(expected.sha256.as_deref(), &found.sha256);
    has_other_bytes.then_some(Problem::OtherContent)
}

/// The problem of a file that an error shows. An error that is not about the file but about its storage is passed on.
pub(in crate::images) fn problem_of(error: StorageError, stor: Stor) -> Result<Problem, StorageError> {
    Ok(match &error {
        StorageError::NotFound(_) => Problem::Missing,
        // For a file on disk, only the size was compared.
        StorageError::Damaged(_) if stor == Stor::Local => Problem::OtherSize,
        StorageError::Damaged(_) => Problem::Mismatch,
        StorageError::Absent(_) => Problem::NoStorage,
        StorageError::InvalidName => Problem::Unreadable,
        StorageError::Io(reason) if is_about_the_file(reason) => Problem::Unreadable,
        StorageError::Manta(_) if !error.is_temporary() => Problem::Unreadable,
        _ => return Err(error),
    })
}

/// Returns whether an error is about the file, such as a bad sector or a FIFO, and not about the process, such as too many open
/// files.
fn is_about_the_file(error: &io::Error) -> bool {
    let about_files = [Errno::IO, Errno::ACCESS, Errno::PERM, Errno::ISDIR, Errno::NOTDIR, Errno::LOOP];
    NotRegular::in_error(error).is_some()
        || Errno::from_io_error(error).is_some_and(|errno| about_files.contains(&errno))
}

async fn note_sha256(app: &App, location: &Location, sha256: &str) -> ApiResult<()> {
    let Asset::File(index) = location.asset else { return Ok(()) };
    annotate(app, location.uuid, |image| {
        let is_it =
            |file| Location::of_file(location.uuid, index, file) == *location && file.sha256.is_none();
        match image.files().get(index).filter(|file| is_it(file)) {
            Some(_) => Ok(Some(image.with_sha256(index, sha256).map_err(ApiError::validation)?)),
            None => Ok(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_that_is_known_counts() {
        let location = Location {
            uuid: Uuid::NIL,
            asset: Asset::File(0),
            stor: Stor::Local,
            sha1: "1".into(),
            size: 3,
            md5: Some("5".into()),
            sha256: None,
            object: None,
        };
        let found = Digests { size: 3, sha1: "1".into(), md5: "5".into(), sha256: "256".into() };
        assert_eq!(difference(&location, &found), None);
        assert_eq!(difference(&Location { sha256: Some("256".into()), ..location.clone() }, &found), None);
        assert_eq!(
            difference(&Location { sha256: Some("x".into()), ..location.clone() }, &found),
            Some(Problem::OtherContent)
        );
        let other = Digests { sha1: "x".into(), ..found.clone() };
        assert_eq!(difference(&location, &other), Some(Problem::OtherContent));
        let other = Digests { md5: "x".into(), ..found.clone() };
        assert_eq!(difference(&location, &other), Some(Problem::OtherContent));
        assert_eq!(difference(&Location { md5: None, ..location.clone() }, &other), None);
        let other = Digests { size: 4, ..found };
        assert_eq!(difference(&location, &other), Some(Problem::OtherSize));
    }

    #[test]
    fn a_backend_that_is_away_is_no_finding() {
        assert_eq!(problem_of(StorageError::NotFound("x".into()), Stor::Local).unwrap(), Problem::Missing);
        let bad_sector = io::Error::from_raw_os_error(Errno::IO.raw_os_error());
        assert_eq!(problem_of(bad_sector.into(), Stor::Local).unwrap(), Problem::Unreadable);
        let too_many = io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        assert!(problem_of(too_many.into(), Stor::Local).is_err());
        let away = manta::Error::Stalled { doing: "x", limit: std::time::Duration::ZERO };
        assert!(problem_of(away.into(), Stor::Manta).is_err());
    }
}
