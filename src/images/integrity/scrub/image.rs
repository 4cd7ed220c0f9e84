// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Verifies the files of one image against its manifest.

use super::pace::Pace;
use crate::images::integrity::problem::{Problem, difference, problem_of};
use crate::images::record::change::annotate;
use crate::images::record::locations::locations;
use crate::images::{ApiError, ApiResult, App};
use crate::manifest::Uuid;
use crate::storage::{Asset, Location};

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
            Some((problem, _)) => problems.push((location, problem)),
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
