// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where an image stands in results, and the part of them that a page is taken from.

use super::sort::SortDirection;
use crate::manifest::times::Moment;
use crate::manifest::uuid::Uuid;

/// The place of an image in the order of results: by time of publication, images without one first, then by UUID. No two
/// images share one, so that a page can begin at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When it was published. `None` is before any time.
    pub published: Option<Moment>,
    /// Which image it is.
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

    /// The image at a position and what comes behind it.
    pub fn from_image(position: Position, direction: SortDirection) -> Span {
        match direction {
            SortDirection::Ascending => Span { first: position, ..Span::ALL },
            SortDirection::Descending => Span { last: position, ..Span::ALL },
        }
    }

    /// What was published at a time or behind it in this direction. An image that was not published never was.
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

    /// Whether a position is in it.
    pub fn contains(&self, position: Position) -> bool {
        (self.first..=self.last).contains(&position)
    }
}
