// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The options object, the last argument of every call.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::args::check_object;
use crate::moray::store::Expected;

/// Default limit of a search, in rows.
const DEFAULT_LIMIT: u64 = 1000;

/// Options of all methods. Unknown options are ignored, as in Moray.
#[derive(Debug)]
pub(super) struct Options {
    /// `etag`
    pub(super) expected: Expected,
    /// `limit`, `offset`, `sort` and the other options of a search
    pub(super) find: FindOptions,
    /// `sql_only`
    pub(super) sql_only: bool,
    /// `no_reindex`
    pub(super) no_reindex: bool,
    /// `deep`
    pub(super) deep: bool,
    /// `internalOpts.sendHandledOptions`
    pub(super) send_handled_options: bool,
}

/// Options of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FindOptions {
    /// Maximum number of rows; `None` for all.
    pub(crate) limit: Option<u64>,
    /// Number of rows to skip.
    pub(crate) offset: u64,
    /// Sort order, the most significant term first.
    pub(crate) sort: Vec<Sort>,
    /// Whether to leave `_count` out.
    pub(crate) no_count: bool,
    /// Whether to fail if an attribute has no usable index.
    pub(crate) require_indexes: bool,
}

/// One term of a sort order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort {
    /// The attribute.
    pub(crate) attribute: String,
    /// Whether the greatest value comes first.
    pub(crate) descending: bool,
}

impl FindOptions {
    /// Returns `LIMIT` and `OFFSET` in SQL, with a leading blank.
    pub(crate) fn page_sql(&self) -> String {
        let limit = self.limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
        format!(" LIMIT {limit} OFFSET {}", self.offset)
    }
}

type Checked<T> = Result<T, String>;

impl Options {
    /// Checks the options. An error names the wrong option after `path`, the path to the options.
    pub(super) fn parse(options: &Map<String, Value>, path: &str) -> Checked<Self> {
        let reader = Reader { options, path };
        reader.check_common()?;
        let send_handled_options = match options.get("internalOpts") {
            None => false,
            Some(internal) => {
                let path = format!("{path}.internalOpts");
                let options = check_object(internal, &path)?;
                Reader { options, path: &path }.flag("sendHandledOptions")?
            }
        };
        let require_indexes = reader.flag("requireIndexes")?;
        let require_online = reader.flag("requireOnlineReindexing")?;
        Ok(Self {
            expected: reader.expected()?,
            find: FindOptions {
                limit: reader.limit()?,
                offset: reader.count("offset")?.map_or(0, |count| count.number),
                sort: reader.sort()?,
                no_count: reader.flag("no_count")?,
                require_indexes: require_indexes || require_online,
            },
            sql_only: reader.flag("sql_only")?,
            no_reindex: reader.flag("no_reindex")?,
            deep: reader.flag("deep")?,
            send_handled_options,
        })
    }
}

struct Reader<'a> {
    options: &'a Map<String, Value>,
    path: &'a str,
}

/// A number that was sent as a number, or as a text of digits.
struct Count {
    number: u64,
    is_text: bool,
}

