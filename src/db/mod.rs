//! Where manifests live: Moray.

mod filter;
mod moray;

use crate::manifest::Image;

pub use self::moray::MorayDatabase;

/// A valid record and the version of it that was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record.
    pub image: Image,
    /// Names this version to a conditional write.
    pub etag: String,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database, or the way to it, is down. Nothing was changed.
    #[error("the database is unavailable")]
    Unavailable(#[source] ::moray::Error),
    /// A write may have been made or not: the answer to it was lost.
    #[error("the outcome of a write is unknown")]
    OutcomeUnknown(#[source] ::moray::Error),
    /// Somebody else changed, made or deleted the record since it was read. Nothing was changed.
    #[error("the record has changed")]
    Conflict,
    /// Another record has the same `urn`. Nothing was changed.
    #[error("another record has the same value of a unique attribute")]
    NotUnique,
    /// The database refused.
    #[error("the database request failed")]
    Failed(#[source] ::moray::Error),
}
