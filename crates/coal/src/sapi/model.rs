// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Creates and changes objects, and merges what an instance inherits.

use serde_json::Value;
use uuid::Uuid;

use super::store::Tables;
use super::{Kind, Object};
use crate::rest::{RestError, RestResult};

/// The effect of a change on the keys that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The keys are set.
    Update,
    /// Whole maps are replaced.
    Replace,
    /// The keys are removed.
    Delete,
}

impl Action {
    /// Parses an action in any case. The default is an update.
    pub(super) fn parse(action: Option<&Value>) -> RestResult<Self> {
        let action = action.map_or("update", |action| action.as_str().unwrap_or_default());
        match action.to_lowercase().as_str() {
            "update" => Ok(Self::Update),
            "replace" => Ok(Self::Replace),
            "delete" => Ok(Self::Delete),
            _ => Err(RestError::invalid_argument(format!("invalid action: {action}"))),
        }
    }
}

/// Returns a member as text; empty if it is not a text.
pub(super) fn text<'a>(object: &'a Object, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Creates an object from a request.
pub(super) fn create(tables: &Tables<'_>, kind: Kind, request: &Object) -> RestResult<Object> {
    let missing: Vec<&str> =
        kind.required().iter().copied().filter(|name| !request.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(missing_parameter(format!("missing required keys: {}", missing.join(", "))));
    }
    let mut object = Object::new();
    let uuid = request.get("uuid").cloned().unwrap_or_else(|| Uuid::new_v4().to_string().into());
    object.insert("uuid".to_owned(), uuid);
    let given =
        kind.members().iter().filter_map(|name| Some(((*name).to_owned(), request.get(*name)?.clone())));
    object.extend(given.filter(|(_, value)| !value.is_null()));
    kind.check_types(&object)?;
    if kind == Kind::Service {
        let kind_of_service = object.entry("type").or_insert_with(|| "vm".into());
        if !matches!(kind_of_service.as_str(), Some("vm" | "agent")) {
            return Err(RestError::internal(format!("service type is invalid: {kind_of_service}")));
        }
    }
    for uuid in manifests_of(&object) {
        tables.get(Kind::Manifest, uuid)?;
    }
    if let Some((above, member)) = kind.parent() {
        let parent = tables.get(above, text(&object, member))?;
        if kind == Kind::Instance {
            object.insert("type".to_owned(), text(&parent, "type").into());
        }
    }
    tables.put(kind, text(&object, "uuid"), &object)?;
    Ok(object)
}

/// Changes an object according to a request.
pub(super) fn change(tables: &Tables<'_>, kind: Kind, uuid: &str, request: &Object) -> RestResult<Object> {
    let action = Action::parse(request.get("action"))?;
    // SAPI treats this as an internal error.
    let none = || RestError::internal(format!("no record for {} {uuid}", kind.name()));
    let mut object = tables.find(kind, uuid)?.ok_or_else(none)?;
    for name in kind.maps() {
        match request.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(changes)) => apply(&mut object, name, changes, action),
            Some(_) => return Err(RestError::invalid_argument(format!("invalid {name}"))),
        }
    }
    if kind == Kind::Application
        && let Some(owner @ Value::String(_)) = request.get("owner_uuid")
    {
        object.insert("owner_uuid".to_owned(), owner.clone());
    }
    tables.put(kind, uuid, &object)?;
    Ok(object)
}

fn apply(object: &mut Object, name: &str, changes: &Object, action: Action) {
    let entry = object.entry(name).or_insert_with(|| Object::new().into());
    if !entry.is_object() || action == Action::Replace {
        *entry = Object::new().into();
    }
    let Some(map) = entry.as_object_mut() else { return };
    if action == Action::Delete {
        map.retain(|key, _| !changes.contains_key(key));
    } else {
        map.extend(changes.clone());
    }
}

/// Returns the UUIDs of an object's manifests.
fn manifests_of(object: &Object) -> impl Iterator<Item = &str> {
    let manifests = object.get("manifests").and_then(Value::as_object);
    manifests.into_iter().flat_map(|map| map.values()).map(|uuid| uuid.as_str().unwrap_or_default())
}

/// An instance with its service and application.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) application: Object,
    pub(super) service: Object,
    pub(super) instance: Object,
}

impl Family {
    /// Loads an instance with its service and application.
    pub(super) fn of(tables: &Tables<'_>, instance: &str) -> RestResult<Self> {
        let instance = tables.get(Kind::Instance, instance)?;
        let service = tables.get(Kind::Service, text(&instance, "service_uuid"))?;
        let application = tables.get(Kind::Application, text(&service, "application_uuid"))?;
        Ok(Self { application, service, instance })
    }

    /// Merges the maps of this name. For each key, the value nearest to the instance wins.
    pub(super) fn merged(&self, name: &str) -> Object {
        let all = [&self.application, &self.service, &self.instance];
        let maps = all.into_iter().filter_map(|object| object.get(name)?.as_object());
        maps.fold(Object::new(), |mut merged, map| {
            merged.extend(map.clone());
            merged
        })
    }
}

/// 409 `MissingParameter`
pub(super) fn missing_parameter(message: impl Into<String>) -> RestError {
    RestError::new(axum::http::StatusCode::CONFLICT, "MissingParameter", message)
}
