// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The parameters of ListImages.

use std::cmp::Ordering;

use super::params::Params;
use super::position::{Position, Span};
use super::sort::SortDirection;
use crate::manifest::kinds::{Mode, State};
use crate::manifest::times::Moment;
use crate::manifest::uuid::Uuid;
use crate::manifest::view::View;
use crate::manifest::{FieldError, coerce, times};

/// Which images a ListImages call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ListQuery {
    /// The account that the call is made for. It is not validated: a string that is not a UUID owns nothing.
    pub account: Option<String>,
    /// The owner asked for. It is not validated either.
    pub owner: Option<String>,
    /// The state asked for.
    pub state: StateFilter,
    /// Only public, or only private images.
    pub public: Option<bool>,
    /// The name asked for.
    pub name: Option<TextMatch>,
    /// The version asked for.
    pub version: Option<TextMatch>,
    /// The operating system asked for, exactly.
    pub os: Option<String>,
    /// The type asked for.
    pub image_type: Option<TextMatch>,
    /// Tags that the images must all have, as key and value in string form. An empty value matches any value.
    pub tags: Vec<(String, String)>,
    /// Billing tags the images must all have.
    pub billing_tags: Vec<String>,
    /// The channel that the images must be in. The calling code sets it, because all routes share the rules for channels.
    pub channel: Option<String>,
    /// The most images to return; at least 1.
    pub limit: Option<u64>,
    /// Where the page begins. The image or time itself is included.
    pub marker: Option<Marker>,
    /// The order of the result.
    pub sort: SortDirection,
    /// Whether the client may read active images only. The calling code sets it, as it sets the channel.
    pub active_only: bool,
}

/// The state that a query asks for. The flags decide, not the stored state, except for placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StateFilter {
    /// Activated and not disabled.
    #[default]
    Active,
    /// Activated and disabled.
    Disabled,
    /// Not activated, placeholders included.
    Unactivated,
    /// Any state.
    All,
    /// Records whose stored state is this one: `creating` or `failed`.
    Stored(State),
}

/// How a string is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextMatch {
    /// Equal.
    Exact(String),
    /// Contained, case-sensitively.
    Substring(String),
    /// Different.
    Not(String),
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Marker {
    /// At this image, regardless of who owns it.
    Image(Uuid),
    /// At this time.
    Time(Moment),
}

impl SortDirection {
    /// The total order of a result: the order of [`Position`], or its reverse.
    pub fn order(self, a: &View, b: &View) -> Ordering {
        match self {
            Self::Ascending => a.position().cmp(&b.position()),
            Self::Descending => b.position().cmp(&a.position()),
        }
    }
}

/// Who makes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The server's mode.
    pub mode: Mode,
    /// Whether the request carried no credentials. It has no meaning in a datacenter.
    pub anonymous: bool,
}

