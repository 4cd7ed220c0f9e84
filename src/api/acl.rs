// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `/images/:uuid/acl`.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::Value;

use super::AppState;
use super::body::{Parsed, read_body};
use super::context::Context;
use super::extract::ImagePath;
use super::reply::Json;
use super::reply::reply;
use crate::images::{self, AclAction, ApiError, ApiResult};
use crate::manifest::{FieldCode, Uuid};

/// `POST /images/:uuid/acl` — AddImageAcl and RemoveImageAcl.
pub(super) async fn update_acl(
    State(state): State<AppState>,
    context: Context,
    headers: HeaderMap,
    path: ImagePath,
    body: Body,
) -> ApiResult<Json> {
    let body = read_body(&context, &headers, body).await?;
    let access = path.owned(&context, &state).await?.access;
    let action = match context.params.non_empty("action")? {
        None | Some("add") => AclAction::Add,
        Some("remove") => AclAction::Remove,
        Some(action) => {
            let message = format!("must be add or remove, not {action:?}");
            return Err(ApiError::invalid_parameter("action", FieldCode::Invalid, message));
        }
    };
    let image = images::update_acl(state.app(), access, action, accounts(&body)?).await?;
    reply(&image, &context.form(&state, false))
}

/// Reads the accounts in the body, an array of UUIDs.
fn accounts(body: &Parsed) -> ApiResult<Vec<Uuid>> {
    let invalid = |message: String| ApiError::invalid_parameter("acl", FieldCode::Invalid, message);
    let Parsed::Json(Value::Array(items)) = body else {
        return Err(invalid("the body must be an array of account UUIDs".into()));
    };
    let account = |item: &Value| item.as_str().and_then(|text| text.parse().ok());
    let parsed =
        items.iter().map(|item| account(item).ok_or_else(|| invalid(format!("{item} is not a UUID"))));
    parsed.collect()
}
