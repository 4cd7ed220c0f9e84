// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The routes.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::vm::Vm;
use crate::rest::{RestError, RestResult};

/// Members by which a list can be filtered.
const FILTERS: [&str; 8] =
    ["uuid", "alias", "owner_uuid", "server_uuid", "image_uuid", "brand", "state", "docker"];

/// Prefix of the parameters that filter by a tag.
const TAG: &str = "tag.";

type Params = Query<HashMap<String, String>>;

pub(super) fn router(fleet: Fleet) -> Router {
    Router::new()
        .route("/ping", get(ping))
        .route("/vms", get(list))
        .route("/vms/{uuid}", get(vm))
        .with_state(fleet)
}

async fn ping() -> Json<Value> {
    Json(json!({"pid": std::process::id(), "status": "OK", "healthy": true}))
}

async fn list(State(fleet): State<Fleet>, Query(query): Params) -> RestResult<Response> {
    if let Some(unknown) = query.keys().find(|name| {
        let known = FILTERS.contains(&name.as_str()) || name.starts_with(TAG);
        !known && !matches!(name.as_str(), "limit" | "offset")
    }) {
        return Err(RestError::invalid_argument(format!("Invalid filter: {unknown}")));
    }
    let number = |name: &str, default| {
        query.get(name).map_or(Ok(default), |text| {
            text.parse::<usize>().map_err(|_| RestError::invalid_argument(format!("Invalid {name}")))
        })
    };
    let (offset, limit) = (number("offset", 0)?, number("limit", 1_000)?);
    let vms: Vec<Vm> = fleet.vms().into_iter().filter(|vm| matches(vm, &query)).collect();
    let count = vms.len().to_string();
    let page: Vec<Vm> = vms.into_iter().skip(offset).take(limit).collect();
    Ok(([("x-joyent-resource-count", count)], Json(page)).into_response())
}

/// Returns whether the machine has all requested values. By default, destroyed machines do not match.
fn matches(vm: &Vm, query: &HashMap<String, String>) -> bool {
    let vm = serde_json::to_value(vm).unwrap_or_default();
    let equals = |value: &Value, wanted: &str| match value {
        Value::String(text) => text == wanted,
        Value::Bool(value) => wanted == if *value { "true" } else { "false" },
        Value::Number(number) => number.to_string() == wanted,
        _ => false,
    };
    let is = |name: &str, wanted: &str| vm.get(name).map_or(wanted == "false", |value| equals(value, wanted));
    let state = match query.get("state").map(String::as_str) {
        Some("active") | None => !is("state", "destroyed"),
        Some(state) => is("state", state),
    };
    let mut tags = query.iter().filter_map(|(name, wanted)| Some((name.strip_prefix(TAG)?, wanted)));
    let tagged = tags.all(|(name, wanted)| vm["tags"].get(name).is_some_and(|value| equals(value, wanted)));
    let others = FILTERS.iter().filter(|name| **name != "state");
    state
        && tagged
        && others.filter_map(|name| Some((name, query.get(*name)?))).all(|(name, wanted)| is(name, wanted))
}

async fn vm(
    State(fleet): State<Fleet>,
    Path(uuid): Path<String>,
    Query(query): Params,
) -> RestResult<Json<Vm>> {
    let owner = query.get("owner_uuid");
    let vm = fleet.vm(&uuid).filter(|vm| owner.is_none_or(|owner| *owner == vm.owner_uuid));
    vm.map(Json).ok_or_else(|| RestError::not_found(format!("VM {uuid} not found")))
}
