// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.
use crate::db::DbError;
use crate::images::files::publish::{discard, settle_published};
use crate::images::record::origin::{NamedBy, store};
use crate::images::{ApiResult, App};
use crate::manifest::{Image, Uuid};
use crate::storage::{Staged, Upload};

/// Stores a new image together with its files. The entries of `image` name these uploads, in any order. Nobody sees the image
/// before the one write of its record; after that it is complete. If the write is not made, nothing remains.
pub(in crate::images) async fn store_with_files(
    app: &App,
    image: &Image,
    uploads: Vec<Upload>,
) -> ApiResult<()> {
    let uuid = image.uuid();
    let _publishing = app.locks.lock(uuid).await?;
    let mut files = Vec::new();
    for upload in uploads {
        match upload.stage().await {
            Ok(staged) => files.push(staged),
            Err(error) => {
                discard_all(app, uuid, files).await;
                return Err(error.into());
            }
        }
    }
    match store(app, image, None, None, NamedBy::Operator).await {
        Ok(Ok(())) => {
            for staged in files {
                settle_published(uuid, staged).await;
            }
            Ok(())
        }
        Ok(Err(error @ DbError::OutcomeUnknown(_))) => {
            files.into_iter().for_each(Staged::leave);
            Err(error.into())
        }
        Ok(Err(error)) => {
            discard_all(app, uuid, files).await;
            Err(error.into())
        }
        Err(error) => {
            discard_all(app, uuid, files).await;
            Err(error)
        }
    }
}

async fn discard_all(app: &App, uuid: Uuid, files: Vec<Staged>) {
    for staged in files {
        discard(app, uuid, staged).await;
    }
}
