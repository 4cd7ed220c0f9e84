// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use super::acl::refuse_long_acl;
use super::origin::{NamedBy, find_origin, store};
use crate::config::ChannelId;
use crate::images::{ApiError, ApiResult, App, run_to_completion};
use crate::manifest::create::{self as manifest, CreateContext};
use crate::manifest::{FieldCode, Image, Mode, Record, Uuid};

/// CreateImage: stores a new unactivated image with the members of `body`, in this channel.
pub async fn create(
    app: &Arc<App>,
    account: Option<Uuid>,
    channel: Option<ChannelId>,
    body: Record,
) -> ApiResult<Image> {
    let body = manifest::given(body);
    let owner = owner_of(app, &body, account)?;
    manifest::refuse_state(&body).map_err(|error| ApiError::validation(vec![error]))?;
    app.check_owner(owner).await?;
    let named_by = NamedBy::caller(account);
    let origin = find_origin(app, &body, named_by).await?;
    let channel = app.channel_name(channel);
    let context = CreateContext { uuid: Uuid::new_v4(), owner: Some(owner), rules: app.rules(), channel };
    let image = manifest::create(body, &context)?;
    refuse_long_acl(app, None, &image)?;
    let app = Arc::clone(app);
    run_to_completion(async move {
        store(&app, &image, None, origin, named_by).await??;
        Ok(image)
    })
    .await
}

/// The owner of a new image: the one in the body, or else the calling account. If there is neither, it is the nil UUID outside
/// a datacenter, where no accounts exist; in a datacenter that is an error.
pub(in crate::images) fn owner_of(app: &App, body: &Record, account: Option<Uuid>) -> ApiResult<Uuid> {
    match manifest::resolve_owner(body, account) {
        Ok(owner) => Ok(owner),
        Err(error) if error.code != FieldCode::MissingParameter => {
            Err(ApiError::invalid_parameters(vec![error]))
        }
        Err(_) if app.config.mode != Mode::Dc => Ok(Uuid::NIL),
        Err(error) => Err(ApiError::validation(vec![error])),
    }
}
