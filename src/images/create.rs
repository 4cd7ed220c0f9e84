use serde_json::{Map, Value};

use super::change::{archive, settle_archive};
use super::{ApiError, ApiResult, App, Code};
use crate::manifest::create::{CreateContext, CreateError};
use crate::manifest::{Image, Uuid, create as manifest};

/// Makes an unactivated image record from the members of `body`.
pub async fn create(app: &App, account: Option<Uuid>, body: Map<String, Value>) -> ApiResult<Image> {
    let owner = manifest::resolve_owner(&body, account)
        .map_err(|error| ApiError::invalid_parameters(vec![error]))?;
    manifest::refuse_state(&body).map_err(|error| ApiError::validation(vec![error]))?;
    if !app.accounts.exists(owner).await? {
        let message = format!("owner {owner} does not exist");
        return Err(ApiError::new(Code::OwnerDoesNotExist, message));
    }
    check_origin(app, body.get("origin")).await?;
    let context = CreateContext { uuid: Uuid::new_v4(), owner, rules: app.rules(), channel: None };
    let image = manifest::create(body, context).map_err(|error| match error {
        CreateError::UnknownMembers(errors) => ApiError::invalid_parameters(errors),
        CreateError::Invalid(errors) => ApiError::validation(errors),
    })?;
    let archived = archive(app, &image).await?;
    app.db.insert(&image).await?;
    settle_archive(archived).await;
    Ok(image)
}

/// An origin must exist here. Its state, owner and visibility do not matter, as in 4.13.1.
async fn check_origin(app: &App, origin: Option<&Value>) -> ApiResult<()> {
    // What is no text, or an empty one, is left to the validation of the manifest.
    let Some(origin) = origin.and_then(Value::as_str).filter(|origin| !origin.is_empty()) else {
        return Ok(());
    };
    let exists = match origin.parse::<Uuid>() {
        Ok(uuid) => app.db.get(uuid).await?.is_some(),
        Err(_) => false,
    };
    if exists {
        return Ok(());
    }
    Err(ApiError::new(Code::OriginDoesNotExist, format!("origin image \"{origin}\" does not exist")))
}
