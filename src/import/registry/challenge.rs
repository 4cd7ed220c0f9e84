// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The header `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// How the caller has to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password.
    Basic,
    /// With a token from the server `realm`.
    Bearer { realm: String, service: Option<String>, scopes: Vec<String> },
}

/// Returns the challenge that is answered, of all in these headers: a token is preferred to a password.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for header in headers {
        for (scheme, parameters) in challenges(header) {
            let parameter = |name: &str| {
                parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                let scopes = parameter("scope").unwrap_or_default();
                // A scope contains commas itself: `repository:a:pull,push`.
                let scopes = scopes.split_ascii_whitespace().map(str::to_owned).collect();
                return Some(Challenge::Bearer { realm, service: parameter("service"), scopes });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                found = Some(Challenge::Basic);
            }
        }
    }
    found
}

type Parameters = Vec<(String, String)>;

/// Splits a header into its challenges: schemes and their parameters.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let spaces_skipped = after.trim_start();
        if let Some(value) = spaces_skipped.strip_prefix('=').filter(|_| !word.is_empty()) {
            let (value, after) = value_of(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_owned(), value));
            }
            rest = after;
        } else {
            if !word.is_empty() {
                found.push((word.to_owned(), Parameters::new()));
            }
            // What stands here in no form that is known is skipped.
            rest = spaces_skipped.trim_start_matches('=');
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

/// Returns the value at the beginning of the text, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Challenge {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned), scopes }
    }

    #[test]
    fn a_challenge_is_read_in_every_form() {
        let token =
            bearer("https://t/x?a=b,c", Some("reg"), &["repository:a/b:pull,push", "repository:c:pull"]);
        let scope = r#"scope="repository:a/b:pull,push repository:c:pull""#;
        let cases = [
            (format!(r#"Bearer realm="https://t/x?a=b,c",service="reg",{scope}"#), Some(token.clone())),
            (format!(r#"bearer  Realm = "https://t/x?a=b,c" , service=reg , {scope}"#), Some(token.clone())),
            (
                format!(r#"Basic realm="x", Bearer realm="https://t/x?a=b,c",service=reg,{scope}"#),
                Some(token),
            ),
            (r#"Bearer realm="h\"i""#.to_owned(), Some(bearer("h\"i", None, &[]))),
            ("Basic".to_owned(), Some(Challenge::Basic)),
            (r#"Negotiate, BASIC realm="a""#.to_owned(), Some(Challenge::Basic)),
            (r#"Bearer service="reg""#.to_owned(), None),
            (r#"realm="x""#.to_owned(), None),
            ("Digest x==, y".to_owned(), None),
            (String::new(), None),
        ];
        for (header, expected) in cases {
            assert_eq!(choose([header.as_str()].into_iter()), expected, "{header}");
        }
        let headers = ["Basic realm=x", "Bearer realm=y"];
        assert_eq!(choose(headers.into_iter()), Some(bearer("y", None, &[])));
    }

    proptest! {
        #[test]
        fn any_header_is_read_to_its_end(header in r#"[ a-z,="\\é]{0,60}"#) {
            choose([header.as_str()].into_iter());
        }
    }
}
