// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads rows in the order of results, a page at a time.
//!
//! Moray sorts `published_at` as a string. That is the order of time, with one exception: within a second, times
//! without milliseconds come last instead of first. Moreover, Moray sorts rows without a time first or last depending
//! on the direction. So unpublished images are read separately, and published ones by whole seconds.

use moray::{Attribute, Filter, Order, Sort};

use crate::manifest::list::{Position, SortDirection, Span};

const UUID: Attribute = Attribute::from_static("uuid");
const PUBLISHED_AT: Attribute = Attribute::from_static("published_at");

/// The least string that a time can begin with. The empty string, which is not a time, is less.
const LEAST: &str = "0";

/// Length of a `published_at` up to its second.
const SECOND_LEN: usize = 19;

/// The position at which reading continues.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    direction: SortDirection,
    /// Whether this reads published images, or the others.
    published: bool,
    /// The span that the marker leaves.
    part: Span,
    /// The last row that was read.
    reached: Option<RowPosition>,
}

/// The position of a row in Moray's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowPosition {
    pub(super) published_at: String,
    pub(super) uuid: String,
}

impl Cursor {
    /// Returns where to start: one cursor for each kind of image, to be read one after the other.
    pub(super) fn beginnings(part: Span, direction: SortDirection) -> Vec<Cursor> {
        let of = |published| Cursor { direction, published, part, reached: None };
        let mut beginnings = Vec::new();
        if part.first.published.is_none() {
            beginnings.push(of(false));
        }
        if part.last.published.is_some() {
            beginnings.push(of(true));
        }
        if direction == SortDirection::Descending {
            beginnings.reverse();
        }
        beginnings
    }

    /// Returns the cursor after a row.
    pub(super) fn after(self, reached: RowPosition) -> Cursor {
        Cursor { reached: Some(reached), ..self }
    }

    /// Returns the order in which Moray has to sort the rows.
    pub(super) fn order(&self) -> Vec<Sort> {
        let order = match self.direction {
            SortDirection::Ascending => Order::Ascending,
            SortDirection::Descending => Order::Descending,
        };
        let attributes = if self.published { &[PUBLISHED_AT, UUID][..] } else { &[UUID] };
        attributes.iter().map(|attribute| Sort { attribute: attribute.clone(), order }).collect()
    }

    /// Returns the filter of the wanted rows from here on.
    pub(super) fn filter(&self, wanted: Filter) -> Filter {
        let mut conditions = vec![wanted.clone(), Filter::present(UUID)];
        conditions.extend(if self.published { self.published() } else { self.unpublished() });
        Filter::all_of(conditions).unwrap_or(wanted)
    }

    fn unpublished(&self) -> Vec<Filter> {
        let without_time = [Filter::not(Filter::present(PUBLISHED_AT)), Filter::le(PUBLISHED_AT, LEAST)];
        let mut conditions: Vec<_> = Filter::any_of(without_time).into_iter().collect();
        match &self.reached {
            Some(reached) => conditions.extend(self.behind(&UUID, &reached.uuid)),
            None => {
                let bound = match self.direction {
                    SortDirection::Ascending => self.part.first,
                    SortDirection::Descending => self.part.last,
                };
                // If the span ends among published images, all unpublished ones on that side are in it.
                let bound = bound.published.is_none().then(|| bound.uuid.to_string());
                conditions.extend(bound.map(|bound| self.at_or_behind(&UUID, bound)));
            }
        }
        conditions
    }

    fn published(&self) -> Vec<Filter> {
        let Some(reached) = &self.reached else {
            let bound = match (self.direction, self.part.first.published, self.part.last.published) {
                (SortDirection::Ascending, Some(first), _) => first.second(),
                // Every string of that second is less.
                (SortDirection::Descending, _, Some(last)) => format!("{}Z", last.second()),
                _ => LEAST.to_owned(),
            };
            let is_time = Filter::ge(PUBLISHED_AT, LEAST);
            return vec![is_time, self.at_or_behind(&PUBLISHED_AT, bound)];
        };
        let same_time = Filter::eq(PUBLISHED_AT, &reached.published_at);
        let behind = Filter::all_of(self.behind(&UUID, &reached.uuid));
        let behind = Filter::any_of([Some(Filter::not(same_time)), behind].into_iter().flatten());
        let is_time = Filter::ge(PUBLISHED_AT, LEAST);
        [Some(is_time), Some(self.at_or_behind(&PUBLISHED_AT, &reached.published_at)), behind]
            .into_iter()
            .flatten()
            .collect()
    }

    fn at_or_behind(&self, attribute: &Attribute, bound: impl Into<String>) -> Filter {
        match self.direction {
            SortDirection::Ascending => Filter::ge(attribute.clone(), bound),
            SortDirection::Descending => Filter::le(attribute.clone(), bound),
        }
    }

    fn behind(&self, attribute: &Attribute, bound: &str) -> [Filter; 2] {
        [self.at_or_behind(attribute, bound), Filter::not(Filter::eq(attribute.clone(), bound))]
    }

    /// Returns whether all further images sort after this position.
    pub(super) fn is_behind(&self, position: Position) -> bool {
        match (position.published, &self.reached) {
            (None, _) if !self.published => self.reached.is_some(),
            // The position is of the kind that is read first, and the second kind is being read.
            (None, _) => self.direction == SortDirection::Ascending,
            (Some(_), _) if !self.published => self.direction == SortDirection::Descending,
            (Some(_), None) => false,
            (Some(time), Some(reached)) => {
                reached.published_at.get(..SECOND_LEN).is_none_or(|second| second != time.second())
            }
        }
    }
}
