// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeSet;

use super::{
    Caller, Condition, ListQuery, Marker, Matcher, SortDirection, Span, StateFilter, TextField, TextMatch,
    scopes,
};
use crate::manifest::fixtures::{
    BASE, BASE_2, DARK_SIDE, EMPEROR, FATHER, JOIN_US, LUKE, NODEJS, SDC, VADER, load, moray_images,
    small_record, uuid,
};
use crate::manifest::image::Image;
use crate::manifest::times::Moment;
use crate::manifest::{FieldError, Mode, State, View};
use serde_json::{Value, json};

const OPERATOR: Caller = Caller { mode: Mode::Dc, anonymous: true };
const STRANGER: Caller = Caller { mode: Mode::Public, anonymous: true };

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn parse_as(query: &str, caller: Caller) -> Result<Option<ListQuery>, FieldError> {
    ListQuery::parse(&pairs(query), caller)
}

fn parse(query: &str) -> ListQuery {
    parse_as(query, OPERATOR).unwrap().unwrap()
}

fn refused(query: &str) -> String {
    parse_as(query, OPERATOR).unwrap_err().field
}

/// Returns the UUIDs of the images that match the query, in the order of the result.
fn listed_of(images: &[Image], query: &str) -> Vec<String> {
    let query = parse(query);
    let views: Vec<_> = images.iter().map(|image| View::new(image).unwrap()).collect();
    let position = |uuid| views.iter().find(|view| view.uuid() == uuid).map(View::position);
    let scopes = scopes(&query, query.part(position).unwrap());
    let scopes: Vec<_> = scopes.iter().map(|scope| Matcher::new(scope)).collect();
    let mut found: Vec<View> =
        views.into_iter().filter(|view| scopes.iter().any(|scope| scope.matches(view))).collect();
    found.sort_by(|a, b| query.sort.order(a, b));
    found.into_iter().map(|view| view.uuid().to_string()).collect()
}

fn listed(query: &str) -> Vec<String> {
    listed_of(&moray_images(), query)
}

/// Returns the matching UUIDs without their order, restricted to the six images of the classic fixtures.
fn classics(query: &str) -> BTreeSet<String> {
    let classics = [BASE, NODEJS, BASE_2, FATHER, DARK_SIDE, JOIN_US];
    listed(query).into_iter().filter(|uuid| classics.contains(&uuid.as_str())).collect()
}

fn set(uuids: &[&str]) -> BTreeSet<String> {
    uuids.iter().map(|uuid| (*uuid).to_owned()).collect()
}

#[test]
fn an_account_lists_what_it_may_see_and_nothing_else() {
    for (query, expected) in [
        ("account={vader}", &[FATHER, BASE][..]),
        ("account={vader}&state=all", &[FATHER, DARK_SIDE, JOIN_US, BASE, NODEJS]),
        ("account={vader}&state=disabled", &[DARK_SIDE]),
        ("account={vader}&state=unactivated", &[JOIN_US]),
        ("account={vader}&state=all&public=false", &[FATHER, DARK_SIDE, JOIN_US]),
        ("account={vader}&state=all&public=true", &[BASE, NODEJS]),
        ("account={luke}", &[FATHER, BASE]),
        ("account={vader}&type=zone-dataset", &[FATHER, BASE]),
        ("account={vader}&type=bogus", &[]),
        ("account={vader}&type=!zone-dataset", &[]),
        ("account={vader}&os=smartos", &[FATHER, BASE]),
        ("account={vader}&os=bogus", &[]),
        ("account={vader}&name=i-am-your-father", &[FATHER]),
        ("account={vader}&name=~father", &[FATHER]),
        ("account={vader}&name=~Father", &[]),
        ("account={vader}&name=", &[]),
        ("account={vader}&owner={vader}&state=all", &[FATHER, DARK_SIDE, JOIN_US]),
        ("account={luke}&owner={vader}", &[FATHER]),
        ("account={luke}&owner={vader}&state=all", &[FATHER, DARK_SIDE]),
        ("account={luke}&owner={vader}&state=disabled", &[]),
        ("account={luke}&owner={sdc}", &[BASE]),
        ("account={luke}&owner={vader}&state=failed", &[]),
        ("account=nobody", &[BASE]),
        ("account=nobody&public=false", &[]),
        ("account=", &[FATHER, BASE]),
        ("", &[FATHER, BASE]),
        ("state=all", &[FATHER, DARK_SIDE, JOIN_US, BASE, NODEJS, BASE_2]),
        ("owner={sdc}&state=all&public=true", &[BASE, NODEJS, BASE_2]),
        ("state=unactivated", &[JOIN_US, BASE_2]),
    ] {
        let query = query.replace("{vader}", VADER).replace("{luke}", LUKE).replace("{sdc}", SDC);
        assert_eq!(classics(&query), set(expected), "{query}");
    }
}

