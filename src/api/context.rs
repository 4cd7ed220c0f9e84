use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;

use super::AppState;
use super::params::Params;
use crate::images::ApiError;
use crate::manifest::{ApiForm, ApiVersion};

/// What the steps before a handler found out about the request.
#[derive(Debug, Clone)]
pub(super) struct Context(pub(super) Arc<RequestInfo>);

/// See [`Context`].
#[derive(Debug)]
pub(super) struct RequestInfo {
    /// The version to answer in.
    pub(super) version: ApiVersion,
    /// The query.
    pub(super) params: Params,
    /// The text of a parsed JSON body, for the audit record.
    pub(super) body: OnceLock<Bytes>,
}

impl Context {
    pub(super) fn params(&self) -> &Params {
        &self.0.params
    }

    /// The form in which this request's images are shown.
    pub(super) fn form(&self, state: &AppState, admin_fields: bool) -> ApiForm {
        ApiForm { version: self.0.version, mode: state.app().config.mode, admin_fields }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Context, ApiError> {
        let context = parts.extensions.get::<Context>().cloned();
        context.ok_or_else(|| ApiError::new(crate::images::Code::InternalError, "the request was not prepared"))
    }
}
