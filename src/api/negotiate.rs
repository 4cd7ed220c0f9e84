// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Other representations of a JSON response, for clients whose `Accept` excludes JSON.

use std::cmp::{Ordering, Reverse};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use super::context::Context;
use super::reply::{Failure, JsonText};
use crate::images::{ApiError, Code};
use crate::manifest::json::{self, JsValue};

/// The representations, in the order used for a client without a preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Representation {
    Json,
    Text,
    JavaScript,
}

const OFFERED: [(Representation, &str, &str); 3] = [
    (Representation::Json, "application", "json"),
    (Representation::Text, "text", "plain"),
    (Representation::JavaScript, "application", "javascript"),
];

/// Returns the response in a representation that the client accepts. If it accepts none, an error stays JSON, so that
/// its code is not lost, and any other response becomes a 406.
pub(super) async fn represent(context: &Context, response: Response) -> Response {
    let Some(JsonText(text)) = response.extensions().get::<JsonText>() else { return response };
    let chosen = chosen(&context.headers);
    if matches!(chosen, Some(Representation::Text | Representation::JavaScript)) {
        context.size.add(text.len()).await;
    }
    match chosen {
        Some(Representation::Json) => response,
        Some(Representation::Text) => {
            let failure = response.extensions().get::<Failure>();
            let text = failure.map_or_else(|| compact(text), |failure| failure.0.message().to_owned().into());
            replace(response, text, "text/plain")
        }
        Some(Representation::JavaScript) => {
            let text = javascript(context, compact(text));
            replace(response, text, "application/javascript")
        }
        None if response.status().is_success() => ApiError::new(
            Code::NotAcceptable,
            "application/json, text/plain and application/javascript are offered",
        )
        .into_response(),
        None => response,
    }
}

fn chosen(headers: &HeaderMap) -> Option<Representation> {
    let accept: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accept.iter().all(|value| value.is_empty()) {
        return Some(Representation::Json);
    }
    let ranges: Vec<Range<'_>> = accept.iter().flat_map(|value| value.split(',')).map(Range::parse).collect();
    let wanted = OFFERED.iter().filter_map(|(representation, main, sub)| {
        Some((preference(&ranges, main, sub).filter(|preference| preference.quality > 0.0)?, *representation))
    });
    // Of equal ones the first is kept, so the order in `OFFERED` matters.
    let best = wanted.reduce(|best, next| if next.0.is_over(best.0) { next } else { best });
    best.map(|(_, representation)| representation)
}

/// One media range of an `Accept` header.
struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    quality: f32,
    /// Whether it has parameters. The offered types have none, so such a range matches none of them.
    narrowed: bool,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Range<'a> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next().unwrap_or_default().split_once('/').unwrap_or(("", ""));
        let mut range = Range { main, sub, quality: 1.0, narrowed: false };
        for parameter in parts {
            if let Some(quality) = parameter.strip_prefix("q=") {
                // Any further parameters belong to the header, not to the type.
                range.quality = quality.parse().unwrap_or(1.0);
                break;
            }
            range.narrowed |= !parameter.is_empty();
        }
        range
    }

    /// Returns how specifically the range matches the type; `None` if it does not match.
    fn specificity(&self, main: &str, sub: &str) -> Option<u8> {
        let part = |given: &str, offered: &str, weight| match given {
            _ if given.eq_ignore_ascii_case(offered) => Some(weight),
            "*" => Some(0),
            _ => None,
        };
        if self.narrowed { None } else { Some(part(self.main, main, 2)? + part(self.sub, sub, 1)?) }
    }
}

/// How much a client prefers a type.
#[derive(Debug, Clone, Copy)]
struct Preference {
    quality: f32,
    specificity: u8,
    /// The position of the type in the client's list.
    place: usize,
}

impl Preference {
    /// As in 4.13.1, quality comes first, then how specific the match is, then the client's order.
    fn is_over(self, other: Preference) -> bool {
        match self.quality.total_cmp(&other.quality) {
            Ordering::Equal => {
                (self.specificity, Reverse(self.place)) > (other.specificity, Reverse(other.place))
            }
            order => order.is_gt(),
        }
    }
}

/// Returns the client's preference for a type from the most specific matching range; `None` if no range matches.
fn preference(ranges: &[Range<'_>], main: &str, sub: &str) -> Option<Preference> {
    let named = ranges.iter().enumerate().filter_map(|(place, range)| {
        Some(Preference { quality: range.quality, specificity: range.specificity(main, sub)?, place })
    });
    named.max_by_key(|preference| (preference.specificity, Reverse(preference.place)))
}

fn compact(text: &Bytes) -> Bytes {
    let value = serde_json::from_slice::<Value>(text);
    let compact = value.ok().and_then(|value| json::compact(&JsValue(&value)).ok());
    compact.map_or_else(|| text.clone(), Bytes::from)
}

/// Returns a call of the function that `callback` or `jsonp` names, or only the value if neither does.
fn javascript(context: &Context, json: Bytes) -> Bytes {
    // Without a route the query is not read.
    let names: &[_] = if context.route.get().is_some() { &["callback", "jsonp"] } else { &[] };
    let name = names.iter().find_map(|name| context.params.non_empty(name).ok().flatten());
    let is_identifier =
        |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.'));
    match name.filter(is_identifier) {
        Some(name) => {
            // These two characters end a line in JavaScript, but not in JSON.
            let json =
                String::from_utf8_lossy(&json).replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            format!("typeof {name} === 'function' && {name}({json});").into()
        }
        None => json,
    }
}

fn replace(response: Response, text: Bytes, content_type: &'static str) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // This is the length of the JSON. The new length is set when the response is sent.
    parts.headers.remove(header::CONTENT_LENGTH);
    if parts.status.is_success() {
        // This text is now in memory until it is read. For an error, which is short, the audit record shows the JSON.
        parts.extensions.insert(JsonText(text.clone()));
    }
    Response::from_parts(parts, Body::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(accept: &str) -> Option<Representation> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        chosen(&headers)
    }

    #[test]
    fn json_is_the_answer_unless_the_client_prefers_another() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/*",
            "*/json",
            "text/html, */*;q=0.1",
            "APPLICATION/JSON",
            "text/plain;q=0.5, application/json",
            "application/json;q=1;version=1",
        ] {
            assert_eq!(choice(accept), Some(Representation::Json), "{accept}");
        }
        assert_eq!(chosen(&HeaderMap::new()), Some(Representation::Json));
        assert_eq!(choice("text/plain"), Some(Representation::Text));
        assert_eq!(choice("text/*"), Some(Representation::Text));
        assert_eq!(choice("application/javascript"), Some(Representation::JavaScript));
        assert_eq!(choice("application/json;q=0.1, text/plain"), Some(Representation::Text));
        assert_eq!(choice("application/javascript, application/json"), Some(Representation::JavaScript));
    }

    #[test]
    fn what_is_not_offered_is_not_chosen() {
        for accept in
            ["application/xml", "text/html", "nonsense", "application/json;q=0", "application/json;version=1"]
        {
            assert_eq!(choice(accept), None, "{accept}");
        }
    }
}