#[test]
fn the_visibility_matrix_of_state_all_holds() {
    for (image, vader, luke, emperor, sdc) in [
        (BASE, true, true, true, true),
        (NODEJS, true, true, true, true),
        (BASE_2, false, false, false, true),
        (FATHER, true, true, false, false),
        (DARK_SIDE, true, true, false, false),
        (JOIN_US, true, false, false, false),
    ] {
        for (account, visible) in [(VADER, vader), (LUKE, luke), (EMPEROR, emperor), (SDC, sdc)] {
            let listed = classics(&format!("account={account}&state=all")).contains(image);
            assert_eq!(listed, visible, "{image} for {account}");
        }
    }
}

#[test]
fn an_anonymous_caller_outside_a_datacenter_lists_active_images_only() {
    for state in ["disabled", "unactivated", "creating", "failed"] {
        assert_eq!(parse_as(&format!("state={state}&sort=bogus"), STRANGER), Ok(None), "{state}");
        assert!(
            parse_as(&format!("state={state}"), Caller { anonymous: false, ..STRANGER }).unwrap().is_some()
        );
    }
    assert_eq!(parse_as("state=all", STRANGER).unwrap().unwrap().state, StateFilter::Active);
    assert_eq!(parse_as("limit=x&state=failed", STRANGER).unwrap_err().field, "limit");
}

#[test]
fn placeholders_are_found_by_stored_state_and_as_unactivated() {
    let failed = json!({"state": "failed", "type": "null", "os": "null", "name": "ph"});
    // An operator's update can mark an activated image as failed.
    let marked = json!({
        "uuid": NODEJS, "state": "failed", "activated": true, "public": true, "name": "marked",
        "published_at": "2012-01-01T00:00:00Z", "files": [{"sha1": "a", "size": 1, "compression": "none"}],
    });
    let images = [load(Value::Object(small_record(failed))), load(Value::Object(small_record(marked)))];
    assert_eq!(listed_of(&images, "state=failed"), [BASE, NODEJS]);
    assert_eq!(listed_of(&images, "state=creating"), Vec::<String>::new());
    assert_eq!(listed_of(&images, "state=unactivated"), [BASE]);
    assert_eq!(listed_of(&images, "state=active"), [NODEJS]);
    assert_eq!(listed_of(&images, &format!("state=failed&account={LUKE}&owner={SDC}")), [NODEJS]);
    assert_eq!(
        listed_of(&images, &format!("state=creating&account={LUKE}&owner={SDC}")),
        Vec::<String>::new()
    );
    assert_eq!(listed_of(&images, "state=all&type=!zvol"), [BASE, NODEJS]);
}

#[test]
fn tags_and_billing_tags_must_all_be_there() {
    let record = small_record(json!({
        "tags": ["a=1", "b=", "ab=2"], "tagsObj": {"a": 1, "b": {}, "ab": 2}, "billing_tags": ["x", "y"],
    }));
    let images = [load(Value::Object(record))];
    for (filter, found) in [
        ("tag.a=1", true),
        ("tag.a=1&tag.ab=2", true),
        ("tag.a=1&tag.ab=3", false),
        ("tag.a=", true),
        ("tag.b=", true),
        ("tag.c=", false),
        ("tag.a=12", false),
        ("billing_tag=x", true),
        ("billing_tag=x&billing_tag=y", true),
        ("billing_tag=x&billing_tag=z", false),
        ("tags.a=2&owner_uuid=x", true),
    ] {
        let result = listed_of(&images, &format!("state=all&{filter}"));
        assert_eq!(!result.is_empty(), found, "{filter}");
    }
    let old = [load(Value::Object(small_record(json!({"tags": ["a=1"]}))))];
    assert_eq!(listed_of(&old, "state=all&tag.a=1").len(), 1);
}

#[test]
fn results_are_ordered_by_publication_then_by_uuid() {
    let ascending = listed("state=all");
    assert_eq!(ascending[..4], [JOIN_US, BASE_2, DARK_SIDE, NODEJS]);
    assert_eq!(ascending[4..6], [FATHER, BASE]);
    let mut descending = listed("state=all&sort=published_at.desc");
    descending.reverse();
    assert_eq!(descending, ascending);
    for same in ["published_at", "published_at.asc", "published_at.ASC", ""] {
        assert_eq!(parse(&format!("sort={same}")).sort, SortDirection::Ascending);
    }
    assert_eq!(parse("sort=published_at.DESC").sort, SortDirection::Descending);
}

