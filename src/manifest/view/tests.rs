// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::fixtures::{BASE, LUKE, moray_images, small_record};
use super::super::json::{compact, pretty};
use super::super::kinds::Mode;
use super::*;

fn forms(mode: Mode) -> impl Iterator<Item = ApiForm> {
    let versions = [ApiVersion::V1, ApiVersion::V2];
    versions
        .into_iter()
        .flat_map(move |version| [false, true].map(|admin_fields| ApiForm { version, mode, admin_fields }))
}

/// Asserts that every derived form equals a fresh rendering.
fn assert_same(image: &Image) {
    let view = View::new(image).unwrap();
    for form in forms(image.rules.mode) {
        let expected = pretty(&image.api(&form)).unwrap();
        assert_eq!(String::from_utf8(view.text(&form).to_vec()).unwrap(), expected);
        let digest = hex::encode(Sha1::digest(compact(&image.api(&form)).unwrap()));
        assert_eq!(view.etag(&form), digest, "{expected}");
        let mut element = Vec::new();
        view.append_element(&form, &mut element);
        let list = pretty(&[image.api(&form)]).unwrap();
        assert_eq!(format!("[\n{}\n]", String::from_utf8(element).unwrap()), list);
    }
}

#[test]
fn records_of_4_13_1_look_the_same() {
    moray_images().iter().for_each(assert_same);
}

#[test]
fn text_that_looks_like_layout_is_left_alone() {
    let trap = ",\n  \"channels\": [\n    \"x\"\n  ]\n}\n  \"files\": [\n    {\n    }: \"a\": b\\";
    let files = json!([
        {"sha1": "a\": \"\n    }", "size": 1, "compression": "xz", "stor": "manta", "dataset_guid": trap},
        {"sha1": "b", "size": 2, "compression": "none"}
    ]);
    let record = small_record(json!({
        "type": "lxd", "files": files, "channels": ["dev", trap], "description": trap, "tagsObj": {trap: {trap: [trap, {}]}},
        "tags": ["a=b"], "traits": {trap: []}, "name": "x",
    }));
    let rules = Rules { mode: Mode::Dc, channels_configured: true };
    assert_same(&Image::load(record, rules).unwrap());
}

#[test]
fn a_placeholder_has_the_texts_that_are_stored() {
    let record = small_record(json!({"state": "creating", "type": "null", "os": "null", "origin": LUKE}));
    let image = Image::load(record, Rules { mode: Mode::Dc, channels_configured: false }).unwrap();
    let view = View::new(&image).unwrap();
    assert_eq!((view.os(), view.image_type()), (Some("null"), Some("null")));
    assert_eq!(view.origin().unwrap().to_string(), LUKE);
    assert_same(&image);
}

#[test]
fn a_record_that_is_not_valid_says_why() {
    let record = small_record(json!({"os": "beos", "version": "no version"}));
    let rules = Rules { mode: Mode::Dc, channels_configured: false };
    assert_eq!(load(record, rules).unwrap_err(), "not valid: version, os");
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = "[\\PC\\n\"\\\\{}\\[\\],: ]{0,16}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_record_looks_the_same(
        tags in prop::collection::vec(("[\\PC\\n\"]{1,9}", any_json()), 0..4),
        traits in prop::collection::vec(("[\\PC\\n\"]{1,9}", any_json()), 0..3),
        description in "[\\PC\\n\"\\\\]{0,30}",
        channels in prop::option::of(prop::collection::vec("[a-z\"\\n]{1,6}", 1..3)),
        files in prop::collection::vec(("[a-f0-9\"\\n}]{1,8}", 1_u64..1 << 50, prop::option::of("[\\PC\\n]{0,6}"), any::<bool>()), 0..3),
        public_mode in any::<bool>(),
        acl in any::<bool>(),
        billing in prop::collection::vec("[a-z]{1,5}", 0..3),
    ) {
        let files: Vec<_> = files.into_iter().map(|(sha1, size, guid, manta)| {
            json!({"sha1": sha1, "size": size, "compression": "gzip", "stor": if manta { "manta" } else { "local" }, "dataset_guid": guid})
        }).collect();
        let tags: Value = Value::Object(tags.into_iter().collect());
        let traits = Value::Object(traits.into_iter().map(|(name, _)| (name, json!(["x"]))).collect());
        let mut record = small_record(json!({
            "type": "lxd", "files": files, "description": description, "tagsObj": tags, "traits": traits,
            "billing_tags": billing, "acl": if acl { json!([BASE]) } else { json!([]) }, "public": public_mode,
        }));
        let rules = Rules {
            mode: if public_mode { Mode::Public } else { Mode::Dc },
            channels_configured: channels.is_some(),
        };
        if let Some(channels) = channels {
            record.insert("channels".to_owned(), json!(channels));
        }
        let image = Image::load(record, rules);
        prop_assume!(image.is_ok());
        assert_same(&image.unwrap());
    }
}
