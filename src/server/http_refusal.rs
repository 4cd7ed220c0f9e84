// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers to input that never becomes a request: bytes that are not HTTP, heads that are too large or too slow, and
//! connections over the limit.
//!
//! hyper answers some of these itself, with an empty body. The connection withholds that answer and sends one of these
//! instead, so that every answer of the service has a JSON body with a code.

use std::time::SystemTime;

use axum::http::StatusCode;
use serde::Serialize;

/// An answer that closes the connection, with the body `{"code", "message"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code in its body, for example `BadRequestError`.
    pub code: &'static str,
    /// The message in its body. It contains nothing that the client sent.
    pub message: String,
}

impl Refusal {
    /// The answer to bytes that the HTTP parser does not accept.
    pub(super) fn from_parser(status: StatusCode, reason: &str) -> Refusal {
        let code = match status {
            StatusCode::URI_TOO_LONG => "RequestURITooLargeError",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "RequestHeaderFieldsTooLargeError",
            StatusCode::HTTP_VERSION_NOT_SUPPORTED => "HttpVersionNotSupportedError",
            _ => "BadRequestError",
        };
        Refusal { status, code, message: format!("cannot read the request: {reason}") }
    }

    /// The answer to a head that has not arrived in time.
    pub(super) fn timeout() -> Refusal {
        Refusal {
            status: StatusCode::REQUEST_TIMEOUT,
            code: "RequestTimeoutError",
            message: "the head of the request did not arrive in time".to_owned(),
        }
    }

    /// The answer to a connection over the limit.
    pub(super) fn overloaded() -> Refusal {
        Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "ServiceUnavailableError",
            message: "too many connections".to_owned(),
        }
    }

    /// Returns the complete HTTP/1.1 response.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wire<'a> {
            code: &'a str,
            message: &'a str,
        }
        let wire = Wire { code: self.code, message: &self.message };
        let body = serde_json::to_string_pretty(&wire).unwrap_or_default();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let retry = if self.status == StatusCode::SERVICE_UNAVAILABLE { "Retry-After: 1\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nDate: {date}\r\n{retry}\
             Connection: close\r\n\r\n",
            self.status.as_str(),
            self.status.canonical_reason().unwrap_or("Error"),
            body.len(),
        );
        (head + &body).into_bytes()
    }
}

/// Returns the status in a response head that hyper wrote, or 400 if there is none.
pub(super) fn status_of(head: &[u8]) -> StatusCode {
    let digits =
        head.strip_prefix(b"HTTP/1.1 ").or(head.strip_prefix(b"HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    digits.and_then(|digits| StatusCode::from_bytes(digits).ok()).unwrap_or(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_complete_response() {
        let text = String::from_utf8(Refusal::timeout().to_bytes()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let expected = "{\n  \"code\": \"RequestTimeoutError\",\n  \"message\": \"the head of the request did not arrive in time\"\n}";
        assert_eq!(body, expected);
    }

    #[test]
    fn the_status_is_read_from_a_head() {
        assert_eq!(status_of(b"HTTP/1.1 431 Request"), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(status_of(b"HTTP/1.1"), StatusCode::BAD_REQUEST);
        assert_eq!(status_of(b""), StatusCode::BAD_REQUEST);
    }
}
