// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Writes of a record that start over because another request or process changed the record first.

use super::{ApiError, ApiResult, App};
use crate::db::{DbError, Stored};
use crate::manifest::{Image, Uuid};

/// How often a write starts over.
pub(super) const ATTEMPTS: usize = 20;

/// The attempts of one write, each of which reads the record again.
#[derive(Default)]
pub(super) struct Attempts(usize);

impl Attempts {
    /// Begins another attempt.
    ///
    /// # Errors
    /// 503: each attempt so far met another change of the record.
    pub(super) fn begin(&mut self) -> ApiResult<()> {
        if self.0 == ATTEMPTS {
            return Err(DbError::Conflict.into());
        }
        self.0 += 1;
        Ok(())
    }

    /// Returns whether the current attempt is the first one.
    pub(super) fn is_first(&self) -> bool {
        self.0 == 1
    }
}

/// Returns whether a write was made. It was not if another change of the record came first.
///
/// # Errors
/// The other errors of the write.
pub(super) fn is_made(written: Result<(), DbError>) -> Result<bool, DbError> {
    match written {
        Ok(()) => Ok(true),
        Err(DbError::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What [`fence`] has done.
pub(super) enum Fenced {
    /// Nothing: there is no record.
    NoRecord,
    /// Nothing: the record needs no fence.
    Unneeded(Image),
    /// The record was written once more.
    Written(Image),
}

/// Writes a record once more without a change, unless `is_unneeded` holds for it. Writes that were started earlier may reach the
/// database at any later time. They fail from now on, because they replace an earlier version of the record.
///
/// # Errors
/// Those of the database.
pub(super) async fn fence(app: &App, uuid: Uuid, is_unneeded: impl Fn(&Image) -> bool) -> ApiResult<Fenced> {
    let mut attempts = Attempts::default();
    loop {
        attempts.begin()?;
        let Some(Stored { image, etag }) = app.db.get(uuid).await? else { return Ok(Fenced::NoRecord) };
        if is_unneeded(&image) {
            return Ok(Fenced::Unneeded(image));
        }
        let fenced = image.fenced().map_err(ApiError::validation)?;
        if is_made(app.db.replace(&fenced, &etag).await)? {
            return Ok(Fenced::Written(image));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Code;

    #[test]
    fn a_write_starts_over_so_often_and_then_fails() {
        let mut attempts = Attempts::default();
        attempts.begin().unwrap();
        assert!(attempts.is_first());
        for _ in 1..ATTEMPTS {
            attempts.begin().unwrap();
        }
        assert!(!attempts.is_first());
        assert_eq!(attempts.begin().unwrap_err().code(), Code::ServiceUnavailableError);
    }
}
