// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::change::change_if;
use crate::images::{Access, ApiError, ApiResult, App, Precondition, run_to_completion};
use crate::manifest::{FieldError, Image};

/// EnableImage and DisableImage: set whether an activated image is offered for provisioning.
pub async fn set_disabled(
    app: &Arc<App>,
    access: Access,
    precondition: Precondition,
    disabled: bool,
) -> ApiResult<Image> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let set = |image: &Image| {
            refuse_placeholder(image)?;
            image.with_disabled(disabled).map_err(ApiError::validation)
        };
        Ok(change_if(&app, access, &precondition, set).await?)
    })
    .await
}

/// Fails with 422 for an image that is still being made. It has no type, so that in any other state its record would be
/// invalid, and the image would not be shown any more.
pub(in crate::images) fn refuse_placeholder(image: &Image) -> ApiResult<()> {
    if image.image_type().is_some() && image.os().is_some() {
        return Ok(());
    }
    let message = format!("image {} is a placeholder, in state {}", image.uuid(), image.state());
    Err(ApiError::validation(vec![FieldError::invalid("state").because(message)]))
}
