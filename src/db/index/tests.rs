// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::manifest::list::{Marker, Matcher, SortDirection, StateFilter, TextMatch};
use crate::manifest::times::Moment;
use crate::manifest::{ApiVersion, Image, Mode, Rules, json as text};

const RULES: Rules = Rules { mode: Mode::Dc, channels_configured: false };
const FORM: ApiForm = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: false };

fn moment(text: &str) -> Moment {
    Moment::of_published_at(text).unwrap()
}

/// Makes a UUID from a small number.
fn uuid(number: u8) -> Uuid {
    format!("{number:08x}-0000-4000-8000-000000000000").parse().unwrap()
}

#[derive(Debug, Clone)]
struct Spec {
    uuid: u8,
    owner: u8,
    name: u8,
    time: Option<u8>,
    flags: (bool, bool, bool),
    acl: Vec<u8>,
    origin: Option<u8>,
}

impl Spec {
    fn image(&self) -> Image {
        let (activated, disabled, public) = self.flags;
        let mut record = json!({
            "v": 2, "uuid": uuid(self.uuid), "owner": uuid(self.owner), "name": format!("name-{}", self.name),
            "version": "1", "type": "zone-dataset", "os": "smartos", "disabled": disabled, "public": public,
            "activated": activated && self.time.is_some(), "state": "unactivated",
            "acl": self.acl.iter().map(|account| uuid(*account)).collect::<Vec<_>>(),
            "files": [{"sha1": "a", "size": 1, "compression": "none"}],
        });
        // Some of these are within one second, with and without milliseconds.
        if let Some(time) = self.time {
            let millis = if time % 3 == 0 { String::new() } else { format!(".{:03}", time % 7) };
            record["published_at"] = json!(format!("2020-01-01T00:00:{:02}{millis}Z", time / 8));
        }
        if let Some(origin) = self.origin {
            record["origin"] = json!(uuid(origin));
        }
        let Value::Object(record) = record else { unreachable!() };
        Image::load(record, RULES).unwrap()
    }

    fn view(&self) -> Arc<View> {
        Arc::new(View::new(&self.image()).unwrap())
    }
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let acl = prop::collection::vec(0_u8..4, 0..3);
    (0_u8..40, 0_u8..4, 0_u8..12, prop::option::of(0_u8..64), flags, acl, prop::option::of(0_u8..5)).prop_map(
        |(uuid, owner, name, time, flags, acl, origin)| Spec { uuid, owner, name, time, flags, acl, origin },
    )
}

fn any_query() -> impl Strategy<Value = ListQuery> {
    let account = prop::option::of((0_u8..5).prop_map(|account| uuid(account).to_string()));
    let name = prop::option::of(prop_oneof![
        (0_u8..13).prop_map(|name| TextMatch::Exact(format!("name-{name}"))),
        prop_oneof![Just("-1"), Just("ame"), Just("-7"), Just("zzz")]
            .prop_map(|part| TextMatch::Substring(part.to_owned())),
    ]);
    let marker = prop::option::of(prop_oneof![
        (0_u8..40).prop_map(|image| Marker::Image(uuid(image))),
        (0_u8..10).prop_map(|second| Marker::Time(moment(&format!("2020-01-01T00:00:{second:02}.002Z")))),
    ]);
    let state =
        prop_oneof![Just(StateFilter::Active), Just(StateFilter::All), Just(StateFilter::Unactivated)];
    (
        account.clone(),
        account,
        state,
        prop::option::of(any::<bool>()),
        name,
        marker,
        any::<bool>(),
        prop::option::of(1_u64..9),
    )
        .prop_map(|(account, owner, state, public, name, marker, descending, limit)| ListQuery {
            account,
            owner,
            state,
            public,
            name,
            marker,
            limit,
            sort: if descending { SortDirection::Descending } else { SortDirection::Ascending },
            ..ListQuery::default()
        })
}

