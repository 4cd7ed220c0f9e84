// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::*;

fn key() -> Key {
    Key::of("c58161c0-2547-11e2-a75e-9fdca1940570")
}

fn version(etag: &str, mtime: i64) -> Version {
    Version { id: 7, mtime, etag: etag.into() }
}

fn text() -> Arc<str> {
    "{}".into()
}

fn record() -> Content {
    Ok(text())
}

/// Rows with the version A, written at time 1.
fn known() -> Rows {
    let mut rows = Rows::default();
    rows.set(key(), version("A", 1), record());
    rows
}

#[test]
fn a_query_brings_what_is_new_and_nothing_twice() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    assert_eq!(rows.judge(sent, &key(), &version("A", 1)), VersionAction::Known);
    assert_eq!(rows.judge(sent, &key(), &version("B", 2)), VersionAction::New);
    // Another record may have the same checksum.
    assert_eq!(rows.judge(sent, &key(), &version("A", 2)), VersionAction::New);
    assert_eq!(rows.judge(sent, &Key::of("other"), &version("A", 1)), VersionAction::New);
}

#[test]
fn a_query_of_before_a_write_brings_nothing_back() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    assert_eq!(rows.wrote(sent, &key(), Some("A"), "B", text()), WriteAction::Newest);
    assert_eq!(rows.judge(sent, &key(), &version("A", 1)), VersionAction::Old);
    assert!(!rows.missing(sent, &key(), None));
    let later = rows.clock.ticket();
    assert_eq!(rows.judge(later, &key(), &version("B", 2)), VersionAction::Known);
    assert_eq!(rows.judge(later, &key(), &version("C", 3)), VersionAction::New);
}

/// The query may have been answered after the write, and may show what another process wrote after that. No later query
/// for recent writes needs to show that again.
#[test]
fn what_a_query_shows_and_may_be_newer_is_to_be_read() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    assert_eq!(rows.wrote(sent, &key(), Some("A"), "B", text()), WriteAction::Newest);
    assert_eq!(rows.judge(sent, &key(), &version("C", 3)), VersionAction::Old);
    assert_eq!(rows.to_be_read(sent), [key()]);
    assert_eq!(rows.judge(rows.clock.ticket(), &key(), &version("C", 3)), VersionAction::New);
    rows.set(key(), version("C", 3), record());
    assert_eq!(rows.to_be_read(rows.clock.ticket()), []);

    let sent = rows.clock.ticket();
    assert_eq!(rows.deleted(sent, &key(), "C"), WriteAction::Newest);
    assert_eq!(rows.judge(sent, &key(), &version("A", 4)), VersionAction::Old);
    assert_eq!(rows.to_be_read(sent), [key()]);
    assert!(!rows.missing(rows.clock.ticket(), &key(), None));
    assert_eq!(rows.to_be_read(rows.clock.ticket()), []);
}

/// The row changes between the look at the known `_id`s and the query for a range of them.
#[test]
fn a_row_that_was_deleted_and_made_anew_is_not_missing_where_it_was() {
    let mut rows = known();
    let ids = rows.ids(u64::MAX);
    let sent = rows.clock.ticket();
    assert_eq!(rows.deleted(sent, &key(), "A"), WriteAction::Newest);
    assert_eq!(rows.wrote(rows.clock.ticket(), &key(), None, "B", text()), WriteAction::Newest);
    let asked = rows.clock.ticket();
    assert!(!rows.missing(asked, &key(), Some(ids[0].0)));
    assert_eq!(rows.record(&key()).unwrap().1, "B");
    // A query has shown its new `_id` in the meantime.
    assert_eq!(rows.judge(asked, &key(), &Version { id: 9, ..version("B", 2) }), VersionAction::Known);
    assert!(!rows.missing(rows.clock.ticket(), &key(), Some(ids[0].0)));
    assert!(rows.missing(rows.clock.ticket(), &key(), Some(9)));
}

#[test]
fn a_query_of_before_a_delete_does_not_bring_the_row_back() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    assert_eq!(rows.deleted(sent, &key(), "A"), WriteAction::Newest);
    assert_eq!(
        (rows.judge(sent, &key(), &version("A", 1)), rows.count_up_to(u64::MAX)),
        (VersionAction::Old, 0)
    );
    // The row was created again.
    let later = rows.clock.ticket();
    assert_eq!(rows.judge(later, &key(), &version("A", 3)), VersionAction::New);
}

#[test]
fn a_delete_of_a_row_that_is_not_known_yet_keeps_it_out() {
    let mut rows = Rows::default();
    let sent = rows.clock.ticket();
    assert_eq!(rows.deleted(sent, &key(), "A"), WriteAction::Known);
    assert_eq!(rows.judge(sent, &key(), &version("A", 1)), VersionAction::Old);
}

#[test]
fn a_write_is_newer_than_what_was_known_before_it_was_sent() {
    // The replaced version was never known here.
    let mut rows = known();
    let sent = rows.clock.ticket();
    assert_eq!(rows.wrote(sent, &key(), Some("X"), "B", text()), WriteAction::Newest);
    let sent = rows.clock.ticket();
    assert_eq!(rows.deleted(sent, &key(), "Y"), WriteAction::Newest);
    let sent = rows.clock.ticket();
    assert_eq!(rows.wrote(sent, &key(), None, "C", text()), WriteAction::Newest);
    assert_eq!(rows.to_be_read(rows.clock.ticket()), [key()]);
    assert_eq!(rows.to_be_read(sent), []);
    assert_eq!(rows.judge(rows.clock.ticket(), &key(), &version("C", 3)), VersionAction::Known);
    assert_eq!(rows.to_be_read(rows.clock.ticket()), []);
}

