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

/// A small generator of numbers, so that each seed is one document.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }

    /// A value such as servers send, or nearly so.
    fn value(&mut self, depth: u64) -> Value {
        const NAMES: [&str; 18] = [
            "index",
            "products",
            "datatype",
            "path",
            "aliases",
            "arch",
            "versions",
            "20260101",
            "items",
            "ftype",
            "sha256",
            "size",
            "combined_squashfs_sha256",
            "combined_sha256",
            "pubname",
            "x",
            "",
            "format",
        ];
        const TEXTS: [&str; 10] = [
            "a",
            "a,b",
            "amd64",
            "image-downloads",
            "squashfs",
            "lxd.tar.xz",
            "root.tar.xz",
            "lxd_combined.tar.gz",
            "\u{0}",
            "/x",
        ];
        match self.below(if depth == 0 { 5 } else { 12 }) {
            0 => json!(hash(self.of(&["a", "b", "g"]))),
            1 => json!(self.below(u64::MAX)),
            2 => [json!(null), json!(true), json!(-1.5e300)][self.below(3) as usize].clone(),
            3 | 4 => json!(self.of(&TEXTS)),
            5 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..self.below(6))
                .map(|_| (self.of(&NAMES).to_owned(), self.value(depth - 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10_000))]

    #[test]
    fn whatever_a_server_says_is_an_image_or_an_error(seed in 1..u64::MAX, cut in proptest::option::of(0usize..400)) {
        let mut random = Random(seed);
        let mut item = item("squashfs", "b");
        let mut metadata = self::item("lxd.tar.xz", "a");
        metadata["combined_squashfs_sha256"] = json!(hash("c"));
        let name = random.of(&["ftype", "path", "sha256", "size"]);
        if random.below(2) == 0 {
            item[name] = random.value(1);
        }
        let mut product = json!({"aliases": "a", "arch": "amd64", "versions": {"1": {"items": {"0": metadata, "1": item}}}});
        if random.below(3) == 0 {
            product[random.of(&["aliases", "arch", "versions", "os"])] = random.value(4);
        }
        let whole = if random.below(3) == 0 { random.value(6) } else { json!({"products": {"p": product}, "x": random.value(2)}) };
        let mut text = whole.to_string();
        if let Some(cut) = cut {
            text.truncate(text.floor_char_boundary(cut));
        }
        let _ = super::super::index::product_lists(&text);
        if let Ok(Found::Image(image)) = find(&text, "a") {
            for file in image.files.all() {
                assert!(file.sha256.len() == 64 && !file.path.is_empty() && file.path.len() <= MOST_TEXT);
            }
            assert_eq!(image.fingerprint.len(), 64);
        }
    }
}
