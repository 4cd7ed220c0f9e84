// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The objects that the datacenter itself writes into SAPI at every start.

use serde_json::Value;

use super::model::text;
use super::store::Tables;
use super::{Kind, Object};
use crate::rest::RestResult;

/// Creates the object, or updates the values that were seeded earlier. A key stays as it is if its value is no longer the seeded
/// one: then a user has changed or removed it.
pub(super) fn seed(tables: &Tables<'_>, kind: Kind, mut object: Object) -> RestResult<()> {
    let uuid = text(&object, "uuid").to_owned();
    let before = tables.seeded(kind, &uuid)?.unwrap_or_default();
    tables.put_seed(kind, &uuid, &object)?;
    if let Some(present) = tables.find(kind, &uuid)? {
        object = followed(&present, &before, &object, kind);
    }
    tables.put(kind, &uuid, &object)
}

fn followed(present: &Object, before: &Object, after: &Object, kind: Kind) -> Object {
    let mut object = present.clone();
    for name in kind.maps() {
        let map = |object: &Object| object.get(*name).and_then(Value::as_object).cloned().unwrap_or_default();
        let (mut map_now, before, after) = (map(present), map(before), map(after));
        for key in before.keys().chain(after.keys()) {
            if map_now.get(key) != before.get(key) {
                continue;
            }
            match after.get(key) {
                Some(value) => drop(map_now.insert(key.clone(), value.clone())),
                None => drop(map_now.shift_remove(key)),
            }
        }
        if !map_now.is_empty() || object.contains_key(*name) {
            object.insert((*name).to_owned(), map_now.into());
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(metadata: Value) -> Object {
        json!({"uuid": "u", "metadata": metadata}).as_object().unwrap().clone()
    }

    #[test]
    fn what_was_seeded_follows_and_what_was_changed_stays() {
        let before = object(json!({"port": 1, "changed": 1, "removed": 1, "gone": 1}));
        let present = object(json!({"port": 1, "changed": 2, "gone": 1, "own": 1}));
        let after = object(json!({"port": 3, "changed": 3, "removed": 3, "new": 3}));
        let followed = followed(&present, &before, &after, Kind::Service);
        assert_eq!(followed, object(json!({"port": 3, "changed": 2, "own": 1, "new": 3})));
    }
}
