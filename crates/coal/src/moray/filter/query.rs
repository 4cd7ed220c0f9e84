// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Translates a filter to SQL over a bucket's table, which must have the alias `t`.

use rusqlite::types::Value as Column;
use serde_json::Value;

use super::INTERNAL_FIELDS;
use super::ast::{Filter, Operation, Substring, Test};
use super::matches::{Matcher, Subject};
use super::parse::{parse, substring_of};
use crate::moray::bucket::{Bucket, quote};
use crate::moray::error::{MorayError, Result, UnusableFields};
use crate::moray::index::{IndexType, Scalar, parse_boolean, parse_date, parse_uuid};
use crate::moray::js;

/// A filter that is ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Query {
    /// The condition, without `WHERE`.
    pub(crate) condition: String,
    /// Values of its parameters, starting with `?1`.
    pub(crate) parameters: Vec<Column>,
    matcher: Matcher,
}

impl Query {
    /// Parses and translates `text` for `bucket`.
    pub(crate) fn compile(bucket: &Bucket, text: &str) -> Result<Self> {
        let mut filter = parse(text).map_err(|error| {
            tracing::debug!(%error, "filter refused");
            MorayError::InvalidQuery(text.to_owned())
        })?;
        let original = filter.clone();
        check_operations(bucket, &original)?;
        let mut compiler = Compiler { bucket, parameters: Vec::new() };
        let condition = compiler.filter(&mut filter)?.ok_or_else(|| invalid(&original))?;
        let trusted = |name: &str| bucket.usable_index(name).is_some_and(|i| i.kind.scalar == Scalar::Date);
        let matcher = Matcher::new(&filter, &trusted).ok_or_else(|| invalid(&original))?;
        Ok(Self { condition, parameters: compiler.parameters, matcher })
    }

    /// Does the second pass: returns whether a row that the condition found matches.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matcher.matches(subject)
    }
}

/// Returns the attributes of the filter that no index can be used for; `None` if there are none. A filter that cannot be parsed
/// is reported by [`Query::compile`] instead.
pub(crate) fn unusable_fields(bucket: &Bucket, text: &str) -> Option<UnusableFields> {
    let filter = parse(text).ok()?;
    let mut fields = UnusableFields::default();
    filter.for_each_test(&mut |test| {
        let name = &test.attribute;
        let list = if INTERNAL_FIELDS.contains(&name.as_str()) {
            return;
        } else if bucket.index(name).is_none() {
            &mut fields.unindexed
        } else if bucket.is_reindexing(name) {
            &mut fields.reindexing
        } else {
            return;
        };
        if !list.contains(name) {
            list.push(name.clone());
        }
    });
    (fields != UnusableFields::default()).then_some(fields)
}

/// Rejects operations that no filter may contain, at any depth.
fn check_operations(bucket: &Bucket, filter: &Filter) -> Result<()> {
    let mut outcome = Ok(());
    filter.for_each_test(&mut |test| {
        if outcome.is_err() {
            return;
        }
        outcome = match &test.operation {
            Operation::Approximate(_) => Err(MorayError::Plain("approx filters not allowed".to_owned())),
            Operation::Extensible { rule, .. } => match rule.as_str() {
                "caseIgnoreMatch" | "2.5.13.2" | "caseIgnoreSubstringsMatch" | "2.5.13.4" => Ok(()),
                "overlaps" | "contains" | "within" if bucket.usable_index(&test.attribute).is_some() => {
                    Ok(())
                }
                "overlaps" | "contains" | "within" => Err(not_indexed(bucket, filter)),
                _ => Err(MorayError::Plain("unsupported ext filter".to_owned())),
            },
            _ => Ok(()),
        };
        if outcome.is_ok() && test.attribute == "_idx" {
            outcome = Err(MorayError::Plain("filtering on \"_idx\" is not allowed".to_owned()));
        }
    });
    outcome
}

fn invalid(filter: &impl ToString) -> MorayError {
    MorayError::InvalidQuery(filter.to_string())
}

fn not_indexed(bucket: &Bucket, filter: &impl ToString) -> MorayError {
    MorayError::NotIndexed { bucket: bucket.name.clone(), filter: filter.to_string(), fields: None }
}

/// A column that can be used in a test.
struct Target {
    sql: String,
    kind: IndexType,
}

struct Compiler<'a> {
    bucket: &'a Bucket,
    parameters: Vec<Column>,
}

