// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use crate::manifest::list::Span;
use crate::manifest::{Flags, View};

/// An image, with its flags beside the pointer: a scan that needs only the flags stays within one array.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) view: Arc<View>,
    pub(super) flags: Flags,
}

impl Slot {
    pub(super) fn new(view: &Arc<View>) -> Slot {
        Slot { view: Arc::clone(view), flags: view.flags() }
    }
}

/// Images in the order of results.
#[derive(Debug, Default)]
pub(super) struct Group(Vec<Slot>);

impl Group {
    /// Appends an image that is known to sort after all others.
    pub(super) fn push(&mut self, view: &Arc<View>) {
        self.0.push(Slot::new(view));
    }

    pub(super) fn insert(&mut self, view: &Arc<View>) {
        // New images mostly sort last.
        let is_last = self.0.last().is_none_or(|last| last.view.position() < view.position());
        let at = if is_last { self.0.len() } else { self.position(view) };
        self.0.insert(at, Slot::new(view));
    }

    pub(super) fn remove(&mut self, view: &Arc<View>) {
        let at = self.position(view);
        if self.0.get(at).is_some_and(|slot| slot.view.uuid() == view.uuid()) {
            self.0.remove(at);
        }
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    fn position(&self, view: &View) -> usize {
        self.0.partition_point(|slot| slot.view.position() < view.position())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All images.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.0
    }

    /// Returns the images in this span.
    pub(super) fn within(&self, part: Span) -> &[Slot] {
        let start = self.0.partition_point(|slot| slot.view.position() < part.first);
        let end = self.0.partition_point(|slot| slot.view.position() <= part.last);
        &self.0[start.min(end)..end]
    }
}
