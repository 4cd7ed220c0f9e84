// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Queries, and stored records that are not valid.

use imgapi::db::DbError;
use imgapi::manifest::Uuid;
use imgapi::manifest::list::{ListQuery, Marker};
use serde_json::json;

use crate::support::{FORM, Subject, image, on_both, record};

on_both! {
    a_query_selects_orders_and_cuts,
    a_marker_has_to_exist,
    an_answer_changes_with_every_change,
}

async fn a_query_selects_orders_and_cuts(subject: Subject) {
    let uuids: Vec<_> = (0..6).map(|_| Uuid::new_v4()).collect();
    let [a, b, c, d, e, f] = uuids[..] else { unreachable!() };
    for (uuid, second, changes) in [
        (c, 3, json!({"public": true, "tags": ["role=db"], "tagsObj": {"role": "db"}})),
        (a, 1, json!({"name": "bases", "owner": f})),
        (b, 2, json!({"disabled": true, "state": "disabled", "billing_tags": ["x", "y"]})),
        (e, 5, json!({"acl": [f]})),
        (d, 4, json!({"name": "other", "version": "2.0"})),
    ] {
        subject.database.insert(&image(record(uuid, second, changes))).await.unwrap();
    }
    for (query, expected) in [
        ("", &[a, c, d, e][..]),
        ("sort=published_at.desc", &[e, d, c, a]),
        ("state=all", &[a, b, c, d, e]),
        ("state=all&limit=2", &[a, b]),
        ("state=all&sort=published_at.desc&limit=2", &[e, d]),
        ("name=~ase", &[a, c, e]),
        ("name=base", &[c, e]),
        ("version=2.0", &[d]),
        ("public=true", &[c]),
        ("tag.role=db", &[c]),
        ("tag.role=", &[c]),
        ("state=disabled&billing_tag=y&billing_tag=x", &[b]),
        (&format!("account={f}"), &[a, c, e]),
        (&format!("account={f}&limit=2"), &[a, c]),
        (&format!("marker={c}"), &[c, d, e]),
        (&format!("marker={c}&sort=published_at.desc"), &[c, a]),
        ("marker=2030-01-01T00:00:04.000Z", &[d, e]),
        ("owner=nobody", &[]),
    ] {
        assert_eq!(subject.listed(query).await, expected, "{query}");
    }
}

async fn a_marker_has_to_exist(subject: Subject) {
    let query = ListQuery { marker: Some(Marker::Image(Uuid::new_v4())), ..ListQuery::default() };
    let answer = subject.database.list(&query, FORM).await;
    assert!(matches!(answer, Err(DbError::NoSuchMarker(_))), "{answer:?}");
}

async fn an_answer_changes_with_every_change(subject: Subject) {
    let query = ListQuery::default();
    let mut seen = Vec::new();
    let uuid = Uuid::new_v4();
    for round in 0..10 {
        let etag = subject.database.list(&query, FORM).await.unwrap().value.etag;
        assert_eq!(subject.database.list(&query, FORM).await.unwrap().value.etag, etag);
        assert!(!seen.contains(&etag), "round {round}");
        seen.push(etag);
        match subject.database.get(uuid).await.unwrap() {
            None => subject.database.insert(&image(record(uuid, round, json!({})))).await.unwrap(),
            Some(stored) => {
                let changed = image(record(uuid, round, json!({"description": round.to_string()})));
                subject.database.replace(&changed, &stored.etag).await.unwrap();
            }
        }
    }
}
