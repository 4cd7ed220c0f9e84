// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The routes.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::model::{self, missing_parameter, text};
use super::store::Store;
use super::{Kind, Object, config};
use crate::rest::{RestError, RestResult, object};

/// Maximum size of a body, in bytes.
const MAX_BODY: usize = 4 << 20;

type Params = Query<HashMap<String, String>>;

/// Returns all routes.
pub(super) fn router(store: Store) -> Router {
    Router::new()
        .merge(routes_of("/applications", Kind::Application))
        .merge(routes_of("/services", Kind::Service))
        .merge(routes_of("/instances", Kind::Instance))
        .merge(routes_of("/manifests", Kind::Manifest))
        .route("/instances/{uuid}/payload", get(get_payload))
        .route("/instances/{uuid}/upgrade", put(upgrade))
        .route("/configs/{uuid}", get(get_config))
        .route("/mode", get(get_mode).post(set_mode))
        .route("/ping", get(ping))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(store)
}

/// Returns the routes of a kind. Manifests cannot be changed.
fn routes_of(path: &str, kind: Kind) -> Router<Store> {
    let all = get(move |State(store): State<Store>, query: Params, headers: HeaderMap| {
        list(store, kind, query, headers)
    })
    .post(
        move |State(store): State<Store>, query: Params, headers: HeaderMap, body: Bytes| async move {
            let (version, request) = (Version::of(&headers)?, request(query, &body)?);
            let object = store.run(move |tables| model::create(tables, kind, &request)).await?;
            Ok::<_, RestError>(Json(version.seen(object)))
        },
    );
    let mut one =
        get(move |State(store): State<Store>, Path(uuid): Path<String>, headers: HeaderMap| async move {
            let version = Version::of(&headers)?;
            let object = store.run(move |tables| tables.get(kind, &uuid)).await?;
            Ok::<_, RestError>(Json(version.seen(object)))
        })
        .delete(move |State(store): State<Store>, Path(uuid): Path<String>| async move {
            let removed = store.run(move |tables| tables.remove(kind, &uuid)).await?;
            Ok::<_, RestError>(if removed { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
        });
    if kind != Kind::Manifest {
        one = one.put(
            move |State(store): State<Store>,
                  Path(uuid): Path<String>,
                  query: Params,
                  headers: HeaderMap,
                  body: Bytes| async move {
                let (version, request) = (Version::of(&headers)?, request(query, &body)?);
                let object = store.run(move |tables| model::change(tables, kind, &uuid, &request)).await?;
                Ok::<_, RestError>(Json(version.seen(object)))
            },
        );
    }
    Router::new().route(path, all).route(&format!("{path}/{{uuid}}"), one)
}

/// The version of SAPI that a client uses. Version 1 has no agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn of(headers: &HeaderMap) -> RestResult<Self> {
        let Some(wanted) = headers.get("accept-version") else { return Ok(Self::One) };
        let wanted = wanted.to_str().unwrap_or_default();
        let major =
            wanted.trim_start_matches(['~', '^', '>', '=', ' ']).split('.').next().unwrap_or_default();
        match major {
            "1" => Ok(Self::One),
            "2" | "*" | "x" => Ok(Self::Two),
            _ => {
                let message = format!("{wanted} is not supported");
                Err(RestError::new(StatusCode::BAD_REQUEST, "InvalidVersion", message))
            }
        }
    }

    /// Returns the object as a client of this version sees it.
    fn seen(self, mut object: Object) -> Object {
        if self == Self::One {
            object.shift_remove("type");
        }
        object
    }
}

/// Returns the parameters of a request, from the query and the body.
fn request(Query(query): Params, body: &Bytes) -> RestResult<Object> {
    let mut request = object(body)?;
    request.extend(query.into_iter().map(|(name, value)| (name, value.into())));
    Ok(request)
}

async fn list(
    store: Store,
    kind: Kind,
    Query(query): Params,
    headers: HeaderMap,
) -> RestResult<Json<Vec<Object>>> {
    let version = Version::of(&headers)?;
    let mut wanted: HashMap<&'static str, String> =
        kind.filters().iter().filter_map(|name| Some((*name, query.get(*name)?.clone()))).collect();
    // The instances of a service have its type.
    if kind == Kind::Instance && wanted.contains_key("service_uuid") {
        wanted.remove("type");
    } else if version == Version::One && kind.filters().contains(&"type") {
        wanted.entry("type").or_insert_with(|| "vm".to_owned());
    }
    let objects = store.run(move |tables| tables.list(kind)).await?;
    let found = objects
        .into_iter()
        .filter(|object| wanted.iter().all(|(name, value)| text(object, name) == value))
        .map(|object| version.seen(object));
    Ok(Json(found.collect()))
}

async fn get_payload(State(store): State<Store>, Path(uuid): Path<String>) -> RestResult<Json<Object>> {
    Ok(Json(store.run(move |tables| config::payload(tables, &uuid)).await?))
}

/// Only checks the request, because there is no zone to reprovision.
async fn upgrade(
    State(store): State<Store>,
    Path(uuid): Path<String>,
    query: Params,
    headers: HeaderMap,
    body: Bytes,
) -> RestResult<Json<Object>> {
    let (version, request) = (Version::of(&headers)?, request(query, &body)?);
    if text(&request, "image_uuid").is_empty() {
        return Err(missing_parameter("missing image_uuid"));
    }
    Ok(Json(version.seen(store.run(move |tables| tables.get(Kind::Instance, &uuid)).await?)))
}

/// The `ETag` is sent and compared without quotes.
async fn get_config(
    State(store): State<Store>,
    Path(uuid): Path<String>,
    headers: HeaderMap,
) -> RestResult<Response> {
    let config = store.run(move |tables| config::config(tables, &uuid)).await?;
    let etag = config::etag(&config)?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known =
        known.is_some_and(|tags| tags.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim() == etag));
    let tag = [(header::ETAG, etag)];
    Ok(match known {
        true => (StatusCode::NOT_MODIFIED, tag).into_response(),
        false => (tag, Json(config)).into_response(),
    })
}

async fn get_mode(State(store): State<Store>) -> RestResult<Json<String>> {
    Ok(Json(store.run(|tables| tables.mode()).await?))
}

async fn set_mode(State(store): State<Store>, query: Params, body: Bytes) -> RestResult<StatusCode> {
    let request = request(query, &body)?;
    match text(&request, "mode") {
        "full" => store.run(|tables| tables.set_mode("full")).await?,
        "" => return Err(missing_parameter("missing \"mode\" parameter")),
        mode => return Err(RestError::invalid_argument(format!("invalid mode: {mode}"))),
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn ping(State(store): State<Store>) -> RestResult<Json<Value>> {
    let mode = store.run(|tables| tables.mode()).await?;
    Ok(Json(ping_of(&mode, true)))
}

/// Returns the body of `/ping`.
pub(super) fn ping_of(mode: &str, is_available: bool) -> Value {
    let stor = if mode == "proto" { "LocalStorage" } else { "MorayLocalStorage" };
    json!({"mode": mode, "storType": stor, "storAvailable": is_available})
}