/// Computes the expected answer from the rules alone, without an index or a shortcut.
fn by_the_rules(views: &[Arc<View>], query: &ListQuery) -> Result<Vec<Uuid>, NoSuchMarker> {
    let part = part(query, |uuid| views.iter().find(|view| view.uuid() == uuid).cloned())?;
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    let select = |scope: &Vec<_>| {
        let matcher = Matcher::new(scope);
        let mut found: Vec<_> = views.iter().filter(|view| matcher.matches(view)).cloned().collect();
        found.sort_by(|a, b| query.sort.order(a, b));
        found.truncate(limit);
        found
    };
    let found: Vec<_> = scopes(query, part).iter().map(select).collect();
    Ok(union(found, query, limit).iter().map(|view| view.uuid()).collect())
}

/// Reads all pages of this size.
fn walk(index: &Index, query: &ListQuery, limit: u64) -> Vec<Uuid> {
    let mut walked: Vec<Uuid> = Vec::new();
    loop {
        let marker = walked.last().map(|last| Marker::Image(*last));
        let page = ListQuery { marker, limit: Some(limit), ..query.clone() };
        let page = uuids(index.select(&page, None).unwrap());
        let skipped = usize::from(!walked.is_empty());
        assert!(page.first() == walked.last() || walked.is_empty());
        walked.extend(&page[skipped.min(page.len())..]);
        if (page.len() as u64) < limit {
            return walked;
        }
    }
}

/// Returns the views of the specs. Of several specs with the same UUID the last one counts.
fn latest(specs: &[Spec]) -> Vec<Arc<View>> {
    let latest: HashMap<u8, &Spec> = specs.iter().map(|spec| (spec.uuid, spec)).collect();
    latest.values().map(|spec| spec.view()).collect()
}

fn uuids(views: Vec<Arc<View>>) -> Vec<Uuid> {
    views.iter().map(|view| view.uuid()).collect()
}

proptest! {
    #[test]
    fn lists_are_what_the_rules_say(
        specs in prop::collection::vec(any_spec(), 0..60),
        removed in prop::collection::vec(0_u8..40, 0..10),
        queries in prop::collection::vec(any_query(), 1..20),
    ) {
        let index = Index::default();
        index.apply(specs.iter().map(|spec| Change::Put(spec.view())));
        index.apply(removed.iter().map(|number| Change::Remove(uuid(*number))));
        let mut views = latest(&specs);
        views.retain(|view| !removed.iter().any(|number| uuid(*number) == view.uuid()));
        let rebuilt = Index::default();
        rebuilt.swap(&mut Prepared::new(views.clone()));
        prop_assert_eq!(index.len(), views.len());
        for query in queries {
            let expected = by_the_rules(&views, &query);
            prop_assert_eq!(index.select(&query, None).map(uuids), expected.clone(), "{:?}", &query);
            prop_assert_eq!(rebuilt.select(&query, None).map(uuids), expected);
            let all = ListQuery { marker: None, limit: None, ..query };
            let walked = walk(&index, &all, all.name.as_ref().map_or(2, |_| 3));
            prop_assert_eq!(walked, uuids(index.select(&all, None).unwrap()), "{:?}", &all);
        }
        for origin in 0..5 {
            let expected = views.iter().filter(|view| view.origin() == Some(uuid(origin))).count();
            prop_assert_eq!(index.dependents(uuid(origin)).len(), expected);
        }
    }
}

fn spec(number: u8) -> Spec {
    Spec {
        uuid: number,
        owner: 1,
        name: 1,
        time: Some(number),
        flags: (true, false, true),
        acl: vec![],
        origin: None,
    }
}

#[test]
fn an_answer_is_the_rendered_list() {
    let images: Vec<_> = (0..3).map(|number| spec(number).image()).collect();
    let index = Index::default();
    assert_eq!(&index.list(&ListQuery::default(), FORM, None).unwrap().text[..], b"[]");
    index.swap(&mut Prepared::new(images.iter().map(|image| Arc::new(View::new(image).unwrap())).collect()));
    for form in [FORM, ApiForm { admin_fields: true, ..FORM }] {
        let expected =
            text::pretty(&images.iter().map(|image| image.api(&form)).collect::<Vec<_>>()).unwrap();
        assert_eq!(index.list(&ListQuery::default(), form, None).unwrap().text, expected);
    }
}

