//! `POST /images/:uuid?action=change-stor` — AdminChangeImageStor.

use axum::response::{IntoResponse, Response};

use super::AppState;
use super::context::Context;
use super::extract::ImagePath;
use super::reply::Json;
use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{ApiForm, ApiVersion, FieldError, Stor};

/// Moves an image's file to another storage. There is one storage, so a file that is there stays there.
pub(super) async fn change_stor(state: &AppState, context: &Context, path: ImagePath) -> ApiResult<Response> {
    let image = path.visible(context, state).await?.image;
    context.params.operator_only()?;
    check_stor(context.params.non_empty("stor")?)?;
    if image.icon().is_some() {
        return Err(not_implemented("the storage of an image with an icon cannot be changed"));
    }
    match image.files() {
        [file] if file.stor == Stor::Local => {
            // As in 4.13.1, always the newer form, and without a tag.
            let form = ApiForm { version: ApiVersion::V2, admin_fields: true, ..context.form(state, true) };
            Ok(Json::rendered(image.text(&form)).into_response())
        }
        [file] => Err(ApiError::not_stored_here("file", file.stor)),
        [] => Err(ApiError::validation(vec![FieldError::invalid("files").because("the image has no file")])),
        _ => Err(not_implemented("the storage of an image with several files cannot be changed")),
    }
}

fn check_stor(stor: Option<&str>) -> ApiResult<()> {
    let problem = match stor.map(str::parse) {
        Some(Ok(Stor::Local)) => return Ok(()),
        Some(Ok(Stor::Manta)) => FieldError::invalid("stor").because("this server does not have manta"),
        Some(Err(_)) => FieldError::invalid("stor").because("must be local"),
        None => FieldError::missing("stor"),
    };
    Err(ApiError::validation(vec![problem]))
}

fn not_implemented(message: &str) -> ApiError {
    ApiError::new(Code::NotImplemented, message)
}
