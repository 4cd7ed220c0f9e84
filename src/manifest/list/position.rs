// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The position of an image in the order of results, and the range of positions that a page is taken from.

use super::sort::SortDirection;
use crate::manifest::times::Moment;
use crate::manifest::uuid::Uuid;

/// The position of an image in the order of results: sorted by time of publication, unpublished images first, then by
/// UUID. No two images share a position, so a page can begin at any image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the image was published. `None` sorts before any time.
    pub published: Option<Moment>,
    /// The image's UUID.
    pub uuid: Uuid,
}

/// The images from one position to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first in ascending order.
    pub first: Position,
    /// The last in ascending order.
    pub last: Position,
}

impl Position {
    const FIRST: Position = Position { published: None, uuid: Uuid::NIL };
    const LAST: Position = Position { published: Some(Moment::LAST), uuid: Uuid::MAX };
}

impl Span {
    /// All images.
    pub const ALL: Span = Span { first: Position::FIRST, last: Position::LAST };

    /// Returns the span that begins at an image and includes everything after it in this direction.
    pub fn from_image(position: Position, direction: SortDirection) -> Span {
        match direction {
            SortDirection::Ascending => Span { first: position, ..Span::ALL },
            SortDirection::Descending => Span { last: position, ..Span::ALL },
        }
    }

    /// Returns the span of images published at a time or after it in this direction. Unpublished images are never in it.
    pub fn from_time(time: Moment, direction: SortDirection) -> Span {
        let (from, until) = match direction {
            SortDirection::Ascending => (time, Moment::LAST),
            SortDirection::Descending => (Moment::FIRST, time),
        };
        Span {
            first: Position { published: Some(from), ..Position::FIRST },
            last: Position { published: Some(until), ..Position::LAST },
        }
    }

    /// Returns whether a position is in the span.
    pub fn contains(&self, position: Position) -> bool {
        (self.first..=self.last).contains(&position)
    }
}
