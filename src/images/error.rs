// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::error::Error;
use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::accounts::AccountsError;
use crate::db::DbError;
use crate::images::Code;
use crate::manifest::create::CreateError;
use crate::manifest::{FieldCode, FieldError, Uuid};
use crate::storage::StorageError;

/// The result of an operation.
pub type ApiResult<T> = Result<T, ApiError>;

/// An error as the client sees it, with a cause that is logged and never sent.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    message: String,
    errors: Vec<FieldError>,
    relayed: Option<Relayed>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// An error body lists so many field errors at most, each text with about so many bytes.
const MOST_ERRORS: usize = 100;
const LONGEST_TEXT: usize = 1000;

/// Status and code of another server's error that is passed on.
#[derive(Debug)]
struct Relayed {
    status: u16,
    code: String,
}

impl ApiError {
    /// An error without field errors. `message` is for people: name what was wrong, no secret, no path.
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), errors: Vec::new(), relayed: None, cause: None }
    }

    /// The error of another server, with its own status (from 400 on) and code.
    pub fn relayed(status: u16, code: &str, message: impl Into<String>) -> ApiError {
        let relayed = Relayed { status, code: code.to_owned() };
        ApiError { relayed: Some(relayed), ..ApiError::new(Code::InternalError, message) }
    }

    /// Replaces the message.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> ApiError {
        self.message = message.into();
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> ApiError {
        self.cause = Some(Box::new(cause));
        self
    }

    /// `ValidationFailed`: the message ends with the names of the fields, in order.
    pub fn validation(errors: Vec<FieldError>) -> ApiError {
        let errors = bounded(errors);
        let message = format!("invalid image data: {}", field_names(&errors));
        ApiError { errors, ..ApiError::new(Code::ValidationFailed, message) }
    }

    /// `ValidationFailed` for a request that is no image data: the parameters of a query, or the body of an action.
    pub fn invalid_request(errors: Vec<FieldError>) -> ApiError {
        let errors = bounded(errors);
        let message = about_parameters(&errors);
        ApiError { errors, ..ApiError::new(Code::ValidationFailed, message) }
    }

    /// `ValidationFailed` for a body of the wrong kind; `must` completes the sentence "the body …".
    pub fn invalid_body(must: &str) -> ApiError {
        let problem = FieldError::missing("body").because(must);
        ApiError::invalid_request(vec![problem]).saying(format!("the body {must}"))
    }

    /// `InvalidParameter`.
    pub fn invalid_parameters(errors: Vec<FieldError>) -> ApiError {
        let errors = bounded(errors);
        let message = about_parameters(&errors);
        ApiError { errors, ..ApiError::new(Code::InvalidParameter, message) }
    }

    /// `InvalidParameter` for one `field`.
    pub fn invalid_parameter(field: &str, code: FieldCode, message: impl Into<String>) -> ApiError {
        let error = FieldError { field: field.to_owned(), code, message: Some(message.into()) };
        ApiError::invalid_parameters(vec![error])
    }

    /// 404 for an image that does not exist, or that this caller may not see.
    pub fn image_not_found(uuid: Uuid) -> ApiError {
        ApiError::new(Code::ResourceNotFound, format!("image {uuid} not found"))
    }

    /// 404 for a file that the image does not have.
    pub fn no_file(uuid: Uuid, index: impl std::fmt::Display) -> ApiError {
        ApiError::new(Code::ResourceNotFound, format!("image {uuid} has no file {index}"))
    }

    /// 409 for a UUID that another image has.
    pub fn image_exists(uuid: Uuid) -> ApiError {
        ApiError::new(Code::ImageUuidAlreadyExists, format!("image {uuid} already exists"))
    }

    /// The REST code; `InternalError` for every relayed error.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text in the `code` member of the body.
    pub fn code_text(&self) -> &str {
        self.relayed.as_ref().map_or(self.code.as_str(), |relayed| &relayed.code)
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.relayed.as_ref().map_or(self.code.status(), |relayed| relayed.status)
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The `errors` member of the body; present, if perhaps empty, for the two codes that have it.
    pub fn field_errors(&self) -> Option<&[FieldError]> {
        matches!(self.code, Code::ValidationFailed | Code::InvalidParameter).then_some(&self.errors)
    }

    /// Whether a stored file is missing or damaged, which may be because its image has changed meanwhile.
    pub(super) fn is_about_a_stored_file(&self) -> bool {
        let cause = self.cause.as_deref().and_then(|cause| cause.downcast_ref());
        matches!(cause, Some(StorageError::NotFound(_) | StorageError::Damaged(_)))
    }

    /// The cause, where the fault is on this server's side.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

/// Keeps the first errors and shortens their texts: a body of 4 MiB can have some 300,000 mistakes, or one that is 4 MiB long.
fn bounded(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    errors.truncate(MOST_ERRORS);
    for error in &mut errors {
        shorten(&mut error.field);
        error.message.iter_mut().for_each(shorten);
    }
    errors
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
}

fn about_parameters(errors: &[FieldError]) -> String {
    let is_missing =
        |error: &FieldError| matches!(error.code, FieldCode::MissingParameter | FieldCode::Missing);
    let problem = if errors.iter().all(is_missing) { "missing" } else { "invalid" };
    match errors {
        [FieldError { field, message: Some(reason), .. }] => {
            format!("{problem} parameter \"{field}\": {reason}")
        }
        [FieldError { field, .. }] => format!("{problem} parameter \"{field}\""),
        _ => format!("{problem} parameters: {}", field_names(errors)),
    }
}

fn field_names(errors: &[FieldError]) -> String {
    errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> ApiError {
        match error {
            DbError::Unavailable(_) | DbError::OutcomeUnknown(_) => {
                ApiError::new(Code::ServiceUnavailableError, "the database is not available").because(error)
            }
            DbError::Conflict => ApiError::new(
                Code::ServiceUnavailableError,
                "the image is being changed by too many requests at once",
            ),
            DbError::NotUnique => {
                let taken = FieldError::invalid("urn").because("another image has it");
                ApiError::validation(vec![taken])
            }
            DbError::Unstorable(_) => ApiError::new(
                Code::ValidationFailed,
                "the database cannot store a text of the image: it is too long, or has characters that it does not know",
            ),
            DbError::NoSuchMarker(no_such) => ApiError::new(Code::ResourceNotFound, no_such.to_string()),
            DbError::NoSpace(_) => {
                ApiError::new(Code::StorageIsDown, "there is no space left for manifests").because(error)
            }
            DbError::Failed(_) => {
                ApiError::new(Code::InternalError, "the database request failed").because(error)
            }
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> ApiError {
        match error {
            CreateError::UnknownMembers(errors) => ApiError::invalid_parameters(errors),
            CreateError::Invalid(errors) => ApiError::validation(errors),
        }
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> ApiError {
        ApiError::new(Code::InternalError, "the answer cannot be rendered as JSON").because(error)
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> ApiError {
        ApiError::new(Code::ServiceUnavailableError, "ufds is not available").because(error)
    }
}

fn has_too_many_open_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> ApiError {
        let (code, message) = match &error {
            StorageError::NoSpace => (Code::StorageIsDown, "local storage has no space left".to_owned()),
            StorageError::NotFound(name) => (Code::InternalError, format!("the file {name} is missing")),
            StorageError::Damaged(_) => {
                (Code::InternalError, "the stored file is not what its manifest says".to_owned())
            }
            StorageError::Io(reason) if reason.kind() == io::ErrorKind::WouldBlock => {
                let message = "the image's file is being taken up after an interruption";
                (Code::ServiceUnavailableError, message.to_owned())
            }
            StorageError::Io(reason) if has_too_many_open_files(reason) => {
                (Code::ServiceUnavailableError, "too many files are open".to_owned())
            }
            StorageError::Io(_) => (Code::InternalError, "local storage failed".to_owned()),
            StorageError::Manta(_) if error.is_temporary() => {
                (Code::StorageIsDown, "manta is not available".to_owned())
            }
            // Another process has just deleted the image, or an image that was about to be created.
            StorageError::Manta(_) if error.is_about_a_directory() => {
                (Code::ServiceUnavailableError, "the file is being replaced".to_owned())
            }
            StorageError::Manta(_) => (Code::InternalError, "manta failed".to_owned()),
            StorageError::MantaUnusable(_) => (Code::StorageIsDown, "manta cannot be used".to_owned()),
            StorageError::Overtaken => (Code::ServiceUnavailableError, error.to_string()),
            StorageError::InvalidName => (Code::InternalError, "manta cannot have such a name".to_owned()),
            StorageError::Absent(stor) => {
                (Code::StorageUnsupported, format!("this server does not have {stor}"))
            }
        };
        ApiError::new(code, message).because(error)
    }
}
