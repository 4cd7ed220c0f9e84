// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The filters of ListImages, and parameters that are not filters.

use serde_json::json;

use super::support::{Actor, BASE, FATHER, TestApp, VADER, fresh, small_record, tests};

tests! {
    filters_select_among_the_records_of_4_13_1,
    names_versions_types_and_systems_are_compared_as_texts,
    tags_are_compared_as_texts_and_all_of_them_count,
    billing_tags_are_all_required,
    flags_decide_about_a_state_and_texts_about_placeholders,
    a_value_cannot_change_what_is_asked,
    unknown_parameters_are_ignored,
    a_wrong_value_is_refused_by_name,
}

async fn filters_select_among_the_records_of_4_13_1(app: &TestApp) {
    let vader = app.vader();
    for (query, found) in [
        ("type=zone-dataset", true),
        ("type=bogus", false),
        ("os=smartos", true),
        ("os=bogus", false),
        ("os=~smart", false),
        ("os=!linux", false),
    ] {
        assert_eq!(!vader.list(query).await.is_empty(), found, "{query}");
    }
    assert_eq!(vader.list_uuids("name=i-am-your-father").await, [FATHER]);
    assert_eq!(vader.list_uuids("name=~father").await, [FATHER]);
    assert_eq!(app.operator().list_uuids("name=base&version=1.8.1").await, [BASE]);
    // A semicolon is a separator if the query contains no ampersand.
    assert_eq!(app.operator().list_uuids("name=base;version=1.8.1").await, [BASE]);
    assert_eq!(app.operator().list("name=base;version=1.8.1&limit=1").await.len(), 0);
    assert_eq!(app.operator().list("name=base%3Bversion=1.8.1").await.len(), 0);
}

/// Stores records of a new owner; returns the owner and their UUIDs.
async fn owner_of(app: &TestApp, changes: &[serde_json::Value]) -> (String, Vec<String>) {
    let owner = fresh();
    let records = changes.iter().enumerate().map(|(index, change)| {
        // The images are published one after another, so that lists have this order.
        let own = json!({"owner": owner, "published_at": format!("2031-01-01T00:00:00.{index:03}Z")});
        super::support::merged(small_record(own), change.clone())
    });
    let records: Vec<_> = records.collect();
    app.store_all(&records).await;
    (owner, records.iter().map(|record| record["uuid"].as_str().unwrap().to_owned()).collect())
}

/// Asserts which of the owner's images each query finds, by their positions.
async fn assert_found(operator: Actor<'_>, owner: &str, uuids: &[String], cases: &[(&str, &[usize])]) {
    for (query, expected) in cases {
        let found = operator.list_uuids(&format!("owner={owner}&{query}")).await;
        let position = |uuid: &String| uuids.iter().position(|other| other == uuid).unwrap();
        let found: Vec<usize> = found.iter().map(position).collect();
        assert_eq!(found, *expected, "{query}");
    }
}

async fn names_versions_types_and_systems_are_compared_as_texts(app: &TestApp) {
    let (owner, uuids) = owner_of(
        app,
        &[
            json!({"name": "what-a_piece.of junk", "version": "1.0.0"}),
            json!({"name": "What", "version": "1.0.0-rc1", "type": "zvol", "os": "linux", "nic_driver": "a",
            "disk_driver": "b", "cpu_type": "c", "image_size": 1}),
            json!({"name": "docker-layer", "version": "10", "type": "docker", "os": "linux"}),
        ],
    )
    .await;
    assert_found(
        app.operator(),
        &owner,
        &uuids,
        &[
            ("", &[0, 1, 2]),
            ("name=what-a_piece.of%20junk", &[0]),
            ("name=what-a_piece.of+junk", &[0]),
            ("name=what", &[]),
            ("name=", &[]),
            ("name=~", &[0, 1, 2]),
            ("name=~hat", &[0, 1]),
            ("name=~what", &[0]),
            ("name=~f%20j", &[0]),
            ("version=1.0.0", &[0]),
            ("version=~1.0.0", &[0, 1]),
            ("version=~0", &[0, 1, 2]),
            ("type=docker", &[2]),
            ("type=!docker", &[0, 1]),
            ("type=!bogus", &[0, 1, 2]),
            ("type=!docker&os=linux", &[1]),
            ("os=linux", &[1, 2]),
        ],
    )
    .await;
}

async fn tags_are_compared_as_texts_and_all_of_them_count(app: &TestApp) {
    let (owner, uuids) = owner_of(app, &[
        json!({"tags": ["role=db", "size=42", "big=true"], "tagsObj": {"role": "db", "size": 42, "big": true}}),
        json!({"tags": ["role=web", "size=42", "a.b=c=d"], "tagsObj": {"role": "web", "size": 42, "a.b": "c=d"}}),
        json!({"tags": ["long=", "list="], "tagsObj": {"long": "x".repeat(101), "list": [1]}}),
        json!({}),
    ])
    .await;
    assert_found(
        app.operator(),
        &owner,
        &uuids,
        &[
            ("tag.role=db", &[0]),
            ("tag.role=d", &[]),
            ("tag.size=42", &[0, 1]),
            ("tag.big=true", &[0]),
            ("tag.size=42&tag.role=web", &[1]),
            ("tag.a.b=c%3Dd", &[1]),
            ("tag.role=", &[0, 1]),
            ("tag.role", &[0, 1]),
            ("tag.long=", &[2]),
            ("tag.nothing=", &[]),
        ],
    )
    .await;
}

