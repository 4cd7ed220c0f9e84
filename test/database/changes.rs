// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Adding, changing and deleting records.

use std::slice::from_ref;

use futures_util::future::join_all;
use imgapi::db::DbError;
use imgapi::manifest::{Uuid, json as render};
use serde_json::json;

use crate::support::{FORM, Subject, deletion, described, image, on_both, record};

on_both! {
    a_record_is_there_from_its_answer_to_its_end,
    a_uuid_is_taken_once,
    of_two_changes_of_one_version_one_is_made,
    a_deleted_record_cannot_be_changed,
    a_rename_leaves_one_record,
    dependents_are_found_by_their_origin,
    an_origin_stays_for_what_is_written_with_it,
    what_is_written_with_an_origin_finds_it_as_it_was_read,
    what_is_stored_outlasts_the_process,
    many_changes_at_once_are_all_made,
}

async fn a_record_is_there_from_its_answer_to_its_end(subject: Subject) {
    let uuid = Uuid::new_v4();
    assert!(subject.text(uuid).await.is_none() && subject.database.get(uuid).await.unwrap().is_none());
    let first = image(record(uuid, 1, json!({"future": [1]})));
    subject.database.insert(&first).await.unwrap();
    let stored = subject.database.get(uuid).await.unwrap().unwrap();
    assert_eq!(stored.image.record(), first.record());
    assert_eq!(subject.text(uuid).await.unwrap(), render::pretty(&first.api(&FORM)).unwrap());
    assert_eq!(subject.listed("").await, [uuid]);

    let second = described(&first, "changed");
    subject.database.replace(&second, &stored.etag).await.unwrap();
    assert_eq!(subject.text(uuid).await.unwrap(), render::pretty(&second.api(&FORM)).unwrap());

    let stored = subject.database.get(uuid).await.unwrap().unwrap();
    subject.database.delete(&deletion(uuid, &stored.etag)).await.unwrap();
    assert!(subject.text(uuid).await.is_none() && subject.database.get(uuid).await.unwrap().is_none());
    assert_eq!(subject.listed("state=all").await, []);
}

