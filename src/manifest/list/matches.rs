//! Whether a loaded image meets a scope, for databases that hold images in memory.

use std::borrow::Cow;

use super::scopes::{Condition, Flag, ListField, TextField};
use crate::manifest::image::Image;

/// Whether every condition of the scope holds for the image.
pub fn matches(scope: &[Condition], image: &Image) -> bool {
    scope.iter().all(|condition| holds(condition, image))
}

fn holds(condition: &Condition, image: &Image) -> bool {
    match condition {
        Condition::Eq(field, text) => text_of(*field, image).is_some_and(|found| found == text.as_str()),
        Condition::Not(field, text) => text_of(*field, image).is_none_or(|found| found != text.as_str()),
        Condition::Contains(field, part) => {
            text_of(*field, image).is_some_and(|found| found.contains(part.as_str()))
        }
        Condition::Bool(flag, value) => flag_of(*flag, image) == *value,
        Condition::ElementOf(field, element) => has_element(*field, image, element),
        Condition::TagKey(key) => {
            let has_key =
                |tag: &String| tag.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('='));
            image.tags_search_list().iter().any(has_key)
        }
        Condition::PublishedAtOrAfter(time) => image.published_at().is_some_and(|at| at >= time.as_str()),
        Condition::PublishedAtOrBefore(time) => image.published_at().is_some_and(|at| at <= time.as_str()),
    }
}

fn text_of(field: TextField, image: &Image) -> Option<Cow<'_, str>> {
    let stored = |name| image.record().get(name).and_then(serde_json::Value::as_str).map(Cow::Borrowed);
    match field {
        TextField::Name => Some(Cow::Borrowed(image.name())),
        TextField::Version => Some(Cow::Borrowed(image.version())),
        TextField::Owner => Some(Cow::Owned(image.owner().to_string())),
        TextField::Os => stored("os"),
        TextField::Type => stored("type"),
        TextField::Origin => stored("origin"),
        TextField::State => Some(Cow::Borrowed(image.state().as_str())),
    }
}

fn flag_of(flag: Flag, image: &Image) -> bool {
    match flag {
        Flag::Public => image.public(),
        Flag::Activated => image.activated(),
        Flag::Disabled => image.disabled(),
    }
}

fn has_element(field: ListField, image: &Image, element: &str) -> bool {
    match field {
        ListField::Tags => image.tags_search_list().iter().any(|tag| tag == element),
        ListField::BillingTags => image.billing_tags().iter().any(|tag| tag == element),
        ListField::Channels => {
            image.channels().is_some_and(|channels| channels.iter().any(|channel| channel == element))
        }
        ListField::Acl => image.acl().iter().any(|account| account.to_string() == element),
    }
}