async fn billing_tags_are_all_required(app: &TestApp) {
    let (owner, uuids) = owner_of(
        app,
        &[
            json!({"billing_tags": ["a", "b"]}),
            // A single text, as in old records.
            json!({"billing_tags": "a"}),
            json!({}),
        ],
    )
    .await;
    assert_found(
        app.operator(),
        &owner,
        &uuids,
        &[
            ("billing_tag=a", &[0, 1]),
            ("billing_tag=a&billing_tag=b", &[0]),
            ("billing_tag=b", &[0]),
            ("billing_tag=c", &[]),
        ],
    )
    .await;
}

async fn flags_decide_about_a_state_and_texts_about_placeholders(app: &TestApp) {
    let placeholder = |state: &str| {
        json!({"state": state, "activated": false, "type": "null", "os": "null", "files": [],
            "expires_at": "2032-01-01T00:00:00.000Z"})
    };
    let (owner, uuids) = owner_of(
        app,
        &[
            json!({}),
            json!({"disabled": true, "state": "disabled"}),
            json!({"activated": false, "state": "unactivated", "files": []}),
            placeholder("creating"),
            placeholder("failed"),
            // Flags as texts, and an active image whose state was updated to failed.
            json!({"disabled": "false", "activated": "true", "public": "false"}),
            json!({"state": "failed"}),
        ],
    )
    .await;
    let cases: [(&str, &[usize]); 9] = [
        ("state=active", &[0, 5, 6]),
        ("", &[0, 5, 6]),
        ("state=disabled", &[1]),
        ("state=unactivated", &[2, 3, 4]),
        ("state=creating", &[3]),
        ("state=failed", &[4, 6]),
        ("state=all", &[0, 1, 2, 3, 4, 5, 6]),
        ("public=true", &[]),
        ("public=false", &[0, 5, 6]),
    ];
    assert_found(app.operator(), &owner, &uuids, &cases).await;
    // The owner gets the same number of images.
    for (query, expected) in cases {
        let query = format!("account={owner}&owner={owner}&{query}");
        assert_eq!(app.operator().list(&query).await.len(), expected.len(), "{query}");
    }
}

async fn a_value_cannot_change_what_is_asked(app: &TestApp) {
    for value in ["*", "x)(uuid=*", "*)(|(uuid=*", "\\2a", "i-am-*", "%00", "(", ")"] {
        for name in ["name", "version", "os", "type", "owner", "tag.a", "billing_tag", "name=~i-am&version"] {
            assert_eq!(app.operator().list(&format!("{name}={value}")).await.len(), 0, "{name}={value}");
        }
        let seen = app.operator().list_uuids(&format!("account={value}&state=all")).await;
        assert!(!seen.contains(&FATHER.to_owned()), "{value}");
    }
}

async fn unknown_parameters_are_ignored(app: &TestApp) {
    let owner = format!("owner={VADER}");
    let query =
        format!("{owner}&owner_uuid=x&tags.x=y&origin=z&uuid=a&acl=b&homepage=c&foo[bar]=d&channel=dev");
    assert_eq!(app.operator().list_uuids(&query).await, [FATHER]);
}

async fn a_wrong_value_is_refused_by_name(app: &TestApp) {
    for (query, field) in [
        ("state=bogus", "state"),
        ("state=Active", "state"),
        ("public=maybe", "public"),
        ("public=TRUE", "public"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("sort=name", "sort"),
        ("sort=published_at.sideways", "sort"),
        ("marker=yesterday-ish", "marker"),
        ("inclAdminFields=yes", "inclAdminFields"),
        ("name=a&name=b", "name"),
        ("owner[x]=a", "owner"),
        ("sort=published_at&sort=published_at", "sort"),
        ("marker[]=2020", "marker"),
        // If several parameters are wrong, they are reported in this order.
        ("marker=%20x&sort=x&public=x&state=x&limit=x&inclAdminFields=x", "inclAdminFields"),
        ("marker=%20x&sort=x&public=x&state=x&limit=x", "limit"),
        ("marker=%20x&sort=x&public=x&state=x", "state"),
        ("marker=%20x&sort=x&public=x", "public"),
        ("marker=%20x&sort=x", "sort"),
    ] {
        app.operator().get(&format!("/images?{query}")).await.refused_field(
            "InvalidParameter",
            field,
            "Invalid",
        );
    }
}
