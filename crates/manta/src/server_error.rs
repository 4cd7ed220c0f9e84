// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What Manta answers when it refuses.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// Longest text to keep of an answer, in characters.
const MAX_TEXT: usize = 1024;
/// Longest request id to keep.
const MAX_ID: usize = 128;

/// An answer with a status of 400 or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manta answered {}: {message}{}", status.as_u16(), of_request(.request_id))]
pub struct ServerError {
    /// What is wrong; where the answer has no code, as to a HEAD or from a load balancer, what its status says.
    pub code: ErrorCode,
    /// Status of the answer.
    pub status: StatusCode,
    /// The code as it was sent, if it was, and the server's message: up to 1024 characters, none of them a control character.
    pub message: String,
    /// `x-request-id` of the answer, by which Manta's own logs know the request.
    pub request_id: Option<String>,
    /// For how long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

fn of_request(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default()
}

macro_rules! codes {
    ($($name:ident $wire:literal $doc:literal)*) => {
        /// The codes of Manta's errors. Named as the server names them, but for a suffix `Error`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $doc] $name,)*
            /// Another one, or an answer that has none and whose status says nothing.
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
    AccountDoesNotExist "AccountDoesNotExist" "There is no account of this login."
    AuthorizationFailed "AuthorizationFailed" "The caller may not do this."
    AuthorizationRequired "AuthorizationRequired" "The request is not signed."
    BadRequest "BadRequest" "The request makes no sense."
    ConcurrentRequest "ConcurrentRequest" "Another request changed the same at the same time."
    ContentLengthRequired "ContentLengthRequired" "The body needs a length."
    ContentMd5Mismatch "ContentMD5Mismatch" "What arrived is not what was announced."
    DirectoryDoesNotExist "DirectoryDoesNotExist" "The parent directory does not exist."
    DirectoryLimitExceeded "DirectoryLimitExceeded" "The directory is full."
    DirectoryNotEmpty "DirectoryNotEmpty" "The directory has entries."
    InternalError "InternalError" "The server failed."
    InvalidAlgorithm "InvalidAlgorithm" "The signature's algorithm is not accepted."
    InvalidArgument "InvalidArgumentError" "A parameter of a listing."
    InvalidDurabilityLevel "InvalidDurabilityLevel" "The number of copies."
    InvalidHeader "InvalidHeader" "A header; most often the clocks differ by over 300 s."
    InvalidKeyId "InvalidKeyId" "The key is named in a wrong way."
    InvalidMaxContentLength "InvalidMaxContentLength" "The announced limit of a body."
    InvalidParameter "InvalidParameter" "A parameter."
    InvalidResource "InvalidResource" "The path."
    InvalidRole "InvalidRole" "There is no such role."
    InvalidRoleTag "InvalidRoleTag" "There is no such role to tag with."
    InvalidSignature "InvalidSignature" "The signature is another key's."
    KeyDoesNotExist "KeyDoesNotExist" "The account has no such key. A new one takes up to a minute to be known."
    MaxContentLengthExceeded "MaxContentLengthExceeded" "The body is longer than announced."
    MissingPermission "MissingPermission" "A permission is missing."
    NoMatchingRoleTag "NoMatchingRoleTag" "None of the caller's roles is one of the object's."
    NotAcceptable "NotAcceptable" "The object is of a type that was not asked for."
    NotEnoughSpace "NotEnoughSpace" "The storage is full."
    NotImplemented "NotImplemented" "The server does not do this."
    OperationNotAllowedOnDirectory "OperationNotAllowedOnDirectory" "The path is a directory."
    OperationNotAllowedOnRootDirectory "OperationNotAllowedOnRootDirectory" "The path is a directory that always exists."
    ParentNotDirectory "ParentNotDirectory" "The parent is an object."
    PreconditionFailed "PreconditionFailed" "The object is not, or not any more, what the request is for."
    RangeNotSatisfiable "RangeNotSatisfiable" "The object is shorter than that."
    ResourceNotFound "ResourceNotFound" "There is nothing at this path."
    SecureTransportRequired "SecureTransportRequired" "Only https is accepted."
    ServiceUnavailable "ServiceUnavailable" "The server, or all behind a load balancer, is away."
    SnaplinksDisabled "SnaplinksDisabledError" "There are no links."
    Throttled "ThrottledError" "The server has too much to do."
    UploadTimeout "UploadTimeout" "The body did not come."
    UserDoesNotExist "UserDoesNotExist" "The account has no sub-user of this login."
}

impl ErrorCode {
    /// What an answer without a code means. A load balancer answers 502, 503 and 504 in HTML.
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

    /// Whether the same request may succeed later.
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
    /// Reads an answer. `body` is what came of it, perhaps cut.
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

    /// Whether the same request may succeed later.
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }
}

/// The id that Manta gave a request.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    Some(printable(id, MAX_ID))
}

/// Seconds; Manta sends no dates there.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// What somebody else wrote, so that it can stand in a line of a log.
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

    /// With the statuses that they come with.
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
