// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Imports from image servers of other kinds, whose answer is a stream of messages.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt;

use super::AppState;
use super::context::Context;
use crate::config::ChannelId;
use crate::images::{self, ApiError, ApiResult, LxdReference, Messages};
use crate::manifest::{FieldCode, FieldError};

/// `POST /images?action=import-lxd-image` — AdminImportLxdImage.
pub(super) fn import_lxd_image(
    state: &AppState,
    context: &Context,
    channel: Option<ChannelId>,
) -> ApiResult<Response> {
    context.params.operator_only()?;
    let Some(alias) = context.params.non_empty("alias")? else {
        return Err(ApiError::invalid_request(vec![FieldError::missing("alias")]));
    };
    let reference = match alias.split_once(':') {
        Some((registry, alias)) if !registry.is_empty() => {
            LxdReference { registry: registry.to_owned(), alias: alias.to_owned() }
        }
        _ => {
            let message = format!("must be REGISTRY:ALIAS, not {alias:?}");
            return Err(ApiError::invalid_parameter("alias", FieldCode::InvalidParameter, message));
        }
    };
    Ok(streamed(images::import_lxd_image(state.app(), reference, channel, &context.id_text())))
}

/// Returns the messages as an answer, which is sent while they come.
pub(super) fn streamed(messages: Messages) -> Response {
    let lines = messages.map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