async fn a_uuid_is_taken_once(subject: Subject) {
    let uuid = Uuid::new_v4();
    let first = image(record(uuid, 1, json!({})));
    let inserts = (0..8).map(|_| subject.database.insert(&first));
    let results = join_all(inserts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |result: &Result<(), DbError>| matches!(result, Ok(()) | Err(DbError::Conflict));
    assert!(results.iter().all(refused), "{results:?}");
}

async fn of_two_changes_of_one_version_one_is_made(subject: Subject) {
    let uuid = Uuid::new_v4();
    subject.database.insert(&image(record(uuid, 1, json!({})))).await.unwrap();
    let stored = subject.database.get(uuid).await.unwrap().unwrap();
    let changes: Vec<_> = (0..8).map(|number| described(&stored.image, &number.to_string())).collect();
    let results = join_all(changes.iter().map(|change| subject.database.replace(change, &stored.etag))).await;
    let made: Vec<_> = (0..8).filter(|number| results[*number].is_ok()).collect();
    assert_eq!(made.len(), 1, "{results:?}");
    let now = subject.database.get(uuid).await.unwrap().unwrap().image;
    assert_eq!(now.record()["description"], made[0].to_string());
    assert!(subject.text(uuid).await.unwrap().contains(&format!("\"description\": \"{}\"", made[0])));
    let stale = subject.database.delete(&deletion(uuid, &stored.etag)).await;
    assert!(matches!(stale, Err(DbError::Conflict)), "{stale:?}");
}

async fn a_deleted_record_cannot_be_changed(subject: Subject) {
    let uuid = Uuid::new_v4();
    subject.database.insert(&image(record(uuid, 1, json!({})))).await.unwrap();
    let stored = subject.database.get(uuid).await.unwrap().unwrap();
    subject.database.delete(&deletion(uuid, &stored.etag)).await.unwrap();
    let replaced = subject.database.replace(&described(&stored.image, "x"), &stored.etag).await;
    assert!(matches!(replaced, Err(DbError::Conflict)), "{replaced:?}");
    let deleted = subject.database.delete(&deletion(uuid, &stored.etag)).await;
    assert!(matches!(deleted, Err(DbError::Conflict)), "{deleted:?}");
    assert!(subject.text(uuid).await.is_none());
}

async fn a_rename_leaves_one_record(subject: Subject) {
    let [old, new, taken] = [(); 3].map(|()| Uuid::new_v4());
    subject.database.insert(&image(record(old, 1, json!({})))).await.unwrap();
    subject.database.insert(&image(record(taken, 2, json!({})))).await.unwrap();
    let etag = subject.database.get(old).await.unwrap().unwrap().etag;
    let onto_another =
        subject.database.rename(&image(record(taken, 1, json!({}))), &deletion(old, &etag), &[]).await;
    assert!(onto_another.is_err());
    assert_eq!(subject.listed("").await, [old, taken]);

    subject.database.rename(&image(record(new, 1, json!({}))), &deletion(old, &etag), &[]).await.unwrap();
    assert_eq!(subject.listed("").await, [new, taken]);
    assert!(subject.text(old).await.is_none() && subject.text(new).await.is_some());
    let again = subject
        .database
        .rename(&image(record(Uuid::new_v4(), 1, json!({}))), &deletion(old, &etag), &[])
        .await;
    assert!(matches!(again, Err(DbError::Conflict)), "{again:?}");
}

async fn dependents_are_found_by_their_origin(subject: Subject) {
    let [base, one, other] = [(); 3].map(|()| Uuid::new_v4());
    assert_eq!(subject.database.dependents(base).await.unwrap(), []);
    for uuid in [one, other] {
        subject.database.insert(&image(record(uuid, 1, json!({"origin": base})))).await.unwrap();
    }
    let mut dependents = subject.database.dependents(base).await.unwrap();
    dependents.sort_unstable();
    let mut expected = [one, other];
    expected.sort_unstable();
    assert_eq!(dependents, expected);
    let etag = subject.database.get(one).await.unwrap().unwrap().etag;
    subject.database.delete(&deletion(one, &etag)).await.unwrap();
    assert_eq!(subject.database.dependents(base).await.unwrap(), [other]);
}

/// A caller that has read the origin in order to delete it must read it again.
async fn an_origin_stays_for_what_is_written_with_it(subject: Subject) {
    let database = &subject.database;
    let [base, first, second, renamed] = [(); 4].map(|()| Uuid::new_v4());
    let child = |uuid: Uuid| image(record(uuid, 2, json!({"origin": base})));
    database.insert(&image(record(base, 1, json!({})))).await.unwrap();
    let read = database.get(base).await.unwrap().unwrap();
    database.put_with_origins(&child(first), None, from_ref(&read)).await.unwrap();
    let conflict =
        |result: Result<(), DbError>| assert!(matches!(result, Err(DbError::Conflict)), "{result:?}");
    conflict(database.delete(&deletion(base, &read.etag)).await);
    conflict(
        database.rename(&image(record(Uuid::new_v4(), 1, json!({}))), &deletion(base, &read.etag), &[]).await,
    );
    assert_eq!(database.dependents(base).await.unwrap(), [first]);
    let text = render::pretty(&image(record(base, 1, json!({}))).api(&FORM)).unwrap();
    assert_eq!(subject.text(base).await, Some(text), "the origin says the same as before");

    // The same holds for an image that gets the origin later, and for one whose UUID changes in the same write.
    database.insert(&image(record(second, 2, json!({})))).await.unwrap();
    for uuid in [second, renamed] {
        let origin = database.get(base).await.unwrap().unwrap();
        let etag = database.get(second).await.unwrap().unwrap().etag;
        match uuid == second {
            true => database.put_with_origins(&child(second), Some(&etag), from_ref(&origin)).await.unwrap(),
            false => {
                database.rename(&child(renamed), &deletion(second, &etag), from_ref(&origin)).await.unwrap()
            }
        }
        conflict(database.delete(&deletion(base, &origin.etag)).await);
        assert!(subject.text(uuid).await.unwrap().contains(&base.to_string()));
    }
    assert!(subject.text(second).await.is_none());
    assert_eq!(database.dependents(base).await.unwrap().len(), 2);
}

async fn what_is_written_with_an_origin_finds_it_as_it_was_read(subject: Subject) {
    let database = &subject.database;
    let [base, child] = [(); 2].map(|()| Uuid::new_v4());
    let with_origin = image(record(child, 2, json!({"origin": base})));
    database.insert(&image(record(base, 1, json!({})))).await.unwrap();
    let read = database.get(base).await.unwrap().unwrap();
    database.replace(&described(&read.image, "changed"), &read.etag).await.unwrap();
    let refused = database.put_with_origins(&with_origin, None, from_ref(&read)).await;
    assert!(matches!(refused, Err(DbError::Conflict)), "{refused:?}");
    let read = database.get(base).await.unwrap().unwrap();
    database.delete(&deletion(base, &read.etag)).await.unwrap();
    let refused = database.put_with_origins(&with_origin, None, from_ref(&read)).await;
    assert!(matches!(refused, Err(DbError::Conflict)), "{refused:?}");
    assert!(subject.text(child).await.is_none() && database.get(child).await.unwrap().is_none());
    database.insert(&image(record(base, 1, json!({})))).await.unwrap();
    database.insert(&with_origin).await.unwrap();
    let read = database.get(base).await.unwrap().unwrap();
    for replaced in [None, Some("another version")] {
        let refused = database.put_with_origins(&with_origin, replaced, from_ref(&read)).await;
        assert!(matches!(refused, Err(DbError::Conflict)), "{refused:?}");
    }
}

async fn what_is_stored_outlasts_the_process(subject: Subject) {
    let uuids: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
    for (uuid, second) in uuids.iter().zip(0..) {
        subject.database.insert(&image(record(*uuid, second, json!({"acl": [uuid]})))).await.unwrap();
    }
    let etag = subject.database.get(uuids[2]).await.unwrap().unwrap().etag;
    subject.database.delete(&deletion(uuids[2], &etag)).await.unwrap();
    let mut before = Vec::new();
    for uuid in &uuids {
        before.push(subject.text(*uuid).await);
    }
    let again = subject.reopened().await;
    assert_eq!(again.database.status().images, Some(4));
    assert_eq!(again.listed("").await, [uuids[0], uuids[1], uuids[3], uuids[4]]);
    for (uuid, text) in uuids.iter().zip(before) {
        assert_eq!(again.text(*uuid).await, text);
    }
}

async fn many_changes_at_once_are_all_made(subject: Subject) {
    let uuid = Uuid::new_v4();
    subject.database.insert(&image(record(uuid, 1, json!({})))).await.unwrap();
    let add = async || {
        let account = Uuid::new_v4();
        loop {
            let stored = subject.database.get(uuid).await.unwrap().unwrap();
            let add = |acl: &mut serde_json::Value| acl.as_array_mut().unwrap().push(json!(account));
            let changed = stored.image.with(|record| add(&mut record["acl"])).unwrap();
            match subject.database.replace(&changed, &stored.etag).await {
                Ok(()) => return account,
                Err(error) => assert!(matches!(error, DbError::Conflict), "{error:?}"),
            }
            // A writer sees its own write.
            assert!(subject.text(uuid).await.is_some());
        }
    };
    let accounts = join_all((0..10).map(|_| add())).await;
    let acl = subject.database.get(uuid).await.unwrap().unwrap().image.acl().to_vec();
    assert!(accounts.iter().all(|account| acl.contains(account)), "{acl:?}");
    for account in accounts {
        assert_eq!(subject.listed(&format!("account={account}")).await, [uuid]);
    }
}
