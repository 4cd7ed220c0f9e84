// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Translates a query for a database: into a union of conjunctions.

use super::position::Span;
use super::query::{ListQuery, StateFilter, TextMatch};
use crate::manifest::names::closed_set;
use crate::manifest::tags;

closed_set! {
    /// A string member that conditions compare, spelled as in records.
    pub enum TextField: "text field" {
        /// The name.
        Name = "name",
        /// The version.
        Version = "version",
        /// The owner's UUID.
        Owner = "owner",
        /// The operating system.
        Os = "os",
        /// The type.
        Type = "type",
        /// The stored state.
        State = "state",
    }
}

closed_set! {
    /// A boolean member that conditions compare, spelled as in records.
    pub enum Flag: "flag" {
        /// Visible to everybody once activated.
        Public = "public",
        /// Was activated.
        Activated = "activated",
        /// Is disabled.
        Disabled = "disabled",
    }
}

closed_set! {
    /// A list of strings that conditions search, spelled as in records.
    pub enum ListField: "list field" {
        /// The search list of tags, with elements `key=value`.
        Tags = "tags",
        /// Billing tags.
        BillingTags = "billing_tags",
        /// Accounts that may use a private image.
        Acl = "acl",
        /// The channels that an image is in.
        Channels = "channels",
    }
}

/// One thing that must be true of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The member equals this string.
    Eq(TextField, String),
    /// The member differs from this string, or is absent.
    Not(TextField, String),
    /// The member contains this string, which is not empty; case-sensitive.
    Contains(TextField, String),
    /// The flag has this value.
    Bool(Flag, bool),
    /// The list has this element.
    ElementOf(ListField, String),
    /// There is a tag with this key.
    TagKey(String),
    /// The image is in this part of the order of results.
    Within(Span),
}

/// A conjunction: every condition must hold.
pub type Scope = Vec<Condition>;

/// Returns the scopes of a query. The result of the query is their union by UUID. Without any scope it is empty.
///
/// `part` is the span that the query's marker leaves, from [`ListQuery::part`]. Sort order and limit apply to every
/// scope and again to the union.
pub fn scopes(query: &ListQuery, part: Span) -> Vec<Scope> {
    let filters = filters(query, part);
    let owned_by = |owner: &str| Condition::Eq(TextField::Owner, owner.to_owned());
    let mut scopes = match (&query.account, &query.owner) {
        (None, None) => vec![as_asked(query)],
        (None, Some(owner)) => vec![[vec![owned_by(owner)], as_asked(query)].concat()],
        (Some(account), None) => {
            let mut scopes = vec![[vec![owned_by(account)], as_asked(query)].concat()];
            scopes.extend(of_others(query, account));
            scopes
        }
        (Some(account), Some(owner)) if account == owner => {
            vec![[vec![owned_by(account)], as_asked(query)].concat()]
        }
        (Some(account), Some(owner)) => {
            let mut scopes = of_others(query, account);
            scopes.iter_mut().for_each(|scope| scope.insert(0, owned_by(owner)));
            scopes
        }
    };
    scopes.iter_mut().for_each(|scope| scope.extend(filters.iter().cloned()));
    scopes
}

/// The `public` and state filters as the query has them, for an account's own images and for operators.
fn as_asked(query: &ListQuery) -> Scope {
    let public = query.public.map(|public| Condition::Bool(Flag::Public, public));
    let state = match query.state {
        StateFilter::Active => vec![activated(true), disabled(false)],
        StateFilter::Disabled => vec![activated(true), disabled(true)],
        StateFilter::Unactivated => vec![activated(false)],
        StateFilter::All => vec![],
        StateFilter::Stored(state) => vec![Condition::Eq(TextField::State, state.to_string())],
    };
    public.into_iter().chain(state).collect()
}

/// Images of other accounts that an account may see: public ones, and private ones shared with it.
fn of_others(query: &ListQuery, account: &str) -> Vec<Scope> {
    let state = match query.state {
        // Other accounts' disabled and unactivated images are never listed by those states.
        StateFilter::Disabled | StateFilter::Unactivated => return vec![],
        StateFilter::Active => Some(disabled(false)),
        StateFilter::All => None,
        StateFilter::Stored(state) => Some(Condition::Eq(TextField::State, state.to_string())),
    };
    let mut scopes = Vec::new();
    if query.public != Some(false) {
        scopes.push(vec![Condition::Bool(Flag::Public, true), activated(true)]);
    }
    if query.public != Some(true) {
        let shared = Condition::ElementOf(ListField::Acl, account.to_owned());
        scopes.push(vec![Condition::Bool(Flag::Public, false), activated(true), shared]);
    }
    scopes.iter_mut().for_each(|scope| scope.extend(state.clone()));
    scopes
}

fn activated(value: bool) -> Condition {
    Condition::Bool(Flag::Activated, value)
}

fn disabled(value: bool) -> Condition {
    Condition::Bool(Flag::Disabled, value)
}

/// The conditions that every scope has.
fn filters(query: &ListQuery, part: Span) -> Scope {
    let mut filters = Vec::new();
    for (field, asked) in [
        (TextField::Name, &query.name),
        (TextField::Version, &query.version),
        (TextField::Type, &query.image_type),
    ] {
        filters.extend(asked.as_ref().and_then(|asked| text_condition(field, asked)));
    }
    filters.extend(query.os.clone().map(|os| Condition::Eq(TextField::Os, os)));
    filters.extend(query.tags.iter().map(|(key, value)| match value.as_str() {
        "" => Condition::TagKey(key.clone()),
        value => Condition::ElementOf(ListField::Tags, tags::listed(key, value)),
    }));
    filters.extend(
        query.billing_tags.iter().map(|tag| Condition::ElementOf(ListField::BillingTags, tag.clone())),
    );
    filters.extend(query.channel.iter().map(|name| Condition::ElementOf(ListField::Channels, name.clone())));
    filters.extend((part != Span::ALL).then_some(Condition::Within(part)));
    filters
}

fn text_condition(field: TextField, asked: &TextMatch) -> Option<Condition> {
    match asked {
        TextMatch::Exact(text) => Some(Condition::Eq(field, text.clone())),
        TextMatch::Not(text) => Some(Condition::Not(field, text.clone())),
        // Every string contains the empty string.
        TextMatch::Substring(part) if part.is_empty() => None,
        TextMatch::Substring(part) => Some(Condition::Contains(field, part.clone())),
    }
}
