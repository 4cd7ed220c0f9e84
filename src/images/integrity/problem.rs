// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What can be wrong with a stored file, in the words of the scrubber and of `check-files`.

use std::{fmt, io};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::files::NotRegular;
use crate::manifest::Stor;
use crate::storage::{Digests, Location, StorageError};

/// A problem with a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// The file is missing.
    Missing,
    /// The file's size is not the one in its manifest.
    OtherSize,
    /// The file's bytes are not those that its manifest describes.
    OtherContent,
    /// The file cannot be decompressed, though its digests are right. Only `check-files` looks for this.
    Undecodable,
    /// The storage reports another digest or size than the manifest.
    Mismatch,
    /// The file cannot be read.
    Unreadable,
    /// This server does not have the file's storage.
    NoStorage,
    /// No manifest names the file.
    Orphan,
    /// The file is not in the directory of an image.
    Foreign,
}

impl Problem {
    /// The problem's name in metrics, reports and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Problem::Missing => "missing",
            Problem::OtherSize => "other-size",
            Problem::OtherContent => "other-content",
            Problem::Undecodable => "undecodable",
            Problem::Mismatch => "mismatch",
            Problem::Unreadable => "unreadable",
            Problem::NoStorage => "no-storage",
            Problem::Orphan => "orphan",
            Problem::Foreign => "foreign",
        }
    }

    /// Returns whether an image's file is damaged or missing. All other problems are of files without an image.
    pub fn is_damage(self) -> bool {
        !matches!(self, Problem::Orphan | Problem::Foreign)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Compares the bytes that were read with what the record says of them. Returns the problem and the reason, for people.
pub(super) fn difference(expected: &Location, found: &Digests) -> Option<(Problem, String)> {
    if found.size != expected.size {
        return Some(other_size(found.size, expected));
    }
    let digests = [
        ("SHA-1", Some(&expected.sha1), &found.sha1),
        ("MD5", expected.md5.as_ref(), &found.md5),
        ("SHA-256", expected.sha256.as_ref(), &found.sha256),
    ];
    let other = digests.into_iter().find(|(_, expected, found)| expected.is_some_and(|it| it != *found));
    other.map(|(name, expected, found)| {
        let expected = expected.map_or("", String::as_str);
        (Problem::OtherContent, format!("its {name} is {found}, its manifest says {expected}"))
    })
}

/// The problem of a file with another size than its record says.
pub(super) fn other_size(size: u64, expected: &Location) -> (Problem, String) {
    (Problem::OtherSize, format!("it has {size} bytes, its manifest says {}", expected.size))
}

/// The problem of a file that an error shows. An error that is not about the file but about its storage is passed on.
pub(super) fn problem_of(error: StorageError, stor: Stor) -> Result<Problem, StorageError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Uuid;
    use crate::storage::Asset;

    fn problem(expected: &Location, found: &Digests) -> Option<Problem> {
        difference(expected, found).map(|(problem, _)| problem)
    }

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
        assert_eq!(problem(&location, &found), None);
        assert_eq!(problem(&Location { sha256: Some("256".into()), ..location.clone() }, &found), None);
        assert_eq!(
            problem(&Location { sha256: Some("x".into()), ..location.clone() }, &found),
            Some(Problem::OtherContent)
        );
        let other = Digests { sha1: "x".into(), ..found.clone() };
        assert_eq!(problem(&location, &other), Some(Problem::OtherContent));
        let other = Digests { md5: "x".into(), ..found.clone() };
        assert_eq!(problem(&location, &other), Some(Problem::OtherContent));
        assert_eq!(problem(&Location { md5: None, ..location.clone() }, &other), None);
        let other = Digests { size: 4, ..found };
        assert_eq!(problem(&location, &other), Some(Problem::OtherSize));
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

    #[test]
    fn a_problem_has_one_name() {
        for problem in [
            Problem::Missing,
            Problem::OtherSize,
            Problem::OtherContent,
            Problem::Undecodable,
            Problem::Mismatch,
            Problem::Unreadable,
            Problem::NoStorage,
            Problem::Orphan,
            Problem::Foreign,
        ] {
            assert_eq!(serde_json::to_value(problem).unwrap(), problem.as_str());
        }
    }
}
