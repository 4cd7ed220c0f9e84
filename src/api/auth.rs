// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Authentication of a request between its routing and its handler.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use http_signature::Head;

use super::AppState;
use super::context::Context;
use super::extract::ImageUuid;
use crate::auth::{AuthError, AuthRequirement};

use crate::images::{ApiError, ApiResult, Code};

/// Authenticates the sender of a request as its route demands, and notes the caller in the request's context.
pub(super) async fn admit(
    state: &AppState,
    requirement: AuthRequirement,
    parts: &mut Parts,
) -> ApiResult<()> {
    if requirement == AuthRequirement::None || !state.auth().is_enabled() {
        return Ok(());
    }
    let of_an_image =
        parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str().contains("{uuid}"));
    if requirement == AuthRequirement::Passive && of_an_image {
        // Reads check the UUID before they authenticate the caller; changes check it afterwards.
        ImageUuid::from_request_parts(parts, state).await?;
    }
    let context = Context::from_request_parts(parts, state).await?;
    // The URI as received; the path may have been normalised since.
    let target = context.uri.to_string();
    let head = Head {
        method: context.method.as_str(),
        target: &target,
        version: context.http_version,
        headers: &context.headers,
    };
    let address = context.peer.map(|peer| peer.ip());
    let caller = state.auth().authenticate(&head, address, requirement).await.map_err(refusal)?;
    let _ = context.caller.set(caller);
    Ok(())
}

fn refusal(error: AuthError) -> ApiError {
    let code = match &error {
        AuthError::Busy => Code::ServiceUnavailableError,
        _ => Code::UnauthorizedError,
    };
    ApiError::new(code, error.to_string())
}
