// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::{HeaderMap, HeaderName, Version};

/// Name of the method and target in a signing string. It is not a header, but is signed like one.
pub(crate) const REQUEST_TARGET: &str = "(request-target)";
/// Name of the request line in a signing string, from the first version of the draft.
const REQUEST_LINE: &str = "request-line";

/// The head of a request, as client and server sign it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Path and query, as in the request line.
    pub target: &'a str,
    /// HTTP version in the request line.
    pub version: Version,
    /// All headers of the request.
    pub headers: &'a HeaderMap,
}

/// A signed header is missing from the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no header {0:?} in the request")]
pub struct MissingHeader(pub String);

impl Head<'_> {
    /// Returns the bytes to sign for these `names`, one line for each. A header with several values is signed as one list.
    pub(crate) fn signing_string(&self, names: &[String]) -> Result<Vec<u8>, MissingHeader> {
        let mut text = Vec::new();
        for name in names {
            if !text.is_empty() {
                text.push(b'\n');
            }
            self.add_line(&mut text, name)?;
        }
        Ok(text)
    }

    fn add_line(&self, text: &mut Vec<u8>, name: &str) -> Result<(), MissingHeader> {
        match name {
            REQUEST_TARGET => {
                let method = self.method.to_ascii_lowercase();
                text.extend_from_slice(format!("{REQUEST_TARGET}: {method} {}", self.target).as_bytes());
            }
            REQUEST_LINE => {
                let line = format!("{} {} {:?}", self.method, self.target, self.version);
                text.extend_from_slice(line.as_bytes());
            }
            name => {
                let value = self.value(name).ok_or_else(|| MissingHeader(name.to_owned()))?;
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(&value);
            }
        }
        Ok(())
    }

    /// Returns all values of a header, separated by commas.
    pub(crate) fn value(&self, name: &str) -> Option<Vec<u8>> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let values: Vec<&[u8]> = self.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        if values.is_empty() { None } else { Some(values.join(&b", "[..])) }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_name_is_a_line() {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("today"));
        headers.append("x-many", HeaderValue::from_static("a"));
        headers.append("x-many", HeaderValue::from_static("b"));
        let head =
            Head { method: "GET", target: "//images?a=%20b", version: Version::HTTP_11, headers: &headers };
        let string = |names: &str| {
            let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
            head.signing_string(&names).map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(string("date").unwrap(), "date: today");
        assert_eq!(
            string("(request-target) x-many request-line").unwrap(),
            "(request-target): get //images?a=%20b\nx-many: a, b\nGET //images?a=%20b HTTP/1.1"
        );
        assert_eq!(string("date host"), Err(MissingHeader("host".into())));
        assert_eq!(string("in\"valid"), Err(MissingHeader("in\"valid".into())));
    }
}