#[test]
fn an_answer_is_kept_until_the_next_change() {
    let index = Index::default();
    index.swap(&mut Prepared::new((0..3).map(|number| spec(number).view()).collect()));
    let (all, some) = (ListQuery::default(), ListQuery { limit: Some(2), ..ListQuery::default() });
    assert_eq!(index.answered(&all, FORM), None);
    let answer = index.list(&all, FORM, None).unwrap();
    assert_eq!(index.answered(&all, FORM).unwrap(), answer);
    assert_eq!(index.answered(&some, FORM), None);
    assert_eq!(index.answered(&all, ApiForm { admin_fields: true, ..FORM }), None);
    index.apply([Change::Put(Spec { name: 2, ..spec(1) }.view())]);
    assert_eq!(index.answered(&all, FORM), None);
    let changed = index.list(&all, FORM, None).unwrap();
    assert_ne!(changed.etag, answer.etag);
    index.apply([Change::Put(spec(1).view())]);
    let back = index.list(&all, FORM, None).unwrap();
    assert_eq!(back, answer);
}

#[test]
fn a_list_without_a_limit_has_the_default_one() {
    let index = Index::default();
    index.swap(&mut Prepared::new((0..9).map(|number| spec(number).view()).collect()));
    let count =
        |limit, default| index.select(&ListQuery { limit, ..ListQuery::default() }, default).unwrap().len();
    assert_eq!([count(None, None), count(None, Some(4)), count(Some(7), Some(4))], [9, 4, 7]);
    let account = ListQuery { account: Some(Uuid::NIL.to_string()), ..ListQuery::default() };
    let scopes = scopes(&account, Span::ALL);
    assert_eq!(
        (scopes.len(), limit(&account, &scopes, Some(4))),
        (3, 12),
        "its own, public ones, shared ones"
    );
}

/// Returns the shortest time of several runs in nanoseconds; processor time of this thread, where the system reports it.
fn time_of(mut work: impl FnMut()) -> u64 {
    let began = std::time::Instant::now();
    let now = || match std::fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(stat) => stat.split(' ').next().unwrap().parse().unwrap(),
        Err(_) => u64::try_from(began.elapsed().as_nanos()).unwrap(),
    };
    let times = (0..3).map(|_| {
        let began = now();
        work();
        now() - began
    });
    // The system's clock of processor time may advance in steps of a few milliseconds.
    times.min().unwrap().max(4_000_000)
}

#[test]
fn a_long_acl_costs_in_proportion_to_its_length() {
    const TIMES: u32 = 32;
    let image = |accounts: u32| {
        let acl: Vec<_> =
            (0..accounts).rev().map(|account| format!("{account:08x}-0000-4000-8000-000000000000")).collect();
        spec(1).image().with(|record| drop(record.insert("acl".to_owned(), json!(acl)))).unwrap()
    };
    // The same number of accounts in total, in many short lists and in one long list.
    let [short, long] = [(1_000, TIMES), (1_000 * TIMES, 1)].map(|(accounts, times)| {
        let image = image(accounts);
        let view = || Arc::new(View::new(&image).unwrap());
        let load = time_of(|| (0..times).for_each(|_| drop(Prepared::new(vec![view()]))));
        let (index, view) = (Index::default(), view());
        let change = time_of(|| (0..2 * times).for_each(|_| index.apply([Change::Put(Arc::clone(&view))])));
        (load, change)
    });
    // If each account were compared with each, it would take 32 times as long.
    assert!(long.0 < 8 * short.0, "load: {short:?} and {long:?} ns");
    assert!(long.1 < 8 * short.1, "change: {short:?} and {long:?} ns");
}
