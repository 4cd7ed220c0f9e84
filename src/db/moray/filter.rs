// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Translates a query's conditions into Moray's filter language.

use moray::{Attribute, Filter};

use crate::manifest::list::{Condition, Flag, ListField, Scope, TextField};

const UUID: Attribute = Attribute::from_static("uuid");
const ORIGIN: Attribute = Attribute::from_static("origin");

/// Returns the filter of a union of scopes; `None` if there are no scopes, which select nothing. Records that match it
/// still have to be checked against the conditions, because not every condition can be expressed in Moray.
pub(super) fn of_scopes(scopes: &[Scope]) -> Option<Filter> {
    Filter::any_of(scopes.iter().map(|scope| of_scope(scope)))
}

fn of_scope(scope: &[Condition]) -> Filter {
    Filter::all_of(scope.iter().filter_map(of_condition)).unwrap_or(Filter::present(UUID))
}

/// Returns the filter of the images whose origin is `uuid`.
pub(super) fn with_origin(uuid: impl ToString) -> Filter {
    Filter::eq(ORIGIN, uuid.to_string())
}

fn of_condition(condition: &Condition) -> Option<Filter> {
    Some(match condition {
        Condition::Eq(field, text) => Filter::eq(text_attribute(*field), text),
        Condition::Not(field, text) => Filter::not(Filter::eq(text_attribute(*field), text)),
        Condition::Contains(field, part) => Filter::contains(text_attribute(*field), part),
        Condition::Bool(flag, value) => Filter::eq(flag_attribute(*flag), value.to_string()),
        // Channels are not indexed in the bucket of 4.13.1.
        Condition::ElementOf(ListField::Channels, _) => return None,
        Condition::ElementOf(field, element) => Filter::eq(list_attribute(*field), element),
        // This needs a prefix of an element, and Moray does not search within elements of arrays.
        Condition::TagKey(_) => return None,
        // Moray compares strings; see `scan`.
        Condition::Within(_) => return None,
    })
}

fn text_attribute(field: TextField) -> Attribute {
    Attribute::from_static(match field {
        TextField::Name => "name",
        TextField::Version => "version",
        TextField::Owner => "owner",
        TextField::Os => "os",
        TextField::Type => "type",
        TextField::State => "state",
    })
}

fn flag_attribute(flag: Flag) -> Attribute {
    Attribute::from_static(match flag {
        Flag::Public => "public",
        Flag::Activated => "activated",
        Flag::Disabled => "disabled",
    })
}

fn list_attribute(field: ListField) -> Attribute {
    Attribute::from_static(match field {
        ListField::Tags => "tags",
        ListField::BillingTags => "billing_tags",
        ListField::Acl => "acl",
        ListField::Channels => "channels",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_conjunction() {
        let scope = [
            Condition::Eq(TextField::Owner, "x)(uuid=*".into()),
            Condition::Bool(Flag::Activated, true),
            Condition::Not(TextField::Type, "docker".into()),
            Condition::TagKey("role".into()),
        ];
        assert_eq!(
            of_scope(&scope).to_string(),
            r"(&(owner=x\29\28uuid=\2a)(activated=true)(!(type=docker)))"
        );
    }

    #[test]
    fn a_scope_without_a_form_in_moray_asks_for_all() {
        assert_eq!(of_scope(&[]).to_string(), "(uuid=*)");
        assert_eq!(of_scope(&[Condition::TagKey("role".into())]).to_string(), "(uuid=*)");
    }
}
