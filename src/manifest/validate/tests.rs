// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `test/data/manifest/validation.json` holds changes to a small record and, per kind of server, the fields that the
//! validator of 4.13.1 (imgmanifest 3.2.1) reports. A bare name means the code `Invalid`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::fixtures::{DC, moray_images, moray_lines, object, small_record};
use super::super::image::{Image, Record};
use super::super::kinds::{Mode, Rules, State, Stor};
use super::super::{ApiForm, ApiVersion, FieldCode, FieldError, json};

/// Cases that differ from 4.13.1 on purpose, with the fields reported in a datacenter.
const DIFFERENT: &[(&str, &[&str])] = &[
    // These are not converted to strings: a name is a string or a number, and so is a description.
    ("v_arr", &["v"]),
    ("name_true", &["name"]),
    ("name_arr", &["name"]),
    ("desc_true", &["description"]),
    ("desc_obj", &["description"]),
    // Every record has an owner, including a placeholder.
    ("creating_min", &["owner MissingParameter"]),
    // A checksum is a string, and a size is not negative.
    ("files_sha1num", &["files"]),
    ("files_sizeneg", &["files"]),
    // One error is reported for all numbered members.
    ("req_text", &["0"]),
    // The server turns a single string into a list before it validates.
    ("bt_text", &[]),
];

fn case_record(case: &Value) -> Record {
    let mut record = small_record(expand(&case["members"]));
    for name in case["without"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        record.shift_remove(name);
    }
    // The stored form keeps the object under another name than the manifest does.
    if let Some(tags) = record.shift_remove("tags") {
        record.insert("tags".to_owned(), json!([]));
        record.insert("tagsObj".to_owned(), if tags.is_null() { json!(false) } else { tags });
    }
    record
}

/// Expands long strings, which are written as `{"repeat": [before, text, times]}`.
fn expand(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("repeat").and_then(Value::as_array) {
            Some(repeat) => {
                let times = usize::try_from(repeat[2].as_u64().unwrap()).unwrap();
                let text = repeat[1].as_str().unwrap().repeat(times);
                Value::from(format!("{}{text}", repeat[0].as_str().unwrap()))
            }
            None => members.iter().map(|(name, value)| (name.clone(), expand(value))).collect(),
        },
        Value::Array(items) => items.iter().map(expand).collect(),
        other => other.clone(),
    }
}

fn reported(result: Result<Image, Vec<FieldError>>) -> Vec<String> {
    let problems = result.err().unwrap_or_default();
    let spelled = |problem: FieldError| match problem.code {
        FieldCode::Invalid => problem.field,
        code => format!("{} {code}", problem.field),
    };
    problems.into_iter().map(spelled).collect()
}

fn rules(mode: Mode, channels_configured: bool) -> Rules {
    Rules { mode, channels_configured }
}

#[test]
fn problems_and_their_order_are_those_of_4_13_1() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../../test/data/manifest/validation.json")).unwrap();
    assert!(cases.len() > 150);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let deliberate = DIFFERENT.iter().find(|(different, _)| *different == name);
        for (column, rules) in [
            ("dc", DC),
            ("public", rules(Mode::Public, false)),
            ("private", rules(Mode::Private, false)),
            ("channels", rules(Mode::Private, true)),
        ] {
            let found = reported(Image::load(case_record(case), rules));
            match (&case[column], deliberate) {
                (_, Some((_, expected))) if column == "dc" => assert_eq!(found, *expected, "{name}"),
                (_, Some(_)) => {}
                // Input that crashed 4.13.1 is an ordinary problem here.
                (Value::String(_), None) => assert!(!found.is_empty(), "{name} in {column}"),
                (expected, None) => assert_eq!(json!(found), *expected, "{name} in {column}"),
            }
        }
    }
}

#[test]
fn records_of_4_13_1_load_and_stay_as_they_were() {
    for (line, image) in moray_lines().zip(moray_images()) {
        assert_eq!(serde_json::to_string(image.record()).unwrap(), line);
        assert_eq!(*image.record(), serde_json::from_str::<Record>(line).unwrap());
    }
    assert_eq!(moray_images().len(), 8);
}