impl ListQuery {
    /// Parses the decoded pairs of a query string. Unknown parameters are ignored.
    ///
    /// `None` means that the answer is empty whatever the database holds: an anonymous caller asks for a state that
    /// only users may list. The parameters after `state` are then not checked.
    ///
    /// # Errors
    /// The first problem, in the order `limit`, `state`, `public`, `sort`, `marker`, then the rest. It becomes an
    /// `InvalidParameter` error.
    pub fn parse(pairs: &[(String, String)], caller: Caller) -> Result<Option<Self>, FieldError> {
        let params = Params(pairs);
        let limit = limit(&params)?;
        let Some(state) = state_for(state(&params)?, caller) else {
            return Ok(None);
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let account = params.one("account")?.filter(|account| !account.is_empty());
        Ok(Some(Self {
            limit,
            state,
            public: public(&params)?,
            sort: sort(&params)?,
            marker: marker(&params)?,
            // In a call for an account an empty owner is ignored; in an operator's call it matches no image.
            owner: owned(params.one("owner")?.filter(|owner| account.is_none() || !owner.is_empty())),
            account: owned(account),
            name: params.one("name")?.map(exact_or_substring),
            version: params.one("version")?.map(exact_or_substring),
            os: owned(params.one("os")?),
            image_type: params.one("type")?.map(exact_or_not),
            tags: tags(&params)?,
            channel: None,
            active_only: false,
            billing_tags: params.many("billing_tag")?.into_iter().map(str::to_owned).collect(),
        }))
    }

    /// Returns the span of images that the marker leaves. `position_of` looks up the position of the marker image.
    ///
    /// # Errors
    /// The UUID of the marker image, if it has no position.
    pub fn part(&self, position_of: impl FnOnce(Uuid) -> Option<Position>) -> Result<Span, Uuid> {
        match self.marker {
            None => Ok(Span::ALL),
            Some(Marker::Time(time)) => Ok(Span::from_time(time, self.sort)),
            Some(Marker::Image(uuid)) => {
                let position = position_of(uuid).ok_or(uuid)?;
                Ok(Span::from_image(position, self.sort))
            }
        }
    }
}

impl ListQuery {
    /// Returns whether a list may begin at this image. For a caller who may not read the image, it does not exist.
    pub fn may_begin_at(&self, image: &View) -> bool {
        let is_visible = match self.account.as_deref().map(str::parse) {
            None => true,
            Some(Ok(account)) => image.is_visible_to(account),
            // An account that is not a UUID owns nothing, and nothing is shared with it.
            Some(Err(_)) => image.activated() && image.public(),
        };
        is_visible && (image.is_active() || !self.active_only)
    }
}

/// Reads a number as JavaScript does. An empty value and 0 mean no limit.
fn limit(params: &Params<'_>) -> Result<Option<u64>, FieldError> {
    let Some(text) = params.one("limit")? else { return Ok(None) };
    let number = coerce::number_of_text(text).filter(|n| n.fract() == 0.0 && *n >= 0.0);
    match number {
        // The cast saturates, and so large a limit has the same effect as none.
        Some(number) => Ok(Some(number as u64).filter(|limit| *limit > 0)),
        None => Err(FieldError::invalid("limit").because("not a whole number of at least 0")),
    }
}

fn state(params: &Params<'_>) -> Result<StateFilter, FieldError> {
    match params.one("state")? {
        None | Some("") => Ok(StateFilter::Active),
        Some("all") => Ok(StateFilter::All),
        Some(text) => match text.parse() {
            Ok(State::Active) => Ok(StateFilter::Active),
            Ok(State::Disabled) => Ok(StateFilter::Disabled),
            Ok(State::Unactivated) => Ok(StateFilter::Unactivated),
            Ok(state @ (State::Creating | State::Failed)) => Ok(StateFilter::Stored(state)),
            Err(_) => {
                let message = "must be one of active, disabled, unactivated, all, creating, failed";
                Err(FieldError::invalid("state").because(message))
            }
        },
    }
}

/// Returns the state filter that applies to a caller. Outside a datacenter an anonymous caller gets active images or nothing.
fn state_for(asked: StateFilter, caller: Caller) -> Option<StateFilter> {
    match asked {
        _ if !caller.anonymous || caller.mode == Mode::Dc => Some(asked),
        StateFilter::Active | StateFilter::All => Some(StateFilter::Active),
        StateFilter::Disabled | StateFilter::Unactivated | StateFilter::Stored(_) => None,
    }
}

fn public(params: &Params<'_>) -> Result<Option<bool>, FieldError> {
    match params.one("public")? {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(FieldError::invalid("public").because("must be true or false")),
    }
}

fn sort(params: &Params<'_>) -> Result<SortDirection, FieldError> {
    let Some(text) = params.one("sort")?.filter(|text| !text.is_empty()) else {
        return Ok(SortDirection::Ascending);
    };
    // Words after the direction are ignored, as in 4.13.1.
    let mut words = text.split('.');
    match (words.next(), words.next()) {
        (Some("published_at"), None | Some("" | "asc" | "ASC")) => Ok(SortDirection::Ascending),
        (Some("published_at"), Some("desc" | "DESC")) => Ok(SortDirection::Descending),
        _ => Err(FieldError::invalid("sort").because("must be published_at, perhaps with .asc or .desc")),
    }
}

fn marker(params: &Params<'_>) -> Result<Option<Marker>, FieldError> {
    let Some(text) = params.one("marker")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Ok(uuid) = text.parse() {
        return Ok(Some(Marker::Image(uuid)));
    }
    let time = times::parse_js_date(text).map(times::iso_millis);
    match time.as_deref().and_then(Moment::of_published_at) {
        Some(time) => Ok(Some(Marker::Time(time))),
        None => Err(FieldError::invalid("marker").because("neither a UUID nor a date")),
    }
}

fn exact_or_substring(text: &str) -> TextMatch {
    match text.strip_prefix('~') {
        Some(part) => TextMatch::Substring(part.to_owned()),
        None => TextMatch::Exact(text.to_owned()),
    }
}

fn exact_or_not(text: &str) -> TextMatch {
    match text.strip_prefix('!') {
        Some(other) => TextMatch::Not(other.to_owned()),
        None => TextMatch::Exact(text.to_owned()),
    }
}

fn tags(params: &Params<'_>) -> Result<Vec<(String, String)>, FieldError> {
    let tags = params.prefixed("tag.")?;
    Ok(tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}
