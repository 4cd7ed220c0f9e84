// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::{Value, json};

use super::*;

fn hash(letter: &str) -> String {
    letter.repeat(64)
}

fn item(ftype: &str, letter: &str) -> Value {
    json!({"ftype": ftype, "path": format!("images/{ftype}"), "sha256": hash(letter), "size": 5})
}

/// A list with one product for amd64.
fn list(product: Value) -> String {
    let mut whole = json!({"aliases": "a/1,a", "arch": "amd64", "versions": {}});
    whole.as_object_mut().unwrap().extend(product.as_object().unwrap().clone());
    json!({"products": {"p": whole}}).to_string()
}

fn of_items(items: Value) -> Found {
    find(&list(json!({"versions": {"20260101": {"items": items}}})), "a").unwrap()
}

fn image(found: Found) -> LxdImage {
    match found {
        Found::Image(image) => *image,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_type_of_the_root_says_which_checksum_counts() {
    let hashes = [
        ("combined_squashfs_sha256", "1"),
        ("combined_rootxz_sha256", "2"),
        ("combined_sha256", "3"),
        ("combined_disk-kvm-img_sha256", "4"),
        ("combined_uefi1-img_sha256", "5"),
        ("combined_disk1-img_sha256", "6"),
    ];
    let mut metadata = item("lxd.tar.xz", "a");
    for (name, letter) in hashes {
        metadata[name] = json!(hash(letter));
    }
    let of_root =
        |ftype: &str, metadata: &Value| of_items(json!({"whatever": metadata, "x": item(ftype, "b")}));
    for (ftype, letter) in [
        ("squashfs", "1"),
        ("root.tar.xz", "2"),
        ("disk-kvm.img", "4"),
        ("uefi1.img", "5"),
        ("disk1.img", "6"),
    ] {
        let found = image(of_root(ftype, &metadata));
        assert_eq!((&found.fingerprint, &found.files.root().ftype[..]), (&hash(letter), ftype));
        assert_eq!(found.files.all()[0].ftype, "lxd.tar.xz");
    }
    metadata.as_object_mut().unwrap().shift_remove("combined_rootxz_sha256");
    assert_eq!(image(of_root("root.tar.xz", &metadata)).fingerprint, hash("3"));
    metadata.as_object_mut().unwrap().shift_remove("combined_squashfs_sha256");
    assert!(matches!(of_root("squashfs", &metadata), Found::Unusable(_)));
    assert!(matches!(of_root("squashfs.vcdiff", &metadata), Found::Unusable(_)));
}

#[test]
fn of_two_roots_an_alias_means_the_squashfs() {
    let mut metadata = item("lxd.tar.xz", "a");
    metadata["combined_sha256"] = json!(hash("1"));
    metadata["combined_squashfs_sha256"] = json!(hash("2"));
    let items =
        json!({"root.tar.xz": item("root.tar.xz", "b"), "squashfs": item("squashfs", "c"), "m": metadata});
    assert_eq!(image(of_items(items.clone())).files.root().ftype, "squashfs");
    // Without the checksum of the preferred one, it is the other.
    let mut items = items;
    items["m"].as_object_mut().unwrap().shift_remove("combined_squashfs_sha256");
    assert_eq!(image(of_items(items)).files.root().ftype, "root.tar.xz");
}

#[test]
fn the_types_of_incus_are_known() {
    let mut metadata = item("incus.tar.xz", "a");
    metadata["combined_squashfs_sha256"] = json!(hash("1"));
    let split = json!({"m": metadata, "r": item("squashfs", "b")});
    assert_eq!(image(of_items(split)).files.all()[0].ftype, "incus.tar.xz");
    for ftype in COMBINED {
        let found = image(of_items(json!({"x": item(ftype, "d"), "y": item("squashfs", "b")})));
        assert_eq!((found.files.all().len(), found.fingerprint), (1, hash("d")), "{ftype}");
    }
}

#[test]
fn a_short_alias_is_for_our_architecture() {
    let named = |arch: Value, alias: &str| {
        let items = json!({"x": item("lxd_combined.tar.gz", "a")});
        let product = json!({"arch": arch, "versions": {"20260101": {"items": items}}});
        matches!(find(&list(product), alias).unwrap(), Found::Image(_))
    };
    for arch in ["amd64", "x86_64"] {
        assert!(named(json!(arch), "a") && named(json!(arch), "a/1"), "{arch}");
        assert!(named(json!(arch), &format!("a/{arch}")), "{arch}");
    }
    // The product's own spelling counts.
    assert!(!named(json!("amd64"), "a/x86_64"));
    assert!(named(json!("armhf"), "a/armhf") && named(json!("armv7l"), "a/1/armv7l"));
    assert!(!named(json!("arm64"), "a"));
    // An unknown architecture is skipped without a word.
    for unknown in [json!("z80"), json!(""), json!(null), json!(64)] {
        assert!(!named(unknown.clone(), "a") && !named(unknown, "a/z80"));
    }
}

#[test]
fn aliases_are_split_at_commas_and_not_trimmed() {
    let named = |aliases: Value, alias: &str| {
        let items = json!({"x": item("lxd_combined.tar.gz", "a")});
        let product = json!({"aliases": aliases, "versions": {"20260101": {"items": items}}});
        matches!(find(&list(product), alias).unwrap(), Found::Image(_))
    };
    assert!(named(json!("a, b"), "a") && named(json!("a, b"), " b") && !named(json!("a, b"), "b"));
    for none in [json!(null), json!(""), json!(","), json!(["a"]), json!({"a": 1})] {
        assert!(!named(none.clone(), "a") && !named(none, ""));
    }
}

#[test]
fn the_newest_version_is_the_largest_text() {
    let version =
        |letter: &str| json!({"items": {"x": item("lxd_combined.tar.gz", letter)}, "pubname": letter});
    let versions = json!({"20220101": version("1"), "20220102_10": version("3"), "20220102": version("2")});
    let newest = image(find(&list(json!({"versions": versions})), "a").unwrap());
    assert_eq!((&newest.version[..], newest.published_name.as_deref()), ("20220102_10", Some("3")));
    for none in
        [json!(null), json!({}), json!([]), json!({"20220101": 5}), json!({"20220101": {"items": []}})]
    {
        assert!(
            matches!(find(&list(json!({"versions": none.clone()})), "a").unwrap(), Found::Unusable(_)),
            "{none}"
        );
    }
}

#[test]
fn a_product_that_cannot_be_used_does_not_hide_the_next() {
    let items = json!({"x": item("lxd_combined.tar.gz", "a")});
    let good = json!({"aliases": "a", "arch": "amd64", "versions": {"20260101": {"items": items}}});
    let bad = json!({"aliases": "a", "arch": "amd64", "versions": {"20260101": {"items": {}}}});
    let list = |products: Value| find(&json!({"products": products}).to_string(), "a").unwrap();
    assert_eq!(image(list(json!({"0": 5, "1": bad, "2": good, "3": good}))).product, "2");
    assert!(matches!(list(json!({"1": bad})), Found::Unusable(_)));
    assert_eq!(list(json!({})), Found::Nothing);
}

#[test]
fn the_checksum_counts_and_the_size_is_a_claim() {
    let sized = |size: Value| {
        let mut combined = item("lxd_combined.tar.gz", "a");
        combined["size"] = size;
        image(of_items(json!({"x": combined}))).files.root().size
    };
    assert_eq!(
        (sized(json!(7)), sized(json!("7")), sized(json!(-1)), sized(json!([]))),
        (Some(7), Some(7), None, None)
    );
    for bad in [json!("a"), json!(hash("g")), json!(null), json!(5)] {
        let mut combined = item("lxd_combined.tar.gz", "a");
        combined["sha256"] = bad.clone();
        assert!(matches!(of_items(json!({"x": combined})), Found::Unusable(_)), "{bad}");
    }
    let mut combined = item("lxd_combined.tar.gz", "a");
    combined["sha256"] = json!(hash("A"));
    assert_eq!(image(of_items(json!({"x": combined}))).fingerprint, hash("a"));
}

#[test]
fn counts_and_texts_are_bounded() {
    let many = |count: usize| {
        let items: Vec<_> =
            (0..count).map(|n| format!("\"{n}\": {}", item("lxd_combined.tar.gz", "a"))).collect();
        let versions = format!("{{\"20260101\": {{\"items\": {{{}}}}}}}", items.join(","));
        let text = format!(
            r#"{{"products": {{"p": {{"aliases": "a", "arch": "amd64", "versions": {versions}}}}}}}"#
        );
        find(&text, "a").unwrap()
    };
    assert!(matches!(many(MOST_ITEMS), Found::Image(_)));
    assert!(matches!(many(MOST_ITEMS + 1), Found::Unusable(_)));
    let items = json!({"x": item("lxd_combined.tar.gz", "a")});
    let long = json!({"os": "x".repeat(MOST_TEXT + 1), "versions": {"20260101": {"items": items}}});
    assert!(matches!(find(&list(long), "a").unwrap(), Found::Unusable(_)));
    // Depth costs neither stack nor memory.
    let deep = format!(r#"{{"products": {{"p": {}{}}}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(find(&deep, "a").unwrap(), Found::Nothing);
}
