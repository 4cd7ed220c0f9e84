// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::db::Stored;
use crate::images::attempts::Attempts;
use crate::images::files::get_file::read_file;
use crate::images::files::reading::{RecordedFile, being_replaced};
use crate::images::record::change::change_if;
use crate::images::record::enable::refuse_placeholder;
use crate::images::record::lookup::{RecordVersion, owned_if};
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, now, run_to_completion};
use crate::manifest::{Image, View};

/// ActivateImage: makes an image usable. From then on its files are immutable.
pub async fn activate(app: &Arc<App>, access: Access, precondition: Precondition) -> ApiResult<Image> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let may_be_activated = |image: &Image| {
            precondition.check(image)?;
            activated(image)
        };
        let mut attempts = Attempts::default();
        loop {
            attempts.begin()?;
            let reading = RecordVersion::of(&attempts);
            let (Stored { image, .. }, _) = owned_if(&app, access, reading, may_be_activated).await?;
            check_files(&app, access, &image).await?;
            // The activated files must be the files that were checked.
            let has_others = AtomicBool::new(false);
            let with_these_files = |now: &Image| {
                has_others.store(now.files() != image.files(), Ordering::Relaxed);
                if has_others.load(Ordering::Relaxed) { Err(being_replaced()) } else { activated(now) }
            };
            match change_if(&app, access, &precondition, with_these_files).await {
                Err(_) if has_others.load(Ordering::Relaxed) => {}
                changed => return Ok(changed?),
            }
        }
    })
    .await
}

/// Rejects an image whose file is missing or damaged: it could never be installed, and never get another file.
async fn check_files(app: &App, access: Access, image: &Image) -> ApiResult<()> {
    let view = View::new(image)?;
    for index in 0..image.files().len() {
        let check = |named: RecordedFile<_>| async move { Ok(app.storage.check(&named.location).await?) };
        // If the record names another file meanwhile, the write below fails.
        read_file(app, access, &view, index, false, check).await?;
    }
    Ok(())
}

fn activated(image: &Image) -> ApiResult<Image> {
    let uuid = image.uuid();
    if image.activated() {
        let message = format!("image {uuid} is already activated");
        return Err(ApiError::new(Code::ImageAlreadyActivated, message));
    }
    if image.files().is_empty() {
        return Err(ApiError::new(Code::NoActivationNoFile, format!("image {uuid} has no file")));
    }
    refuse_placeholder(image)?;
    image.activate(&now()).map_err(ApiError::validation)
}
