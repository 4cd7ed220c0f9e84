// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::rename::rename;
use crate::images::record::acl::refuse_long_acl;
use crate::images::record::change::change_with_origin;
use crate::images::record::channels::refuse_unknown_channels;
use crate::images::record::origin::refuse_hidden_origin;
use crate::images::{Access, ApiError, ApiResult, App, Code, Precondition, checked, run_to_completion};
use crate::manifest::update::{asked, update as updated_by};
use crate::manifest::{Image, Record};

/// UpdateImage: changes the members that `body` has; null removes a member.
///
/// `is_operator` says whether the body may have members that only operators may change.
pub async fn update(
    app: &Arc<App>,
    access: Access,
    precondition: Precondition,
    body: Record,
    is_operator: bool,
) -> ApiResult<Image> {
    if body.is_empty() {
        let message = "there is nothing to update: the body has no members";
        return Err(ApiError::new(Code::ValidationFailed, message));
    }
    let app = Arc::clone(app);
    run_to_completion(async move {
        let updated = |image: &Image| {
            let body = asked(image, &body, is_operator).map_err(ApiError::validation)?;
            refuse_unknown_channels(&app.config.channels, &body)?;
            let updated = updated_by(image, &body).map_err(ApiError::validation)?;
            refuse_long_acl(&app, Some(image), &updated)?;
            Ok(updated)
        };
        let wanted = |image: &Image| {
            precondition.check(image)?;
            updated(image)
        };
        let (image, wanted) = checked(&app, access, wanted).await?;
        if wanted.owner() != image.owner() {
            app.check_owner(wanted.owner()).await?;
            if let Some(account) = access.account {
                refuse_hidden_origin(&app, &image, account).await?;
            }
        }
        let new_origin = wanted.origin().filter(|origin| Some(*origin) != image.origin());
        if wanted.uuid() != image.uuid() {
            return rename(&app, access, &precondition, wanted.uuid(), new_origin, updated).await;
        }
        let changed = change_with_origin(&app, access, &precondition, new_origin, updated).await?;
        Ok(changed.after)
    })
    .await
}
