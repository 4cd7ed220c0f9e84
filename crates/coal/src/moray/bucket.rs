// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bucket definitions and the rules for their names.

use serde_json::{Map, Value, json};

use super::error::{MorayError, Result};
use super::index::IndexType;

const RESERVED_BUCKETS: [&str; 3] = ["buckets_config", "moray", "search"];
const RESERVED_INDEXES: [&str; 11] =
    ["_etag", "_id", "_idx", "_key", "_atime", "_ctime", "_mtime", "_rver", "_txn_snap", "_value", "_vnode"];

/// One index of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// The attribute, and the name of its column.
    pub(crate) name: String,
    /// Type of its values.
    pub(crate) kind: IndexType,
    /// Whether two objects must not have the same value.
    pub(crate) unique: bool,
}

/// A bucket as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Name of the bucket.
    pub(crate) name: String,
    /// Indexes, in the order of the definition.
    pub(crate) indexes: Vec<Index>,
    /// The `options` object, including `version`.
    pub(crate) options: Map<String, Value>,
    /// Indexes that are still being filled, by the bucket version that added them.
    pub(crate) reindex_active: Map<String, Value>,
    /// Time at which the definition was written, in milliseconds since the epoch.
    pub(crate) mtime: i64,
}

impl Bucket {
    /// Checks a definition from `createBucket` or `updateBucket`.
    pub(crate) fn parse(name: &str, config: &Map<String, Value>, mtime: i64) -> Result<Self> {
        for triggers in ["pre", "post"] {
            match config.get(triggers) {
                None => {}
                Some(Value::Array(list)) if list.is_empty() => {}
                // A trigger is JavaScript that runs inside Moray. It must not be dropped silently.
                Some(_) => return Err(config_error(format!("\"{triggers}\" triggers are not supported"))),
            }
        }
        check_bucket_name(name)?;
        let indexes = match config.get("index") {
            None => Vec::new(),
            Some(Value::Object(index)) => {
                index.iter().map(|(name, entry)| parse_index(name, entry)).collect::<Result<_>>()?
            }
            Some(_) => return Err(config_error("bucket.index should be object".to_owned())),
        };
        let options = match config.get("options") {
            None => Map::new(),
            Some(Value::Object(options)) => options.clone(),
            Some(_) => return Err(config_error("bucket.options should be object".to_owned())),
        };
        if options.contains_key("trackModification") {
            return Err(config_error("\"trackModification\" is no longer supported".to_owned()));
        }
        if options.get("version").is_some_and(|version| !version.is_u64()) {
            return Err(config_error("bucket.options.version should be integer".to_owned()));
        }
        Ok(Self { name: name.to_owned(), indexes, options, reindex_active: Map::new(), mtime })
    }

