// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use percent_encoding::{percent_decode, percent_decode_str};
use serde_json::Value;

use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{FieldCode, Record, Uuid};

/// The most parameters of a request. 4.13.1 ignores any further ones.
const MOST: usize = 1000;

/// The decoded pairs of a query string, in order.
///
/// In 4.13.1 a repeated or bracketed parameter (`owner[a]=b`) becomes an array or an object, which then fails a check
/// or crashes. Here it is rejected by name wherever the parameter is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses a query string like the qs library of 4.13.1: a name may have a `=` in its brackets, and a name or value
    /// with a malformed escape is not decoded. Without any `&` the separator is `;`, which people use because `&` has a
    /// meaning in shells. If there are too many pairs, one more than the limit is kept.
    pub(super) fn parse(query: Option<&str>) -> Params {
        let query = query.unwrap_or_default();
        let separator = if query.contains('&') { '&' } else { ';' };
        let pairs = query.split(separator).filter(|pair| !pair.is_empty());
        let decoded = pairs.map(split).map(|(name, value)| (decode(name), decode(value)));
        Params(decoded.take(MOST + 1).collect())
    }

    /// Returns an error if there are too many. Ignoring the rest could drop the parameter that narrows a request down.
    pub(super) fn too_many(&self) -> Option<ApiError> {
        let message = || format!("a query may have at most {MOST} parameters");
        (self.0.len() > MOST).then(|| ApiError::new(Code::BadRequestError, message()))
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Returns the value of `name`; `Some("")` if it has none.
    pub(super) fn one(&self, name: &str) -> ApiResult<Option<&str>> {
        let mut found = None;
        for (key, value) in &self.0 {
            let bracketed = key.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
            if bracketed || key == name && found.is_some() {
                return Err(ApiError::invalid_parameter(name, FieldCode::Invalid, "must be given once"));
            }
            if key == name {
                found = Some(value.as_str());
            }
        }
        Ok(found)
    }

    /// Returns the value of `name`; `None` if it is absent or empty.
    pub(super) fn non_empty(&self, name: &str) -> ApiResult<Option<&str>> {
        Ok(self.one(name)?.filter(|value| !value.is_empty()))
    }

    /// Returns these parameters, completed with the members `names` of a body that the query does not have: newer
    /// clients send an action's parameters in the body. Null counts as absent.
    pub(super) fn or_from(&self, members: Option<&Record>, names: &[&str]) -> ApiResult<Params> {
        let mut all = self.clone();
        for (name, value) in members.into_iter().flatten().filter(|(name, _)| names.contains(&name.as_str()))
        {
            let text = match value {
                Value::Null => continue,
                _ if self.has(name) => continue,
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(ApiError::invalid_parameter(name, FieldCode::Invalid, "must be one value"));
                }
            };
            all.0.push((name.clone(), text));
        }
        Ok(all)
    }

    /// Returns whether `name` is present in any form.
    pub(super) fn has(&self, name: &str) -> bool {
        !matches!(self.one(name), Ok(None))
    }

    /// Returns the `account` of an account call. An empty one counts as absent.
    pub(super) fn account(&self) -> ApiResult<Option<Uuid>> {
        let Some(account) = self.non_empty("account")? else { return Ok(None) };
        account.parse().map(Some).map_err(|_| {
            ApiError::invalid_parameter("account", FieldCode::Invalid, format!("{account:?} is not a UUID"))
        })
    }

    /// Returns 403 `OperatorOnly` for an account call, whatever the form of the account.
    pub(super) fn operator_only(&self) -> ApiResult<()> {
        // A repeated or bracketed account is also present.
        match self.non_empty("account") {
            Ok(None) => Ok(()),
            _ => Err(ApiError::new(Code::OperatorOnly, "this is for operators only")),
        }
    }

    /// Reads a boolean: exactly `true` or `false`. Absent means `false`.
    pub(super) fn flag(&self, name: &str) -> ApiResult<bool> {
        Params::boolean(name, self.one(name)?)
    }

    /// Reads a boolean parameter that 4.13.1 ignores if it is empty.
    pub(super) fn flag_unless_empty(&self, name: &str) -> ApiResult<bool> {
        Params::boolean(name, self.non_empty(name)?)
    }

    fn boolean(name: &str, text: Option<&str>) -> ApiResult<bool> {
        match text {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let message = format!("must be \"true\" or \"false\", not {other:?}");
                Err(ApiError::invalid_parameter(name, FieldCode::Invalid, message))
            }
        }
    }
}

/// Splits a pair into its name and value. A bracket followed by `=` ends the name, whatever comes before it.
fn split(pair: &str) -> (&str, &str) {
    let bracket = ["]=", "%5D=", "%5d="].iter().filter_map(|end| Some(pair.find(end)? + end.len() - 1)).min();
    match bracket.or_else(|| pair.find('=')) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, ""),
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    match escapes_are_valid(&spaced) {
        true => percent_decode_str(&spaced).decode_utf8_lossy().into_owned(),
        false => spaced,
    }
}

