//! `GET /ping` — Ping.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::context::Context;
use super::reply::Json;
use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::{FieldCode, FieldError, Mode, json};

/// UUID in the sample errors that name an image.
const SAMPLE: &str = "1bb84ac9-ba6b-4d50-bd21-ddbd0a2f4ba6";

/// Errors that are known but have no sample.
const WITHOUT_SAMPLE: [Code; 15] = [
    Code::Upload,
    Code::Download,
    Code::OwnerDoesNotExist,
    Code::AccountDoesNotExist,
    Code::NotImageOwner,
    Code::ImageNotShared,
    Code::NotMantaPathOwner,
    Code::OriginDoesNotExist,
    Code::OriginIsNotActive,
    Code::InsufficientServerVersion,
    Code::ImageHasDependentImages,
    Code::NotAvailable,
    Code::NotImplemented,
    Code::ResourceNotFound,
    Code::InvalidHeader,
];

/// Framework errors that are known under another name than their code.
const FRAMEWORK_WITHOUT_SAMPLE: [&str; 3] =
    ["ServiceUnavailableError", "UnauthorizedError", "BadRequestError"];

#[derive(Serialize)]
struct Pong<'a> {
    ping: &'static str,
    version: &'static str,
    imgapi: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

pub(super) async fn ping(State(state): State<AppState>, context: Context) -> ApiResult<Response> {
    if let Some(name) = context.params.one("error")? {
        return Err(sample(name));
    }
    let user = context.user();
    let knows_pid = state.app().config.mode == Mode::Dc || user.is_some();
    let pong = Pong {
        ping: "pong",
        version: env!("CARGO_PKG_VERSION"),
        imgapi: true,
        pid: knows_pid.then(std::process::id),
        user,
    };
    Ok(Json::rendered(json::pretty(&pong)?).into_response())
}

/// The error of that name, with or without `Error` at the end, for tests of clients.
fn sample(name: &str) -> ApiError {
    if name.is_empty() {
        return ApiError::new(Code::InternalError, "boom");
    }
    // "Error" alone has nothing in front of its suffix, and is no name.
    let name = name.strip_suffix("Error").filter(|name| !name.is_empty()).unwrap_or(name);
    let is = |code: Code| code.as_str().strip_suffix("Error").unwrap_or(code.as_str()) == name;
    let with_sample = [
        (Code::ValidationFailed, String::new()),
        (Code::InvalidParameter, String::new()),
        (Code::ImageFilesImmutable, format!("image {SAMPLE} is activated: its files are immutable")),
        (Code::ImageAlreadyActivated, format!("image {SAMPLE} is already activated")),
        (Code::NoActivationNoFile, format!("image {SAMPLE} has no file")),
        (Code::OperatorOnly, "operator only".into()),
        (Code::ImageUuidAlreadyExists, format!("image {SAMPLE} already exists")),
        (Code::StorageIsDown, "storage is down".into()),
        (Code::StorageUnsupported, "the storage is not supported".into()),
        (Code::RemoteSourceError, String::new()),
        (Code::InternalError, "boom".into()),
    ];
    if let Some((code, message)) = with_sample.into_iter().find(|(code, _)| is(*code)) {
        return match code {
            Code::ValidationFailed => ApiError::validation(Vec::new()),
            Code::InvalidParameter => ApiError::invalid_parameters(vec![FieldError::invalid("foo")]),
            code => ApiError::new(code, message),
        };
    }
    let known = WITHOUT_SAMPLE.into_iter().any(is)
        || FRAMEWORK_WITHOUT_SAMPLE.iter().any(|known| known.strip_suffix("Error") == Some(name));
    if known {
        return ApiError::new(Code::InternalError, format!("there is no sample of {name:?}"));
    }
    let unknown = FieldError::new("error", FieldCode::Missing).because(format!("{name:?} is not an error"));
    ApiError::invalid_parameters(vec![unknown])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_answer() {
        let cases = [
            ("ValidationFailed", Code::ValidationFailed),
            ("ValidationFailedError", Code::ValidationFailed),
            ("RemoteSource", Code::RemoteSourceError),
            ("OperatorOnly", Code::OperatorOnly),
            ("Internal", Code::InternalError),
            ("", Code::InternalError),
            ("NotAvailable", Code::InternalError),
            ("Unauthorized", Code::InternalError),
            ("ServiceUnavailable", Code::InternalError),
            ("Bogus", Code::InvalidParameter),
            ("Error", Code::InvalidParameter),
        ];
        for (name, code) in cases {
            assert_eq!(sample(name).code(), code, "{name}");
        }
        assert_eq!(sample("ValidationFailed").field_errors(), Some(&[][..]));
        assert_eq!(sample("InvalidParameter").field_errors().unwrap()[0].field, "foo");
        assert_eq!(sample("Bogus").field_errors().unwrap()[0].code, FieldCode::Missing);
        assert!(!sample("ValidationFailed").message().is_empty());
    }
}
