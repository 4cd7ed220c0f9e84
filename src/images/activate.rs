use std::sync::Arc;

use super::change::change_if;
use super::enable::refuse_placeholder;
use super::{
    Access, ApiError, ApiResult, App, Code, OpenFile, Precondition, get_file, now, owned, to_the_end,
};
use crate::manifest::{Image, View};
use crate::storage::Location;

/// Makes an image usable; from then on its files are immutable.
pub async fn activate(app: &Arc<App>, access: Access, precondition: Precondition) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let image = owned(&app, access).await?.image;
        precondition.check(&image)?;
        activated(&image)?;
        check_files(&app, access, &image).await?;
        Ok(change_if(&app, access, &precondition, activated).await?)
    })
    .await
}

/// Refuses an image whose file is missing or damaged here: it could never be installed, nor get another file.
async fn check_files(app: &App, access: Access, image: &Image) -> ApiResult<()> {
    let view = View::new(image)?;
    for index in 0..image.files().len() {
        // Its entry is the one that the file belongs to: another one may have been named since the image was read.
        let check = |OpenFile { entry, file }| async move {
            Ok(file.check(&Location::of_file(access.uuid, index, &entry)).await?)
        };
        get_file(app, access, &view, index, check).await?;
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
