// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `streams/v1/index.json`: where the lists of products are.

use serde_json::value::RawValue;

use super::members::{each_member, member, text};

/// Most lists of products that are looked at.
const MOST_LISTS: usize = 16;
/// Most entries of an index.
const MOST_ENTRIES: usize = 10_000;

/// Returns the paths of the lists with images, in their order. Entries for other data and entries without products are
/// skipped, as LXD does.
pub(super) fn product_lists(index: &str) -> Result<Vec<String>, serde_json::Error> {
    let mut paths = Vec::new();
    let Some(entries) = member(index, "index")? else { return Ok(paths) };
    each_member(entries.get(), MOST_ENTRIES, |_, entry| {
        if paths.len() < MOST_LISTS {
            paths.extend(image_list(entry));
        }
    })?;
    Ok(paths)
}

fn image_list(entry: &RawValue) -> Option<String> {
    let get = |name| member(entry.get(), name).ok().flatten();
    let has_products = get("products").is_some_and(|products| {
        products.get().starts_with('[') && products.get().bytes().any(|byte| byte == b'"')
    });
    let is_images = get("datatype").and_then(text).is_some_and(|datatype| datatype == "image-downloads");
    get("path").and_then(text).filter(|_| has_products && is_images)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_without_products_and_of_other_data_are_skipped() {
        let index = json!({"format": "index:1.0", "index": {
            "empty": {"datatype": "image-downloads", "path": "empty.json", "products": []},
            "ids": {"datatype": "image-ids", "path": "ids.json", "products": ["a"]},
            "odd": 5,
            "pathless": {"datatype": "image-downloads", "products": ["a"]},
            "one": {"datatype": "image-downloads", "path": "one.json", "products": ["a", "b"]},
            "two": {"datatype": "image-downloads", "path": "two.json", "products": ["c"], "updated": {}},
        }});
        assert_eq!(product_lists(&index.to_string()).unwrap(), ["one.json", "two.json"]);
    }

    #[test]
    fn an_index_is_an_object_with_a_bounded_number_of_entries() {
        assert!(product_lists("{}").unwrap().is_empty());
        for bad in ["", "[]", "{", "{}x", r#"{"index": []}"#, r#"{"index": 5}"#] {
            assert!(product_lists(bad).is_err(), "{bad}");
        }
        let entry = r#"{"datatype": "image-downloads", "path": "x", "products": ["a"]}"#;
        let many = |count: usize| {
            let entries: Vec<_> = (0..count).map(|n| format!("\"{n}\": {entry}")).collect();
            product_lists(&format!("{{\"index\": {{{}}}}}", entries.join(",")))
        };
        assert_eq!(many(1000).unwrap().len(), MOST_LISTS);
        assert!(many(MOST_ENTRIES + 1).is_err());
    }
}