#[test]
fn a_marker_is_inclusive() {
    let from = listed("state=all&marker=2012-11-02T22:46:45.992Z");
    assert_eq!(from[..2], [FATHER, BASE]);
    assert_eq!(from.len(), 4);
    // Images that were not published have a position, but no time.
    let until = "state=all&sort=published_at.desc&marker";
    assert_eq!(listed(&format!("{until}={NODEJS}")), [NODEJS, DARK_SIDE, BASE_2, JOIN_US]);
    assert_eq!(listed(&format!("{until}={BASE_2}")), [BASE_2, JOIN_US]);
    assert_eq!(listed(&format!("{until}=2012-11-02T22:46:45.991Z")), [NODEJS, DARK_SIDE]);
    assert_eq!(listed(&format!("state=all&marker={BASE_2}"))[..2], [BASE_2, DARK_SIDE]);
    let time = Moment::of_published_at("2020-01-01T00:00:00.000Z").unwrap();
    assert_eq!(parse("marker=2020").marker, Some(Marker::Time(time)));
    assert_eq!(parse(&format!("marker={BASE}")).marker, Some(Marker::Image(uuid(BASE))));
    assert_eq!(parse("marker=").marker, None);
}

#[test]
fn a_limit_is_a_whole_number_in_javascripts_spelling() {
    for (text, limit) in [("", None), ("0", None), ("10", Some(10)), ("1e3", Some(1000)), ("0x10", Some(16))]
    {
        assert_eq!(parse(&format!("limit={text}")).limit, limit, "{text}");
    }
    for text in ["x", "-1", "1.5", "NaN", "Infinity", "1 2"] {
        assert_eq!(refused(&format!("limit={text}")), "limit", "{text}");
    }
}

#[test]
fn bad_parameters_are_named_in_the_documented_order() {
    assert_eq!(refused("marker=x&sort=x&public=x&state=x&limit=x"), "limit");
    assert_eq!(refused("marker=x&sort=x&public=x&state=x"), "state");
    assert_eq!(refused("marker=x&sort=x&public=x"), "public");
    assert_eq!(refused("marker=x&sort=x"), "sort");
    assert_eq!(refused("marker=x"), "marker");
    assert_eq!(refused("sort=name"), "sort");
    assert_eq!(refused("sort=published_at.up"), "sort");
    assert_eq!(refused("state=x"), "state");
}

#[test]
fn an_empty_state_and_an_empty_order_are_none() {
    assert_eq!(parse("state=").state, StateFilter::Active);
    for text in ["", "published_at.", "published_at.asc.desc"] {
        assert_eq!(parse(&format!("sort={text}")).sort, SortDirection::Ascending, "{text}");
    }
}

#[test]
fn repeated_and_bracketed_parameters_are_refused() {
    for name in
        ["account", "owner", "name", "version", "os", "type", "state", "public", "sort", "marker", "limit"]
    {
        assert_eq!(refused(&format!("{name}=2020&{name}=2020")).as_str(), name);
        assert_eq!(refused(&format!("{name}[a]=b")).as_str(), name);
        assert_eq!(refused(&format!("{name}[]=b")).as_str(), name);
    }
    assert_eq!(refused("tag.a=1&tag.a=2"), "tag.a");
    assert_eq!(refused("tag.a[b]=1"), "tag.a");
    assert_eq!(refused("billing_tag[]=x"), "billing_tag");
    assert_eq!(parse("colour=a&colour=b&[a]=b&names[]=c"), ListQuery::default());
}

#[test]
fn texts_match_exactly_in_part_or_not() {
    let query = parse("name=~a&version=1&type=!zvol&os=!x");
    assert_eq!(query.name, Some(TextMatch::Substring("a".to_owned())));
    assert_eq!(query.version, Some(TextMatch::Exact("1".to_owned())));
    assert_eq!(query.image_type, Some(TextMatch::Not("zvol".to_owned())));
    assert_eq!(query.os.as_deref(), Some("!x"));
    assert_eq!(scopes(&parse("state=all&name=~"), Span::ALL), [vec![]]);
    let failed = Condition::Eq(TextField::State, State::Failed.to_string());
    assert_eq!(scopes(&parse("state=failed"), Span::ALL), [vec![failed]]);
}