impl Compiler<'_> {
    /// Returns the condition of a filter and gives its values their types; `None` if SQL cannot restrict the result.
    fn filter(&mut self, filter: &mut Filter) -> Result<Option<String>> {
        let canonical = match filter {
            Filter::And(_) | Filter::Or(_) => filter.to_string(),
            _ => String::new(),
        };
        match filter {
            Filter::And(filters) => {
                let mut usable = Vec::new();
                for filter in filters {
                    usable.extend(self.filter(filter)?);
                }
                if usable.is_empty() {
                    return Err(not_indexed(self.bucket, &canonical));
                }
                Ok(Some(join("AND", &usable)))
            }
            Filter::Or(filters) => {
                let mut all = Vec::new();
                for filter in filters {
                    all.push(self.filter(filter)?.ok_or_else(|| not_indexed(self.bucket, &canonical))?);
                }
                Ok(Some(join("OR", &all)))
            }
            Filter::Not(filter) => Ok(self.filter(filter)?.map(|inner| format!("(NOT {inner})"))),
            Filter::Test(test) => self.test(test),
        }
    }

    fn test(&mut self, test: &mut Test) -> Result<Option<String>> {
        let original = test.clone();
        let Some(target) = self.target(&test.attribute) else {
            return match &test.operation {
                Operation::Extensible { rule, .. } if rule.starts_with('2') => {
                    Err(not_indexed(self.bucket, &original))
                }
                _ => Ok(None),
            };
        };
        match &mut test.operation {
            // Moray requires an index here and ignores its internal columns.
            Operation::Present if self.bucket.usable_index(&original.attribute).is_none() => Ok(None),
            Operation::Present => Ok(Some(format!("({} IS NOT NULL)", target.sql))),
            Operation::Equal(value) => self.compare("=", &target, value, &original).map(Some),
            Operation::GreaterOrEqual(value) => self.compare("<=", &target, value, &original).map(Some),
            Operation::LessOrEqual(value) => self.compare(">=", &target, value, &original).map(Some),
            Operation::Substring(parts) => self.like("pg_like", &target, parts, &original).map(Some),
            Operation::Approximate(_) => Err(invalid(&original)),
            Operation::Extensible { rule, value } => {
                self.extensible(rule, value, &target, &original).map(Some)
            }
        }
    }

    fn extensible(&mut self, rule: &str, value: &str, target: &Target, test: &Test) -> Result<String> {
        match rule {
            "caseIgnoreMatch" => {
                self.parameters.push(Column::Text(value.to_owned()));
                let parameter = self.parameters.len();
                // The column is the pattern, as in Moray's `$1 ILIKE column`.
                Ok(if target.kind.array {
                    any_element(&target.sql, &format!("pg_ilike(?{parameter}, element.value)"))
                } else {
                    format!("(pg_ilike(?{parameter}, {0}) AND {0} IS NOT NULL)", target.sql)
                })
            }
            "caseIgnoreSubstringsMatch" => {
                let parts = substring_of(value).ok_or_else(|| invalid(test))?;
                self.like("pg_ilike", target, &parts, test)
            }
            "overlaps" | "contains" | "within" => Err(invalid(test)),
            _ => Err(not_indexed(self.bucket, test)),
        }
    }

    /// Returns the column of a usable index or of an internal field.
    fn target(&self, attribute: &str) -> Option<Target> {
        let sql = format!("t.{}", quote(attribute));
        if let Some(index) = self.bucket.usable_index(attribute) {
            return Some(Target { sql, kind: index.kind });
        }
        let name = match attribute {
            "_id" | "_mtime" | "_txn_snap" => "number",
            "_etag" | "_key" => "string",
            _ => return None,
        };
        IndexType::from_name(name).map(|kind| Target { sql, kind })
    }

    /// Writes `value operator column`, with the column on the right. The value gets the column's type.
    fn compare(&mut self, operator: &str, target: &Target, value: &mut Value, test: &Test) -> Result<String> {
        let text = js::to_text(value);
        let parameter = match target.kind.scalar {
            Scalar::String => Column::Text(text),
            Scalar::Uuid => Column::Text(parse_uuid(&text).ok_or_else(|| invalid(test))?),
            Scalar::Boolean => {
                let flag = parse_boolean(&text).ok_or_else(|| invalid(test))?;
                *value = Value::Bool(flag);
                Column::Integer(i64::from(flag))
            }
            Scalar::Date => Column::Integer(parse_date(&text).ok_or_else(|| invalid(test))?),
            Scalar::Number => {
                let number = js::parse_float(&text);
                *value = js::number(number);
                if number.is_nan() { Column::Null } else { Column::Real(number) }
            }
        };
        self.parameters.push(parameter);
        let parameter = self.parameters.len();
        Ok(if target.kind.array {
            any_element(&target.sql, &format!("?{parameter} {operator} element.value"))
        } else {
            format!("(?{parameter} {operator} {0} AND {0} IS NOT NULL)", target.sql)
        })
    }

    /// Writes a pattern as Moray does: nothing in the parts is escaped, and the end is open. The second pass removes the rows
    /// that match too loosely.
    fn like(&mut self, function: &str, target: &Target, parts: &Substring, test: &Test) -> Result<String> {
        if target.kind.array {
            return Err(not_indexed(self.bucket, test));
        }
        if target.kind.scalar != Scalar::String {
            return Err(invalid(test));
        }
        let mut pattern = String::new();
        if !parts.initial.is_empty() {
            pattern.push_str(&parts.initial);
            pattern.push('%');
        }
        let last = (!parts.last.is_empty()).then_some(&parts.last);
        for part in parts.any.iter().chain(last) {
            pattern.push('%');
            pattern.push_str(part);
            pattern.push('%');
        }
        self.parameters.push(Column::Text(pattern));
        Ok(format!("({function}({0}, ?{1}) AND {0} IS NOT NULL)", target.sql, self.parameters.len()))
    }
}