    /// Returns the bucket's version; 0 means that it has none.
    pub(crate) fn version(&self) -> u64 {
        self.options.get("version").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Returns the index called `name`, whether it is usable or not.
    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Returns whether the index called `name` is still being filled.
    pub(crate) fn is_reindexing(&self, name: &str) -> bool {
        self.reindex_active
            .values()
            .filter_map(Value::as_array)
            .flatten()
            .any(|field| field.as_str() == Some(name))
    }

    /// Returns the index called `name` if searches may use it.
    pub(crate) fn usable_index(&self, name: &str) -> Option<&Index> {
        self.index(name).filter(|_| !self.is_reindexing(name))
    }

    /// Returns the quoted name of the bucket's table.
    pub(crate) fn table(&self) -> String {
        table(&self.name)
    }

    /// Returns the `index` object of the definition.
    pub(crate) fn index_json(&self) -> Value {
        let entries = self.indexes.iter().map(|index| {
            let entry = if index.unique {
                json!({"type": index.kind.name, "unique": true})
            } else {
                json!({"type": index.kind.name})
            };
            (index.name.clone(), entry)
        });
        Value::Object(entries.collect())
    }
}

/// Returns the quoted table name of a bucket. The prefix avoids a clash with SQLite's own names.
pub(crate) fn table(bucket: &str) -> String {
    quote(&format!("bucket_{bucket}"))
}

/// Quotes a name as an SQL identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Checks that the name matches `^[a-zA-Z]\w{0,62}$` and is not reserved.
fn check_bucket_name(name: &str) -> Result<()> {
    let shaped = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if shaped && !RESERVED_BUCKETS.contains(&name) {
        Ok(())
    } else {
        Err(MorayError::InvalidBucketName(name.to_owned()))
    }
}

fn parse_index(name: &str, entry: &Value) -> Result<Index> {
    check_index_name(name)?;
    let entry =
        entry.as_object().ok_or_else(|| config_error(format!("bucket.index['{name}'] should be object")))?;
    if let Some(extra) = entry.keys().find(|key| !matches!(key.as_str(), "type" | "unique")) {
        return Err(config_error(format!(
            "bucket.index['{name}'] should NOT have additional properties: \"{extra}\""
        )));
    }
    let kind = entry.get("type").and_then(Value::as_str).and_then(IndexType::from_name).ok_or_else(|| {
        config_error(format!(
            "bucket.index['{name}'].type should be equal to one of the allowed values ({})",
            IndexType::names()
        ))
    })?;
    let unique = match entry.get("unique") {
        None => false,
        Some(Value::Bool(unique)) => *unique,
        Some(_) => {
            return Err(config_error(format!("bucket.index['{name}'].unique should be boolean")));
        }
    };
    Ok(Index { name: name.to_owned(), kind, unique })
}

/// Checks that the name matches `^(_[a-zA-Z0-9]+|[a-zA-Z][_a-zA-Z0-9]*[a-zA-Z0-9]|[a-zA-Z])$`, and that it is neither reserved
/// nor `moray…`.
fn check_index_name(name: &str) -> Result<()> {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let shaped = match name.strip_prefix('_') {
        Some(rest) => !rest.is_empty() && rest.chars().all(alphanumeric),
        None => {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.ends_with(alphanumeric)
                && name.chars().all(|c| alphanumeric(c) || c == '_')
        }
    };
    if !shaped {
        return Err(config_error(format!("invalid index name \"{name}\"")));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED_INDEXES.contains(&lower.as_str()) {
        return Err(config_error(format!("index name \"{name}\" is reserved for use by Moray")));
    }
    if lower.trim_start_matches('_').starts_with("moray") {
        return Err(config_error(format!("index names cannot start with \"moray\": \"{name}\"")));
    }
    Ok(())
}

fn config_error(message: String) -> MorayError {
    MorayError::InvalidBucketConfig(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, config: Value) -> Result<Bucket> {
        Bucket::parse(name, config.as_object().unwrap(), 0)
    }

    #[test]
    fn names_follow_the_rules() {
        for good in ["a", "imgapi_images", "A1_"] {
            assert!(parse(good, json!({})).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a-b", "search", "moray", "buckets_config", &"a".repeat(64), "é"] {
            assert!(matches!(parse(bad, json!({})), Err(MorayError::InvalidBucketName(_))), "{bad}");
        }
    }

    #[test]
    fn index_names_follow_the_rules() {
        for good in ["a", "a_b", "_a", "aB9"] {
            assert!(parse("b", json!({"index": {good: {"type": "string"}}})).is_ok(), "{good}");
        }
        for bad in ["", "a_", "_", "_a_b", "_ID", "moray_x", "__moray", "a.b", "a\"b", "9a"] {
            assert!(
                matches!(
                    parse("b", json!({"index": {bad: {"type": "string"}}})),
                    Err(MorayError::InvalidBucketConfig(_))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn unknown_types_members_and_triggers_are_refused() {
        assert!(parse("b", json!({"index": {"a": {"type": "strin"}}})).is_err());
        assert!(parse("b", json!({"index": {"a": {"type": "string", "uniq": true}}})).is_err());
        assert!(parse("b", json!({"pre": ["function (req, cb) { cb(); }"]})).is_err());
        assert!(parse("b", json!({"options": {"version": -1}})).is_err());
        assert!(parse("b", json!({"pre": [], "post": [], "options": {"version": 3}})).is_ok());
    }

    #[test]
    fn reindexing_indexes_are_not_usable() {
        let mut bucket =
            parse("b", json!({"index": {"a": {"type": "string"}, "b": {"type": "number"}}})).unwrap();
        bucket.reindex_active.insert("2".to_owned(), json!(["b"]));
        assert!(bucket.usable_index("a").is_some());
        assert!(bucket.index("b").is_some());
        assert!(bucket.usable_index("b").is_none());
    }
}
