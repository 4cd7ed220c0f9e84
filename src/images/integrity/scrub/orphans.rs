// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Searches for stored files that no record names.

use std::time::Duration;

use crate::db::Stored;
use crate::images::files::publish::delete_directory;
use crate::images::record::locations::known_names;
use crate::images::{ApiResult, App, Problem};
use crate::manifest::{Stor, Uuid};
use crate::storage::{Group, Item};

/// A younger file may belong to a running upload.
pub(super) const AGE: Duration = Duration::from_secs(24 * 3600);

/// The files in one group of a storage that are older than `age` and have no image.
pub(super) async fn find(
    app: &App,
    stor: Stor,
    group: &str,
    age: Duration,
) -> ApiResult<Vec<(Item, Problem)>> {
    let mut found = Vec::new();
    let Group { items, empty } = app.storage.group(stor, group).await?;
    for uuid in
        empty.iter().filter(|directory| directory.is_older_than(age)).filter_map(|directory| directory.uuid)
    {
        remove_empty(app, uuid).await?;
    }
    for item in items {
        if !item.is_older_than(age) {
            continue;
        }
        match item.uuid {
            None => found.push((item, Problem::Foreign)),
            Some(uuid) if is_orphan(app, stor, uuid, &item).await? => found.push((item, Problem::Orphan)),
            Some(_) => {}
        }
    }
    Ok(found)
}

/// Removes the empty directory in Manta of a deleted image. It stays behind if a deletion was interrupted, or if the last file
/// had been moved to another storage before.
async fn remove_empty(app: &App, uuid: Uuid) -> ApiResult<()> {
    let _still = app.locks.lock(uuid).await?;
    if app.db.get(uuid).await?.is_none() {
        delete_directory(app, uuid).await;
    }
    Ok(())
}

/// The records in memory name most files. For any other file the database is asked, under the lock that keeps this process from
/// publishing or deleting files of the image.
async fn is_orphan(app: &App, stor: Stor, uuid: Uuid, item: &Item) -> ApiResult<bool> {
    if let Some(view) = app.db.view(uuid).await?.value
        && known_names(view.files(), view.icon(), stor).contains(&item.name)
    {
        return Ok(false);
    }
    let _still = app.locks.lock(uuid).await?;
    match app.db.get(uuid).await? {
        Some(Stored { image, .. }) if known_names(image.files(), image.icon(), stor).contains(&item.name) => {
            Ok(false)
        }
        // An unusable record may name the file.
        None if app.db.status().damaged.iter().any(|record| record.name.starts_with(&uuid.to_string())) => {
            Ok(false)
        }
        _ => Ok(app.storage.has(stor, item).await?),
    }
}