impl Reader<'_> {
    fn refuse<T>(&self, name: &str, what: &str) -> Checked<T> {
        Err(format!("{}.{name} should {what}", self.path))
    }

    /// Checks the options that have no effect here. `timeout` is one: no statement takes long enough to be stopped.
    fn check_common(&self) -> Checked<()> {
        match self.options.get("req_id") {
            None => {}
            Some(Value::String(id)) if id.len() == 36 && Uuid::try_parse(id).is_ok() => {}
            Some(Value::String(_)) => return self.refuse("req_id", "match format \"uuid\""),
            Some(_) => return self.refuse("req_id", "be string"),
        }
        if self.options.get("timeout").is_some_and(|timeout| timeout.as_u64().is_none()) {
            return self.refuse("timeout", "be integer");
        }
        if self.options.get("_value").is_some_and(|value| !value.is_string()) {
            return self.refuse("_value", "be string");
        }
        if let Some(headers) = self.options.get("headers") {
            check_object(headers, &format!("{}.headers", self.path))?;
        }
        self.flag("noCache")?;
        self.flag("noBucketCache")?;
        Ok(())
    }

    fn flag(&self, name: &str) -> Checked<bool> {
        match self.options.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => self.refuse(name, "be boolean"),
        }
    }

    fn count(&self, name: &str) -> Checked<Option<Count>> {
        match self.options.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(number) => Ok(Some(Count { number: bounded(number), is_text: false })),
                None => self.refuse(name, "be integer >= 0"),
            },
            Some(Value::String(text)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                let number = bounded(text.parse().unwrap_or(u64::MAX));
                Ok(Some(Count { number, is_text: true }))
            }
            Some(Value::String(_)) => self.refuse(name, "match pattern \"^[0-9]+$\""),
            Some(_) => self.refuse(name, "be integer,string"),
        }
    }

    /// Returns the limit. As in JavaScript, the number 0 counts as absent, but not the text "0".
    fn limit(&self) -> Checked<Option<u64>> {
        let no_limit = self.flag("noLimit")?;
        Ok(match self.count("limit")? {
            Some(Count { number, is_text }) if number > 0 || is_text => Some(number),
            _ if no_limit => None,
            _ => Some(DEFAULT_LIMIT),
        })
    }

    fn expected(&self) -> Checked<Expected> {
        match self.options.get("etag") {
            None => Ok(Expected::Anything),
            Some(Value::Null) => Ok(Expected::Nothing),
            Some(Value::String(etag)) => Ok(Expected::Etag(etag.clone())),
            Some(_) => self.refuse("etag", "be null,string"),
        }
    }

    fn sort(&self) -> Checked<Vec<Sort>> {
        let terms = match self.options.get("sort") {
            None => return Ok(Vec::new()),
            Some(Value::Array(terms)) => terms.iter().collect(),
            Some(term) => vec![term],
        };
        let mut sort = Vec::new();
        for term in terms {
            let term = check_object(term, &format!("{}.sort", self.path))?;
            let descending = match term.get("order").map(|order| order.as_str()) {
                None | Some(Some("ASC" | "asc")) => false,
                Some(Some("DESC" | "desc")) => true,
                Some(_) => return self.refuse("sort.order", "be \"ASC\" or \"DESC\""),
            };
            match term.get("attribute") {
                // Moray ignores a term without an attribute.
                None => {}
                Some(Value::String(attribute)) if attribute.is_empty() => {}
                Some(Value::String(attribute)) => {
                    sort.push(Sort { attribute: attribute.clone(), descending });
                }
                Some(_) => return self.refuse("sort.attribute", "be string"),
            }
        }
        Ok(sort)
    }
}

/// Limits a number to the 63 bits of SQL integers.
fn bounded(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(options: Value) -> Checked<Options> {
        Options::parse(options.as_object().unwrap(), "options")
    }

    #[test]
    fn limits_have_three_ways_to_be_absent() {
        let limit = |options| parse(options).unwrap().find.limit;
        assert_eq!(limit(json!({})), Some(1000));
        assert_eq!(limit(json!({"limit": 0})), Some(1000));
        assert_eq!(limit(json!({"limit": "0"})), Some(0));
        assert_eq!(limit(json!({"limit": 5, "noLimit": true})), Some(5));
        assert_eq!(limit(json!({"noLimit": true})), None);
        assert_eq!(limit(json!({"limit": "99999999999999999999999"})), Some(i64::MAX.unsigned_abs()));
    }

    #[test]
    fn null_is_not_absent() {
        for name in ["req_id", "limit", "offset", "timeout", "headers", "sort", "no_count", "noCache"] {
            assert!(parse(json!({name: null})).is_err(), "{name}");
        }
        assert_eq!(parse(json!({"etag": null})).unwrap().expected, Expected::Nothing);
        assert_eq!(parse(json!({})).unwrap().expected, Expected::Anything);
    }

    #[test]
    fn wrong_types_are_refused() {
        assert!(parse(json!({"req_id": "not-a-uuid"})).is_err());
        assert!(parse(json!({"limit": -1})).is_err());
        assert!(parse(json!({"limit": "1 OR 1"})).is_err());
        assert!(parse(json!({"sort": {"attribute": "a", "order": "DOWN"}})).is_err());
        assert!(parse(json!({"etag": 5})).is_err());
        assert!(parse(json!({"reconnect": true, "vnode": 5})).is_ok());
    }
}
