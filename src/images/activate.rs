use std::sync::Arc;

use super::change::change;
use super::{Access, ApiError, ApiResult, App, Code, now, to_the_end};
use crate::manifest::Image;

/// Makes an image usable; from then on its files are immutable.
pub async fn activate(app: &Arc<App>, access: Access) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move { Ok(change(&app, access, activated).await?) }).await
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
    image.activate(&now()).map_err(ApiError::validation)
}
