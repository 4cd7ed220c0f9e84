// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decides whether an image meets a scope.

use memchr::memmem::Finder;

use super::position::Span;
use super::scopes::{Condition, Flag, ListField, TextField};
use crate::manifest::uuid::Uuid;
use crate::manifest::view::{Flags, View};

/// The conditions of a scope, prepared for matching many images.
#[derive(Debug)]
pub struct Matcher {
    mask: Flags,
    wanted: Flags,
    /// Set when no image can meet the flags.
    never: bool,
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Eq(TextField, String),
    Not(TextField, String),
    Contains(TextField, Box<Finder<'static>>),
    /// `None` is a string that is not a UUID, so no image matches.
    Owner(Option<Uuid>),
    Acl(Option<Uuid>),
    Tag(String),
    TagKey(String),
    BillingTag(String),
    Channel(String),
    Within(Span),
}

impl Matcher {
    /// Prepares the conditions of a scope.
    pub fn new(scope: &[Condition]) -> Matcher {
        let mut matcher =
            Matcher { mask: Flags::default(), wanted: Flags::default(), never: false, tests: Vec::new() };
        scope.iter().for_each(|condition| matcher.add(condition));
        matcher
    }

    fn add(&mut self, condition: &Condition) {
        self.tests.push(match condition {
            Condition::Bool(flag, value) => return self.add_flag(*flag, *value),
            Condition::Eq(TextField::Owner, owner) => Test::Owner(owner.parse().ok()),
            Condition::Eq(field, text) => Test::Eq(*field, text.clone()),
            Condition::Not(field, text) => Test::Not(*field, text.clone()),
            Condition::Contains(field, part) => {
                Test::Contains(*field, Box::new(Finder::new(part.as_bytes()).into_owned()))
            }
            Condition::ElementOf(ListField::Acl, account) => Test::Acl(account.parse().ok()),
            Condition::ElementOf(ListField::Tags, tag) => Test::Tag(tag.clone()),
            Condition::ElementOf(ListField::BillingTags, tag) => Test::BillingTag(tag.clone()),
            Condition::ElementOf(ListField::Channels, channel) => Test::Channel(channel.clone()),
            Condition::TagKey(key) => Test::TagKey(key.clone()),
            Condition::Within(span) => Test::Within(*span),
        });
    }

    fn add_flag(&mut self, flag: Flag, value: bool) {
        let flag = match flag {
            Flag::Public => Flags::PUBLIC,
            Flag::Activated => Flags::ACTIVATED,
            Flag::Disabled => Flags::DISABLED,
        };
        self.never |= self.mask.has(flag) && self.wanted.has(flag) != value;
        self.mask = self.mask.with(flag, true);
        self.wanted = self.wanted.with(flag, value);
    }

    /// Returns whether an image with these flags may meet the scope.
    pub fn admits(&self, flags: Flags) -> bool {
        !self.never && flags.meet(self.mask, self.wanted)
    }

    /// Returns whether every condition of the scope holds for the image.
    pub fn matches(&self, view: &View) -> bool {
        self.admits(view.flags()) && self.tests.iter().all(|test| test.holds(view))
    }
}

impl Test {
    fn holds(&self, view: &View) -> bool {
        match self {
            Test::Eq(field, text) => text_of(*field, view).is_some_and(|found| found == text),
            Test::Not(field, text) => text_of(*field, view).is_none_or(|found| found != text),
            Test::Contains(field, part) => {
                text_of(*field, view).is_some_and(|found| part.find(found.as_bytes()).is_some())
            }
            Test::Owner(owner) => *owner == Some(view.owner()),
            Test::Acl(account) => account.is_some_and(|account| view.is_shared_with(account)),
            Test::Tag(tag) => view.tags_search_list().iter().any(|found| **found == **tag),
            Test::TagKey(key) => view
                .tags_search_list()
                .iter()
                .any(|tag| tag.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('='))),
            Test::BillingTag(tag) => view.billing_tags().iter().any(|found| **found == **tag),
            Test::Channel(channel) => {
                view.channels().is_some_and(|channels| channels.iter().any(|found| **found == **channel))
            }
            Test::Within(span) => span.contains(view.position()),
        }
    }
}

/// The owner has no string here: it is compared as a UUID, and no condition negates it or searches within it.
fn text_of(field: TextField, view: &View) -> Option<&str> {
    match field {
        TextField::Name => Some(view.name()),
        TextField::Version => Some(view.version()),
        TextField::Owner => None,
        TextField::Os => view.os(),
        TextField::Type => view.image_type(),
        TextField::State => Some(view.state().as_str()),
    }
}