#[test]
fn legacy_shapes_give_typed_values() {
    let account = "91ba0e64-2547-11e2-a972-df579e5fddb3";
    let image = Image::load(
        small_record(json!({
            "acl": account, "billing_tags": "xxl", "public": "true", "disabled": "false", "activated": "true",
            "state": "active", "published_at": "2012-11-02T22:46:45Z", "tags": ["a=1", "b=x=y"], "name": 5,
            "files": [{"sha1": "aa", "size": 42, "compression": "gzip"}], "objectclass": "sdcimage",
        })),
        DC,
    )
    .unwrap();
    assert_eq!(image.acl().iter().map(ToString::to_string).collect::<Vec<_>>(), [account]);
    assert_eq!(image.billing_tags(), ["xxl"]);
    assert_eq!((image.public(), image.disabled(), image.activated()), (true, false, true));
    assert_eq!(image.state(), State::Active);
    assert_eq!(image.name(), "5");
    assert_eq!(json!(image.tags().unwrap()), json!({"a": "1", "b": "x=y"}));
    assert_eq!((image.files()[0].size, image.files()[0].stor), (42, Stor::Local));
    assert_eq!(image.channels(), None);
    assert_eq!(image.record()["public"], json!("true"));
}

#[test]
fn problems_of_the_stored_form_come_first() {
    let found = reported(Image::load(small_record(json!({"v": -1, "tags": ["x"], "icon": {"size": 0}})), DC));
    assert_eq!(found, ["tags", "icon", "v"]);
    assert_eq!(reported(Image::load(small_record(json!({"icon": true})), DC)), ["icon"]);
    let icon = json!({"sha1": "aa", "size": 4, "contentType": "image/png", "stor": "local"});
    assert_eq!(reported(Image::load(small_record(json!({"icon": icon})), DC)), Vec::<String>::new());
}

#[test]
fn a_placeholder_has_neither_type_nor_os() {
    let image = Image::load(
        small_record(json!({
            "state": "creating", "type": "null", "os": "null", "expires_at": "2026-11-29T05:57:45.520Z",
        })),
        DC,
    )
    .unwrap();
    assert_eq!((image.image_type(), image.os()), (None, None));
    assert_eq!(image.expires_at(), Some("2026-11-29T05:57:45.520Z"));
    let problems = image.activate("2026-11-29T05:57:45.520Z").unwrap_err();
    assert_eq!(reported(Err(problems)), ["type", "os", "files MissingParameter"]);
}

#[test]
fn channels_are_allowed_but_not_required_in_a_datacenter_that_has_them() {
    let dc = rules(Mode::Dc, true);
    assert!(Image::load(small_record(json!({})), dc).is_ok());
    assert!(Image::load(small_record(json!({"channels": ["dev"]})), dc).is_ok());
}

/// Generates any JSON, with the member names and values of manifests often enough to reach the later checks.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["null", "true", "zvol", "creating", "active", "gzip", "a=b", "http:x"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let names = prop_oneof![
            "\\PC{0,8}",
            prop::sample::select(vec![
                "sha1",
                "size",
                "compression",
                "networks",
                "min_platform",
                "brand",
                "7"
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let names: Vec<&str> =
        super::CHECKS.iter().map(|(name, _)| *name).chain(["tagsObj", "icon", "urn"]).collect();
    let changes = prop::collection::vec((prop::sample::select(names), any_json()), 0..4);
    changes.prop_map(|changes| {
        let changes: Value = changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        small_record(changes)
    })
}

proptest! {
    #[test]
    fn loading_anything_ends_in_an_image_or_in_problems(record in any_record(), whole in any_json()) {
        for mode in [Mode::Dc, Mode::Public] {
            for channels in [false, true] {
                if let Err(problems) = Image::load(record.clone(), rules(mode, channels)) {
                    prop_assert!(!problems.is_empty());
                }
            }
        }
        if let Value::Object(members) = whole {
            prop_assert!(Image::load(members, DC).is_err());
        }
    }

    #[test]
    fn the_api_form_reads_back_as_what_was_printed(record in any_record()) {
        if let Ok(image) = Image::load(record, DC) {
            let form = ApiForm { version: ApiVersion::V2, mode: Mode::Dc, admin_fields: true };
            let text = json::pretty(&image.api(&form)).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(json::pretty(&json::JsValue(&read)).unwrap(), text);
            prop_assert!(object(read).contains_key("files"));
        }
    }
}
