// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

/// A REST code, which clients compare, and its HTTP status.
///
/// The list is closed. The spelling is 4.13.1's, where some codes end in `Error` and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is explained by its name; docs/index.md says when those of this version come up"
)]
pub enum Code {
    ValidationFailed,
    InvalidParameter,
    ImageFilesImmutable,
    ImageAlreadyActivated,
    NoActivationNoFile,
    OperatorOnly,
    ImageUuidAlreadyExists,
    Upload,
    Download,
    ImageFileTooBig,
    StorageIsDown,
    StorageUnsupported,
    RemoteSourceError,
    OwnerDoesNotExist,
    AccountDoesNotExist,
    NotImageOwner,
    ImageNotShared,
    NotMantaPathOwner,
    OriginDoesNotExist,
    OriginIsNotActive,
    InsufficientServerVersion,
    ImageHasDependentImages,
    NotAvailable,
    NotImplemented,
    ResourceNotFound,
    MethodNotAllowedError,
    InvalidVersion,
    BadRequestError,
    InvalidContent,
    BadDigest,
    UnauthorizedError,
    PreconditionFailed,
    MissingParameter,
    InvalidArgument,
    InvalidHeader,
    NotAcceptable,
    RequestTimeout,
    RequestEntityTooLarge,
    RequestedRangeNotSatisfiableError,
    InternalError,
    ServiceUnavailableError,
}

impl Code {
    /// The text in the `code` member of an error body.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().1
    }

    fn row(self) -> (&'static str, u16) {
        match self {
            Code::ValidationFailed => ("ValidationFailed", 422),
            Code::InvalidParameter => ("InvalidParameter", 422),
            Code::ImageFilesImmutable => ("ImageFilesImmutable", 422),
            Code::ImageAlreadyActivated => ("ImageAlreadyActivated", 422),
            Code::NoActivationNoFile => ("NoActivationNoFile", 422),
            Code::OperatorOnly => ("OperatorOnly", 403),
            Code::ImageUuidAlreadyExists => ("ImageUuidAlreadyExists", 409),
            Code::Upload => ("Upload", 400),
            Code::Download => ("Download", 400),
            Code::ImageFileTooBig => ("ImageFileTooBig", 400),
            Code::StorageIsDown => ("StorageIsDown", 503),
            Code::StorageUnsupported => ("StorageUnsupported", 503),
            Code::RemoteSourceError => ("RemoteSourceError", 503),
            Code::OwnerDoesNotExist => ("OwnerDoesNotExist", 422),
            Code::AccountDoesNotExist => ("AccountDoesNotExist", 422),
            Code::NotImageOwner => ("NotImageOwner", 422),
            Code::ImageNotShared => ("ImageNotShared", 422),
            Code::NotMantaPathOwner => ("NotMantaPathOwner", 422),
            Code::OriginDoesNotExist => ("OriginDoesNotExist", 422),
            Code::OriginIsNotActive => ("OriginIsNotActive", 422),
            Code::InsufficientServerVersion => ("InsufficientServerVersion", 422),
            Code::ImageHasDependentImages => ("ImageHasDependentImages", 422),
            Code::NotAvailable => ("NotAvailable", 501),
            Code::NotImplemented => ("NotImplemented", 400),
            Code::ResourceNotFound => ("ResourceNotFound", 404),
            Code::MethodNotAllowedError => ("MethodNotAllowedError", 405),
            Code::InvalidVersion => ("InvalidVersion", 400),
            Code::BadRequestError => ("BadRequestError", 400),
            Code::InvalidContent => ("InvalidContent", 400),
            Code::BadDigest => ("BadDigest", 400),
            Code::UnauthorizedError => ("UnauthorizedError", 401),
            Code::PreconditionFailed => ("PreconditionFailed", 412),
            // These two statuses are odd, but restify sends them.
            Code::MissingParameter => ("MissingParameter", 409),
            Code::InvalidArgument => ("InvalidArgument", 409),
            Code::InvalidHeader => ("InvalidHeader", 400),
            Code::NotAcceptable => ("NotAcceptable", 406),
            Code::RequestTimeout => ("RequestTimeout", 408),
            Code::RequestEntityTooLarge => ("RequestEntityTooLarge", 413),
            Code::RequestedRangeNotSatisfiableError => ("RequestedRangeNotSatisfiableError", 416),
            Code::InternalError => ("InternalError", 500),
            Code::ServiceUnavailableError => ("ServiceUnavailableError", 503),
        }
    }
}
