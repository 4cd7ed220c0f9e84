// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use memchr::memmem;

use super::group::{Group, Slot};
use crate::manifest::list::{Condition, ListField, Matcher, SortDirection, TextField};
use crate::manifest::{Uuid, View};

/// A search for a part of a name scans only the images with matching names, unless these are more than one in `FEW` of
/// all images. Scanning all images in their order is then faster.
const FEW: usize = 8;

/// All images in the order of results, and also the images of each owner, each name and each account in an ACL.
#[derive(Debug, Default)]
pub(super) struct Order {
    all: Group,
    owners: HashMap<Uuid, Group>,
    names: HashMap<Box<str>, Group>,
    shared: HashMap<Uuid, Group>,
    origins: HashMap<Uuid, Vec<Uuid>>,
}

impl Order {
    /// Sorts these images, whose UUIDs must be distinct.
    pub(super) fn build(mut views: Vec<Arc<View>>) -> Order {
        views.sort_unstable_by_key(|view| view.position());
        let mut order = Order::default();
        views.iter().for_each(|view| order.add(view, Group::push));
        order
    }

    /// Adds an image, which must not be present yet.
    pub(super) fn insert(&mut self, view: &Arc<View>) {
        self.add(view, Group::insert);
    }

    fn add(&mut self, view: &Arc<View>, add: fn(&mut Group, &Arc<View>)) {
        add(&mut self.all, view);
        add(self.owners.entry(view.owner()).or_default(), view);
        match self.names.get_mut(view.name()) {
            Some(group) => add(group, view),
            None => add(self.names.entry(view.name().into()).or_default(), view),
        }
        for account in view.acl() {
            add(self.shared.entry(*account).or_default(), view);
        }
        if let Some(origin) = view.origin() {
            self.origins.entry(origin).or_default().push(view.uuid());
        }
    }

    /// Removes an image, which must be present.
    pub(super) fn remove(&mut self, view: &Arc<View>) {
        self.all.remove(view);
        remove(&mut self.owners, &view.owner(), view);
        remove(&mut self.names, view.name(), view);
        for account in view.acl() {
            remove(&mut self.shared, account, view);
        }
        if let Some(origin) = view.origin()
            && let Some(dependents) = self.origins.get_mut(&origin)
        {
            dependents.retain(|dependent| *dependent != view.uuid());
            if dependents.is_empty() {
                self.origins.remove(&origin);
            }
        }
    }

    /// Returns the UUIDs of the images whose origin is `uuid`, in order.
    pub(super) fn dependents(&self, uuid: Uuid) -> Vec<Uuid> {
        let mut dependents = self.origins.get(&uuid).cloned().unwrap_or_default();
        dependents.sort_unstable();
        dependents
    }

    /// Returns the first `limit` images of a scope.
    pub(super) fn select(
        &self,
        scope: &[Condition],
        direction: SortDirection,
        limit: usize,
    ) -> Vec<Arc<View>> {
        let matcher = Matcher::new(scope);
        let collected;
        let candidates = match self.candidates(scope) {
            Candidates::None => return Vec::new(),
            Candidates::Group(group) => within(group, scope),
            Candidates::Collected(slots) => {
                collected = slots;
                &collected[..]
            }
        };
        let meets = |slot: &&Slot| matcher.admits(slot.flags) && matcher.matches(&slot.view);
        let take = |slots: &mut dyn Iterator<Item = &Slot>| {
            slots.filter(meets).take(limit).map(|slot| Arc::clone(&slot.view)).collect()
        };
        match direction {
            SortDirection::Ascending => take(&mut candidates.iter()),
            SortDirection::Descending => take(&mut candidates.iter().rev()),
        }
    }

    /// Returns the smallest indexed set that contains all images of the scope.
    fn candidates(&self, scope: &[Condition]) -> Candidates<'_> {
        let mut best = &self.all;
        for condition in scope {
            let group = match condition {
                Condition::Eq(TextField::Owner, owner) => group_of(&self.owners, owner.parse().ok().as_ref()),
                Condition::ElementOf(ListField::Acl, account) => {
                    group_of(&self.shared, account.parse().ok().as_ref())
                }
                Condition::Eq(TextField::Name, name) => self.names.get(name.as_str()),
                _ => continue,
            };
            match group {
                None => return Candidates::None,
                Some(group) if group.len() < best.len() => best = group,
                Some(_) => {}
            }
        }
        let part = scope.iter().find_map(|condition| match condition {
            Condition::Contains(TextField::Name, part) => Some(part),
            _ => None,
        });
        match part.and_then(|part| self.named(part, best.len() / FEW)) {
            Some(slots) => Candidates::Collected(slots),
            None => Candidates::Group(best),
        }
    }

    /// Returns the images whose names contain this part, in order; `None` if there are more than `most`.
    fn named(&self, part: &str, most: usize) -> Option<Vec<Slot>> {
        // Scanning the names themselves costs time, too.
        if self.names.len() / FEW > most {
            return None;
        }
        let finder = memmem::Finder::new(part.as_bytes());
        let mut slots = Vec::new();
        for (name, group) in &self.names {
            if finder.find(name.as_bytes()).is_some() {
                slots.extend_from_slice(group.slots());
                if slots.len() > most {
                    return None;
                }
            }
        }
        slots.sort_unstable_by_key(|slot| slot.view.position());
        Some(slots)
    }
}

enum Candidates<'a> {
    None,
    Group(&'a Group),
    Collected(Vec<Slot>),
}

fn group_of<'a>(groups: &'a HashMap<Uuid, Group>, key: Option<&Uuid>) -> Option<&'a Group> {
    groups.get(key?)
}

/// Returns the part of the group that a marker leaves.
fn within<'a>(group: &'a Group, scope: &[Condition]) -> &'a [Slot] {
    let part = scope.iter().find_map(|condition| match condition {
        Condition::Within(part) => Some(*part),
        _ => None,
    });
    part.map_or(group.slots(), |part| group.within(part))
}

fn remove<K, Q>(groups: &mut HashMap<K, Group>, key: &Q, view: &Arc<View>)
where
    K: std::borrow::Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    let Some(group) = groups.get_mut(key) else { return };
    group.remove(view);
    if group.is_empty() {
        groups.remove(key);
    }
}