#[test]
fn a_query_that_was_faster_than_the_answer_is_recognised() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    rows.set(key(), version("B", 2), record());
    assert_eq!(rows.wrote(sent, &key(), Some("A"), "B", text()), WriteAction::Known);
    let sent = rows.clock.ticket();
    rows.set(key(), version("B", 3), record());
    assert_eq!(
        rows.wrote(sent, &key(), Some("B"), "C", text()),
        WriteAction::Newest,
        "it is what was replaced"
    );
}

#[test]
fn what_cannot_be_told_is_to_be_read() {
    let mut rows = known();
    let sent = rows.clock.ticket();
    rows.set(key(), version("D", 4), record());
    assert_eq!(rows.wrote(sent, &key(), Some("A"), "B", text()), WriteAction::Unclear);
    assert_eq!(rows.deleted(sent, &key(), "A"), WriteAction::Unclear);
    assert_eq!(rows.record(&key()).unwrap().1, "D");
    let later = rows.clock.ticket();
    assert!(rows.missing(later, &key(), None));
    assert_eq!(
        rows.wrote(sent, &key(), Some("A"), "B", text()),
        WriteAction::Unclear,
        "it may have been deleted since"
    );
}

#[test]
fn versions_of_others_settle_late_and_own_ones_as_those_in_whose_place_they_are() {
    let mut rows = Rows::default();
    rows.set(key(), version("A", 1), record());
    assert!(!rows.is_settled(&key(), "A"));
    rows.wrote(rows.clock.ticket(), &key(), Some("A"), "B", text());
    assert!(!rows.is_settled(&key(), "B"));
    let new = Key::of("b0f4ad6e-2547-11e2-a75e-9fdca1940570");
    rows.wrote(rows.clock.ticket(), &new, None, "A", text());
    rows.wrote(rows.clock.ticket(), &new, Some("A"), "B", text());
    assert!(rows.is_settled(&new, "B") && !rows.is_settled(&new, "A"));
    // Another process wrote in between.
    rows.wrote(rows.clock.ticket(), &new, Some("X"), "C", text());
    assert!(!rows.is_settled(&new, "C"));
    // A query shows a version before its write is answered.
    let (made, sent) = (Key::of("made"), rows.clock.ticket());
    rows.set(made.clone(), version("A", 1), record());
    assert!(!rows.is_settled(&made, "A"));
    assert_eq!(rows.wrote(sent, &made, None, "A", text()), WriteAction::Known);
    assert!(rows.is_settled(&made, "A"));
    let sent = rows.clock.ticket();
    rows.set(made.clone(), version("B", 2), record());
    assert!(!rows.is_settled(&made, "B"));
    assert_eq!(rows.wrote(sent, &made, Some("A"), "B", text()), WriteAction::Known);
    assert!(rows.is_settled(&made, "B"));
    rows.set(made.clone(), version("C", 3), record());
    assert_eq!(rows.wrote(sent, &made, Some("X"), "C", text()), WriteAction::Known);
    assert!(!rows.is_settled(&made, "C"));
    // A row that was written long before the newest one.
    let (late, early) = (Key::of("late"), Key::of("early"));
    let versions =
        [(late.clone(), version("A", 700_000), record()), (early.clone(), version("A", 1), record())];
    let rows = Rows::loaded(Arc::default(), versions);
    assert!(rows.is_settled(&early, "A") && !rows.is_settled(&late, "A"));
}

#[test]
fn damage_is_remembered_until_it_is_repaired() {
    let mut rows = Rows::default();
    rows.set(key(), version("A", 1), Err("bad".into()));
    assert_eq!(rows.damaged().get(&key()).map(String::as_str), Some("bad"));
    rows.set(key(), version("B", 2), record());
    assert!(rows.damaged().is_empty());
}

#[test]
fn rows_are_counted_up_to_what_was_the_greatest_id() {
    let mut rows = known();
    let top = rows.top();
    assert_eq!(rows.count_up_to(top), 1);
    let own = Key::of("written by this process, its id not known yet");
    assert_eq!(rows.wrote(rows.clock.ticket(), &own, None, "A", text()), WriteAction::Newest);
    rows.set(Key::of("inserted by another"), Version { id: top + 1, ..version("A", 1) }, record());
    assert_eq!((rows.top(), rows.count_up_to(top)), (top + 1, 1));
    assert_eq!(rows.count_up_to(top + 1), 2);
}

#[test]
fn ids_are_in_order_and_numbers_go_on_after_a_load() {
    let rows = known();
    let before = rows.clock.ticket();
    let other = Key::of("not a uuid");
    let versions = [
        (key(), Version { id: 9, ..version("A", 1) }, record()),
        (other.clone(), version("B", 5), Err("no image".to_owned())),
    ];
    let rows = Rows::loaded(Arc::clone(&rows.clock), versions);
    assert!(rows.clock.ticket() > before);
    assert_eq!(rows.ids(u64::MAX), [(7, other.clone()), (9, key())]);
    assert_eq!(rows.ids(8), [(7, other.clone())]);
    assert_eq!(rows.written_since(2), [(other, 5)]);
}
