// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use bytes::Bytes;

use super::AppState;
use super::params::Params;
use crate::auth::Caller;
use crate::config::ChannelId;
use crate::db::Found;
use crate::images::{ApiError, ApiResult, Code, Size};
use crate::manifest::{ApiForm, ApiVersion, FieldError, Mode, Uuid};

const REQUEST_ID: [HeaderName; 2] =
    [HeaderName::from_static("request-id"), HeaderName::from_static("x-request-id")];

/// The value of `channel` for all channels.
const ALL_CHANNELS: &str = "*";

/// The name of the route if none matched.
const UNKNOWN: &str = "unknown";

/// The client's address, which the server adds to every request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A request, shared by all steps of its processing.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Exchange>);

/// See [`Context`].
#[derive(Debug)]
pub(super) struct Exchange {
    /// When the head of the request had arrived.
    pub(super) started: Instant,
    /// The `request-id` from the caller, or a new one. It may be any text.
    pub(super) id: HeaderValue,
    pub(super) peer: Option<SocketAddr>,
    pub(super) method: Method,
    /// The URI as received.
    pub(super) uri: Uri,
    pub(super) http_version: Version,
    pub(super) headers: HeaderMap,
    pub(super) params: Params,
    /// The name of the route, once it is known.
    pub(super) route: OnceLock<&'static str>,
    /// The version of the API to answer in, once it is known.
    pub(super) version: OnceLock<ApiVersion>,
    /// The caller, once it is authenticated.
    pub(super) caller: OnceLock<Caller>,
    /// The text of a parsed JSON body, for the audit record.
    pub(super) body: OnceLock<Bytes>,
    /// How much work the request is.
    pub(super) size: Size,
    /// How outdated the answer may be, if the database is unavailable.
    pub(super) stale: OnceLock<Duration>,
}

impl Context {
    pub(super) fn new<B>(request: &Request<B>) -> Context {
        let headers = request.headers();
        let id = REQUEST_ID.iter().find_map(|name| id_of_caller(headers, name)).unwrap_or_else(new_id);
        Context(Arc::new(Exchange {
            started: Instant::now(),
            id,
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
            method: request.method().clone(),
            uri: request.uri().clone(),
            http_version: request.version(),
            headers: headers.clone(),
            params: Params::parse(request.uri().query()),
            route: OnceLock::new(),
            version: OnceLock::new(),
            caller: OnceLock::new(),
            body: OnceLock::new(),
            size: Size::default(),
            stale: OnceLock::new(),
        }))
    }

    /// Returns the form in which this request's images are shown.
    pub(super) fn form(&self, state: &AppState, admin_fields: bool) -> ApiForm {
        let version = self.version.get().copied().unwrap_or(ApiVersion::V1);
        ApiForm { version, mode: state.app().config.mode, admin_fields }
    }

    /// Returns the channel of a request, for routes that concern a single channel; `None` if the server has no channels.
    pub(super) fn channel(&self, state: &AppState) -> ApiResult<Option<ChannelId>> {
        let channels = &state.app().config.channels;
        if channels.is_empty() {
            return Ok(None);
        }
        let problem = match self.params.one("channel") {
            Ok(Some(name)) if !name.is_empty() => match channels.find(name) {
                Some(channel) => return Ok(Some(channel)),
                None => FieldError::invalid("channel").because(format!("{name:?} is not a channel")),
            },
            Ok(_) => match channels.default_channel() {
                Some(channel) => return Ok(Some(channel)),
                None => FieldError::missing("channel"),
            },
            Err(_) => FieldError::invalid("channel").because("must be given once"),
        };
        Err(ApiError::invalid_request(vec![problem]))
    }

    /// Returns the channel, for routes that may also concern all channels: `*` is `None`.
    pub(super) fn channel_or_all(&self, state: &AppState) -> ApiResult<Option<ChannelId>> {
        match self.params.one("channel") {
            Ok(Some(ALL_CHANNELS)) => Ok(None),
            _ => self.channel(state),
        }
    }

    /// Returns the result of a read, and remembers its age.
    pub(super) fn found<T>(&self, found: Found<T>) -> T {
        if let Some(age) = found.stale {
            let _ = self.stale.set(age);
        }
        found.value
    }

    /// Returns the name of the authenticated user; `None` if the request is anonymous.
    pub(super) fn user(&self) -> Option<&str> {
        match self.caller.get()? {
            Caller::User(name) => Some(name),
            Caller::Anonymous => None,
        }
    }

    /// Returns whether the caller may read active images only: anonymous callers on a server with users.
    pub(super) fn sees_active_only(&self, state: &AppState) -> bool {
        state.app().config.mode != Mode::Dc && state.auth().is_enabled() && self.user().is_none()
    }

    /// Reads `inclAdminFields`, which outside a datacenter only users may set.
    pub(super) fn admin_fields(&self, state: &AppState) -> ApiResult<bool> {
        let wanted = self.params.flag("inclAdminFields")?;
        if wanted && state.app().config.mode != Mode::Dc && self.user().is_none() {
            let message = "inclAdminFields is for authenticated users";
            return Err(ApiError::new(Code::UnauthorizedError, message));
        }
        Ok(wanted)
    }

    /// Returns whether the request is logged only if it fails, because health checks would hide everything else.
    pub(super) fn is_quiet(&self) -> bool {
        let path = self.uri.path();
        matches!(self.method, Method::GET | Method::HEAD) && (path == "/ping" || path.starts_with("/docs/"))
    }

    pub(super) fn id_text(&self) -> String {
        String::from_utf8_lossy(self.id.as_bytes()).into_owned()
    }

    pub(super) fn route_name(&self) -> &'static str {
        self.route.get().copied().unwrap_or(UNKNOWN)
    }
}

impl Deref for Context {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.0
    }
}

/// Returns the header that the caller sent with this name, with several lines joined; `None` if it is absent or empty.
fn id_of_caller(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&lines.join(&b", "[..])).ok().filter(|id| !id.is_empty())
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("-"))
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Context, ApiError> {
        let context = parts.extensions.get::<Context>().cloned();
        context.ok_or_else(|| ApiError::new(Code::InternalError, "the request was not prepared"))
    }
}
