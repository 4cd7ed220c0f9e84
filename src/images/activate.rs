use super::change::change;
use super::{Access, ApiError, ApiResult, App, Code};
use crate::manifest::Image;

/// Makes an image usable; from then on its files are immutable.
pub async fn activate(app: &App, access: Access) -> ApiResult<Image> {
    let activated = change(app, access, |image| {
        let uuid = image.uuid();
        if image.activated() {
            return Err(ApiError::new(
                Code::ImageAlreadyActivated,
                format!("image {uuid} is already activated"),
            ));
        }
        if image.files().is_empty() {
            return Err(ApiError::new(Code::NoActivationNoFile, format!("image {uuid} has no file")));
        }
        image.activate(&super::now()).map_err(ApiError::validation)
    });
    Ok(activated.await?)
}
