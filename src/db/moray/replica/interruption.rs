// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use crate::db::DbError;
use crate::db::moray::failed;

/// Why a round did not confirm that the replica is current.
pub(super) enum Interruption {
    /// Moray did not answer. There is no sign that the replica is wrong.
    NoAnswer(DbError),
    /// The replica matches neither the current content of Moray nor an earlier one.
    Gap(&'static str),
}

impl From<DbError> for Interruption {
    fn from(error: DbError) -> Interruption {
        Interruption::NoAnswer(error)
    }
}

/// Returns what an error of a query means for the replica.
pub(super) fn interruption(error: moray::Error) -> Interruption {
    match error.server_kind() {
        Some(moray::ServerErrorKind::BucketNotFound) => Interruption::Gap("a bucket is gone"),
        _ => failed(error).into(),
    }
}
