use std::sync::Arc;

use super::change::{archive, settle_archive};
use super::{ApiError, ApiResult, App, Code, to_the_end};
use crate::manifest::create::{self as manifest, CreateContext, CreateError, NoSuchOrigin};
use crate::manifest::{FieldCode, Image, Record, Uuid};

/// Makes an unactivated image record from the members of `body`.
pub async fn create(app: &Arc<App>, account: Option<Uuid>, body: Record) -> ApiResult<Image> {
    let owner = manifest::resolve_owner(&body, account).map_err(|error| match error.code {
        FieldCode::MissingParameter => ApiError::validation(vec![error]),
        _ => ApiError::invalid_parameters(vec![error]),
    })?;
    manifest::refuse_state(&body).map_err(|error| ApiError::validation(vec![error]))?;
    app.check_owner(owner).await?;
    check_origin(app, &body).await?;
    let context = CreateContext { uuid: Uuid::new_v4(), owner, rules: app.rules(), channel: None };
    let image = manifest::create(body, &context).map_err(|error| match error {
        CreateError::UnknownMembers(errors) => ApiError::invalid_parameters(errors),
        CreateError::Invalid(errors) => ApiError::validation(errors),
    })?;
    let app = Arc::clone(app);
    to_the_end(async move {
        let archived = archive(&app, &image).await?;
        app.db.insert(&image).await?;
        settle_archive(archived).await;
        Ok(image)
    })
    .await
}

/// An origin must exist here. Its state, owner and visibility do not matter, as in 4.13.1.
async fn check_origin(app: &App, body: &Record) -> ApiResult<()> {
    let no_such_origin = |error: NoSuchOrigin| ApiError::new(Code::OriginDoesNotExist, error.to_string());
    match manifest::requested_origin(body).map_err(no_such_origin)? {
        Some(origin) if app.db.get(origin).await?.is_none() => {
            Err(no_such_origin(NoSuchOrigin(origin.to_string())))
        }
        _ => Ok(()),
    }
}
