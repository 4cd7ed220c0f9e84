use std::sync::Arc;

use super::change::change_if;
use super::channels::refuse_unknown_channels;
use super::origin::refuse_bad_origin;
use super::rename::rename;
use super::{Access, ApiError, ApiResult, App, Precondition, owned, to_the_end};
use crate::manifest::update::{refuse_members, update as updated_by};
use crate::manifest::{Image, Record};

/// UpdateImage: changes the members that `body` has; null removes one.
///
/// `is_operator` is whether members that only operators may change can be in it.
pub async fn update(
    app: &Arc<App>,
    access: Access,
    precondition: Precondition,
    body: Record,
    is_operator: bool,
) -> ApiResult<Image> {
    if body.is_empty() {
        return Err(ApiError::validation(Vec::new()));
    }
    let app = Arc::clone(app);
    to_the_end(async move {
        let updated = |image: &Image| {
            refuse_members(image, &body, is_operator).map_err(ApiError::validation)?;
            refuse_unknown_channels(&app.config.channels, &body)?;
            updated_by(image, &body).map_err(ApiError::validation)
        };
        let image = owned(&app, access).await?.image;
        precondition.check(&image)?;
        let wanted = updated(&image)?;
        app.check_owner(wanted.owner()).await?;
        refuse_bad_origin(&app, &image, &wanted).await?;
        if wanted.uuid() != image.uuid() {
            return rename(&app, access, &precondition, wanted.uuid(), updated).await;
        }
        Ok(change_if(&app, access, &precondition, updated).await?)
    })
    .await
}