/// Writes the condition that an element of an array column matches. It is NULL for a NULL column.
fn any_element(column: &str, condition: &str) -> String {
    format!(
        "(CASE WHEN {column} IS NULL THEN NULL \
         ELSE EXISTS (SELECT 1 FROM json_each({column}) AS element WHERE {condition}) END)"
    )
}

/// Joins conditions as a balanced tree, because the depth of an SQL expression is limited.
fn join(operator: &str, conditions: &[String]) -> String {
    match conditions {
        [] => "(1)".to_owned(),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!("({} {operator} {})", join(operator, left), join(operator, right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bucket() -> Bucket {
        let config = json!({"index": {
            "name": {"type": "string"}, "n": {"type": "number"}, "on": {"type": "boolean"},
            "tags": {"type": "[string]"}, "at": {"type": "date"}, "late": {"type": "string"}
        }});
        let mut bucket = Bucket::parse("b", config.as_object().unwrap(), 0).unwrap();
        bucket.reindex_active.insert("2".to_owned(), json!(["late"]));
        bucket
    }

    fn error(filter: &str) -> &'static str {
        Query::compile(&bucket(), filter).unwrap_err().name()
    }

    #[test]
    fn values_are_bound_and_never_part_of_the_text() {
        let query = Query::compile(&bucket(), "(&(name=x') OR 1=1 --\\29)(n>=5))").unwrap_err();
        assert_eq!(query.name(), "InvalidQueryError");
        let query = Query::compile(&bucket(), "(&(name=x' OR 1=1 --)(n>=5))").unwrap();
        assert!(!query.condition.contains("OR"), "{}", query.condition);
        assert_eq!(query.parameters, [Column::Text("x' OR 1=1 --".to_owned()), Column::Real(5.0)]);
    }

    #[test]
    fn unindexed_operands_of_and_are_left_to_the_second_pass() {
        let query = Query::compile(&bucket(), "(&(free=1)(name=a)(late=x))").unwrap();
        assert_eq!(query.condition, "(?1 = t.\"name\" AND t.\"name\" IS NOT NULL)");
    }

    #[test]
    fn what_no_index_answers_is_refused() {
        assert_eq!(error("(&(free=1)(late=2))"), "NotIndexedError");
        assert_eq!(error("(|(free=1)(name=2))"), "NotIndexedError");
        assert_eq!(error("(free=1)"), "InvalidQueryError");
        assert_eq!(error("(!(free=1))"), "InvalidQueryError");
        assert_eq!(error("(_key=*)"), "InvalidQueryError");
        assert_eq!(error("(tags=a*)"), "NotIndexedError");
        assert_eq!(error("(&(name=a)(tags=a*))"), "NotIndexedError");
        assert_eq!(error("(name:2.5.13.2:=a)"), "NotIndexedError");
        assert_eq!(error("(name:contains:=a)"), "InvalidQueryError");
        assert_eq!(error("(free:contains:=a)"), "NotIndexedError");
    }

    #[test]
    fn what_does_not_fit_its_attribute_is_refused() {
        assert_eq!(error("(on=maybe)"), "InvalidQueryError");
        assert_eq!(error("(at=then)"), "InvalidQueryError");
        assert_eq!(error("(name~=a)"), "Error");
        assert_eq!(error("(name:rule:=a)"), "Error");
        assert_eq!(error("(_idx=1)"), "Error");
        assert!(Query::compile(&bucket(), "(n=x)").is_ok());
    }

    #[test]
    fn unusable_fields_are_listed_once() {
        let fields = unusable_fields(&bucket(), "(&(free=1)(free=2)(late=1)(name=a)(_key=k))").unwrap();
        assert_eq!(fields.unindexed, ["free"]);
        assert_eq!(fields.reindexing, ["late"]);
        assert_eq!(unusable_fields(&bucket(), "(&(name=1)(_mtime>=2))"), None);
    }
}