/// Returns whether every percent escape is valid and the result is valid UTF-8.
pub(super) fn escapes_are_valid(text: &str) -> bool {
    if !text.contains('%') {
        return true;
    }
    let text = text.as_bytes();
    let mut parts = text.split(|byte| *byte == b'%');
    parts.next();
    let well_formed = parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit));
    well_formed && percent_decode(text).decode_utf8().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(result: ApiResult<impl std::fmt::Debug>) -> String {
        result.unwrap_err().field_errors().unwrap()[0].field.clone()
    }

    #[test]
    fn a_repeated_or_bracketed_parameter_is_refused_by_name() {
        assert_eq!(field(Params::parse(Some("a=1&account=x&account=y")).account()), "account");
        assert_eq!(field(Params::parse(Some("account[]=x")).account()), "account");
        assert_eq!(field(Params::parse(Some("account%5Ba%5D=x")).one("account")), "account");
        assert_eq!(Params::parse(Some("accounts=x")).one("account").unwrap(), None);
    }

    #[test]
    fn a_query_string_is_split_and_decoded_as_qs_does() {
        for (query, expected) in [
            ("a=b&&c", &[("a", "b"), ("c", "")][..]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=b;c=d;", &[("a", "b"), ("c", "d")]),
            ("a=b;c&d", &[("a", "b;c"), ("d", "")]),
            ("a=b%3Bc", &[("a", "b;c")]),
            ("a=b[]=c", &[("a=b[]", "c")]),
            ("a%5Bb%5D=c", &[("a[b]", "c")]),
            ("a=b%5d=c", &[("a=b]", "c")]),
            ("a+b=%C3%A9+%2B", &[("a b", "\u{e9} +")]),
            ("a=%20%zz+", &[("a", "%20%zz ")]),
            ("a=%ff", &[("a", "%ff")]),
        ] {
            let params = Params::parse(Some(query));
            let pairs: Vec<_> = params.pairs().iter().map(|(name, value)| (&name[..], &value[..])).collect();
            assert_eq!(pairs, expected, "{query}");
        }
    }

    #[test]
    fn what_the_query_does_not_have_is_taken_from_the_body() {
        let body = json!({"a": "1", "b": 2, "c": true, "d": null, "e": "5", "f": [1], "other": "x"});
        let names = ["a", "b", "c", "d", "e"];
        let query = Params::parse(Some("e=&x=y"));
        let params = query.or_from(body.as_object(), &names).unwrap();
        let expected = [("e", ""), ("x", "y"), ("a", "1"), ("b", "2"), ("c", "true")];
        assert_eq!(params.pairs(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(field(query.or_from(body.as_object(), &["f"])), "f");
        assert_eq!(query.or_from(None, &names).unwrap().pairs(), query.pairs());
    }

    #[test]
    fn a_query_has_a_bounded_number_of_parameters() {
        assert!(Params::parse(Some(&"a=1&&".repeat(MOST))).too_many().is_none());
        let many = Params::parse(Some(&"a=1&".repeat(50 * MOST)));
        assert!(many.too_many().is_some());
        assert_eq!(many.pairs().len(), MOST + 1);
    }

    #[test]
    fn malformed_escapes_are_found() {
        for bad in ["/images/%zz", "/images/%", "/images/%4", "/%ff", "/a%2"] {
            assert!(!escapes_are_valid(bad), "{bad}");
        }
        assert!(escapes_are_valid("/images/%41%2f%c3%a9"));
    }

    #[test]
    fn an_account_is_a_lower_case_uuid_and_an_empty_one_is_absent() {
        let uuid = "930896af-bf8c-48d4-885c-6573a94b1853";
        let account = Params::parse(Some(&format!("account={uuid}"))).account().unwrap();
        assert_eq!(account.unwrap().to_string(), uuid);
        assert_eq!(Params::parse(Some("account=")).account().unwrap(), None);
        assert_eq!(
            field(Params::parse(Some(&format!("account={}", uuid.to_uppercase()))).account()),
            "account"
        );
    }

    #[test]
    fn a_flag_is_true_or_false() {
        assert!(Params::parse(Some("f=true")).flag("f").unwrap());
        assert!(!Params::parse(Some("f=false")).flag("f").unwrap());
        assert!(!Params::parse(None).flag("f").unwrap());
        assert_eq!(field(Params::parse(Some("f=True")).flag("f")), "f");
        assert_eq!(field(Params::parse(Some("f=")).flag("f")), "f");
        assert!(!Params::parse(Some("f=")).flag_unless_empty("f").unwrap());
    }
}
