// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The errors that Manta sends.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// Maximum length of a message, in characters.
const MAX_TEXT: usize = 1024;
/// Maximum length of a request id, in characters.
const MAX_ID: usize = 128;

/// An answer with a status of 400 or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manta answered {}: {message}{}", status.as_u16(), of_request(.request_id))]
pub struct ServerError {
    /// Error code. If the answer has none, as after a HEAD or from a load balancer, it is derived from the status.
    pub code: ErrorCode,
    /// Status of the answer.
    pub status: StatusCode,
    /// The code as sent, if any, and the server's message: up to 1024 characters, without control characters.
    pub message: String,
    /// `x-request-id` of the answer, which identifies the request in Manta's logs.
    pub request_id: Option<String>,
    /// Time for which the server asks the client to wait.
    pub retry_after: Option<Duration>,
}

fn of_request(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default()
}

macro_rules! codes {
    ($($name:ident $wire:literal $doc:literal)*) => {
        /// Manta's error codes, named as the server names them, but without a suffix `Error`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $doc] $name,)*
            /// Another code, or an answer that has no code and whose status does not determine one.
            Unknown,
        }

        impl ErrorCode {
            fn from_wire(code: &str) -> Option<ErrorCode> {
                match code {
                    $($wire => Some(ErrorCode::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    AccountBlocked "AccountBlocked" "The account is blocked."
    AccountDoesNotExist "AccountDoesNotExist" "There is no account with this login."
    AuthorizationFailed "AuthorizationFailed" "The caller is not allowed to do this."
    AuthorizationRequired "AuthorizationRequired" "The request is not signed."
    BadRequest "BadRequest" "The request is malformed."
    ConcurrentRequest "ConcurrentRequest" "Another request changed the same path at the same time."
    ContentLengthRequired "ContentLengthRequired" "The request must announce the length of its body."
    ContentMd5Mismatch "ContentMD5Mismatch" "The received bytes do not match the announced MD5."
    DirectoryDoesNotExist "DirectoryDoesNotExist" "The parent directory does not exist."
    DirectoryLimitExceeded "DirectoryLimitExceeded" "The directory is full."
    DirectoryNotEmpty "DirectoryNotEmpty" "The directory has entries."
    InternalError "InternalError" "The server failed."
    InvalidAlgorithm "InvalidAlgorithm" "The signature's algorithm is not accepted."
    InvalidArgument "InvalidArgumentError" "A parameter of a listing is invalid."
    InvalidDurabilityLevel "InvalidDurabilityLevel" "The number of copies is invalid."
    InvalidHeader "InvalidHeader" "A header is invalid; most often the clocks differ by over 300 s."
    InvalidKeyId "InvalidKeyId" "The key id has a wrong form."
    InvalidMaxContentLength "InvalidMaxContentLength" "The announced maximum length is invalid."
    InvalidParameter "InvalidParameter" "A parameter is invalid."
    InvalidResource "InvalidResource" "The path is invalid."
    InvalidRole "InvalidRole" "There is no such role."
    InvalidRoleTag "InvalidRoleTag" "A role to tag the object with does not exist."
    InvalidSignature "InvalidSignature" "The signature was not made with this key."
    KeyDoesNotExist "KeyDoesNotExist" "The account has no such key. Manta may need up to a minute to see a new key."
    MaxContentLengthExceeded "MaxContentLengthExceeded" "The body is longer than announced."
    MissingPermission "MissingPermission" "A permission is missing."
    NoMatchingRoleTag "NoMatchingRoleTag" "None of the caller's roles is one of the object's."
    NotAcceptable "NotAcceptable" "The object has a type that the request does not accept."
    NotEnoughSpace "NotEnoughSpace" "The storage is full."
    NotImplemented "NotImplemented" "The server does not support this."
    OperationNotAllowedOnDirectory "OperationNotAllowedOnDirectory" "The path is a directory."
    OperationNotAllowedOnRootDirectory "OperationNotAllowedOnRootDirectory" "The path is a directory that always exists."
    ParentNotDirectory "ParentNotDirectory" "The parent is an object."
    PreconditionFailed "PreconditionFailed" "The object does not meet the request's precondition."
    RangeNotSatisfiable "RangeNotSatisfiable" "The requested range is beyond the end of the object."
    ResourceNotFound "ResourceNotFound" "There is nothing at this path."
    SecureTransportRequired "SecureTransportRequired" "Only https is accepted."
    ServiceUnavailable "ServiceUnavailable" "The server, or every server behind a load balancer, is unavailable."
    SnaplinksDisabled "SnaplinksDisabledError" "Snaplinks are disabled."
    Throttled "ThrottledError" "The server is overloaded."
    UploadTimeout "UploadTimeout" "The body did not arrive in time."
    UserDoesNotExist "UserDoesNotExist" "The account has no sub-user with this login."
}

impl ErrorCode {
    /// Derives the code from the status. A load balancer answers 502, 503 and 504 in HTML.
    fn from_status(status: StatusCode) -> ErrorCode {
        match status.as_u16() {
            400 => ErrorCode::BadRequest,
            401 => ErrorCode::AuthorizationRequired,
            403 => ErrorCode::AuthorizationFailed,
            404 => ErrorCode::ResourceNotFound,
            406 => ErrorCode::NotAcceptable,
            408 => ErrorCode::UploadTimeout,
            411 => ErrorCode::ContentLengthRequired,
            412 => ErrorCode::PreconditionFailed,
            413 => ErrorCode::MaxContentLengthExceeded,
            416 => ErrorCode::RangeNotSatisfiable,
            500 => ErrorCode::InternalError,
            501 => ErrorCode::NotImplemented,
            429 | 502..=504 => ErrorCode::ServiceUnavailable,
            507 => ErrorCode::NotEnoughSpace,
            _ => ErrorCode::Unknown,
        }
    }

    /// Returns whether the same request may succeed later.
    fn is_retriable(self) -> bool {
        matches!(
            self,
            ErrorCode::ConcurrentRequest
                | ErrorCode::ContentMd5Mismatch
                | ErrorCode::InternalError
                | ErrorCode::ServiceUnavailable
                | ErrorCode::Throttled
                | ErrorCode::UploadTimeout
        )
    }
}

impl ServerError {
    /// Reads an answer. `body` is its body, possibly truncated.
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ServerError {
        #[derive(Deserialize)]
        struct Wire {
            code: String,
            #[serde(default)]
            message: String,
        }
        let (code, message) = match serde_json::from_slice::<Wire>(body) {
            Ok(wire) => (ErrorCode::from_wire(&wire.code), format!("{}: {}", wire.code, wire.message)),
            Err(_) => (None, status.canonical_reason().unwrap_or("no reason").to_owned()),
        };
        ServerError {
            code: code.unwrap_or_else(|| ErrorCode::from_status(status)),
            status,
            message: printable(&message, MAX_TEXT),
            request_id: request_id(headers),
            retry_after: retry_after(headers),
        }
    }

    /// Returns whether the same request may succeed later.
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }
}

/// Returns the id that Manta gave to the request.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    Some(printable(id, MAX_ID))
}

/// Reads `retry-after` in seconds; Manta sends no dates there.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Makes a text from outside fit for a line of a log.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, headers: &[(&'static str, &str)], body: &str) -> ServerError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        ServerError::read(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
    }

    #[test]
    fn an_error_is_what_its_code_says() {
        let headers = [("x-request-id", "abc"), ("retry-after", "30")];
        let body = r#"{"code":"InternalError","message":"no storage\nnodes"}"#;
        let error = read(503, &headers, body);
        assert_eq!(error.code, ErrorCode::InternalError);
        assert_eq!(error.retry_after, Some(Duration::from_secs(30)));
        assert_eq!(error.to_string(), "manta answered 503: InternalError: no storage nodes (request abc)");
    }

    /// Checks all codes together with their statuses.
    #[test]
    fn every_code_is_known_and_only_some_are_worth_another_try() {
        let table = [
            (
                400,
                "BadRequest ContentMD5Mismatch DirectoryNotEmpty InvalidArgumentError InvalidDurabilityLevel",
            ),
            (
                400,
                "InvalidHeader InvalidMaxContentLength InvalidParameter InvalidResource ParentNotDirectory",
            ),
            (400, "OperationNotAllowedOnDirectory OperationNotAllowedOnRootDirectory"),
            (401, "AuthorizationRequired InvalidAlgorithm"),
            (403, "AccountBlocked AccountDoesNotExist AuthorizationFailed InvalidKeyId InvalidSignature"),
            (403, "KeyDoesNotExist MissingPermission NoMatchingRoleTag SecureTransportRequired"),
            (403, "SnaplinksDisabledError UserDoesNotExist"),
            (404, "DirectoryDoesNotExist ResourceNotFound"),
            (406, "NotAcceptable"),
            (408, "UploadTimeout"),
            (409, "ConcurrentRequest DirectoryLimitExceeded InvalidRole InvalidRoleTag"),
            (411, "ContentLengthRequired"),
            (412, "PreconditionFailed"),
            (413, "MaxContentLengthExceeded"),
            (416, "RangeNotSatisfiable"),
            (500, "InternalError"),
            (501, "NotImplemented"),
            (503, "ServiceUnavailable ThrottledError"),
            (507, "NotEnoughSpace"),
        ];
        let retriable = [
            "ContentMD5Mismatch",
            "UploadTimeout",
            "ConcurrentRequest",
            "InternalError",
            "ServiceUnavailable",
            "ThrottledError",
        ];
        let mut known = Vec::new();
        for (status, codes) in table {
            for code in codes.split(' ') {
                let error = read(status, &[], &format!(r#"{{"code":"{code}","message":"m"}}"#));
                assert_eq!(
                    format!("{:?}", error.code).to_lowercase(),
                    code.trim_end_matches("Error").replace("Internal", "InternalError").to_lowercase(),
                    "{status}"
                );
                assert_eq!(error.is_retriable(), retriable.contains(&code), "{code}");
                known.push(error.code);
            }
        }
        assert_eq!(known.len(), 42);
        assert!(!known.contains(&ErrorCode::Unknown));
    }

    #[test]
    fn without_a_code_the_status_counts() {
        let pages = ["", "<html><h1>503</h1>", "{}", "[1]", r#"{"code":7}"#, r#"{"code":"Ne"#, "\u{0}\u{7f}"];
        for page in pages {
            let error = read(503, &[], page);
            assert_eq!(error.code, ErrorCode::ServiceUnavailable, "{page}");
            assert_eq!(error.message, "Service Unavailable");
            assert!(error.is_retriable());
        }
        let code = |status| read(status, &[], "").code;
        assert_eq!(code(404), ErrorCode::ResourceNotFound);
        assert_eq!(code(412), ErrorCode::PreconditionFailed);
        assert_eq!((code(418), code(409)), (ErrorCode::Unknown, ErrorCode::Unknown));
        let new = read(403, &[], r#"{"code":"BrandNew","message":"m"}"#);
        assert_eq!((new.code, new.message.as_str()), (ErrorCode::AuthorizationFailed, "BrandNew: m"));
    }

    #[test]
    fn what_is_kept_of_an_answer_is_bounded() {
        let long = "ä".repeat(40_000);
        let error = read(500, &[("x-request-id", &"r".repeat(5000))], &format!(r#"{{"code":"{long}"}}"#));
        assert_eq!(error.message.chars().count(), MAX_TEXT);
        assert_eq!(error.request_id.map(|id| id.len()), Some(MAX_ID));
        assert_eq!(read(503, &[("retry-after", "soon")], "").retry_after, None);
    }
}
