// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Variables in rows, written `{like_this}`, and their values.

use std::collections::BTreeMap;

use regex::Regex;
use std::sync::LazyLock;

use super::language::Mode;

/// Accounts in rows, by name. `owner`, `other` and `third` exist in UFDS, `stranger` does not.
const ACCOUNTS: [(&str, &str); 5] = [
    ("owner", "91ba0e64-2547-11e2-a972-df579e5fddb3"),
    ("other", "86055c40-2547-11e2-8a6b-4bb37edc84ba"),
    ("third", "a0b6b534-2547-11e2-b758-63a2afd747d1"),
    ("stranger", "11111111-2222-4333-8444-555555555555"),
    ("zero", "00000000-0000-0000-0000-000000000000"),
];

/// A UUID that no image has.
const NOBODY: &str = "3560c262-fc65-0242-a446-7c6d1fb482e3";

/// The variables of a row.
#[derive(Debug)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Returns the variables that every row starts with. `CONFORMANCE_OWNER` and similar environment variables replace the
    /// accounts.
    pub(crate) fn new(mode: Mode) -> Variables {
        let mut all: BTreeMap<String, String> = ACCOUNTS
            .iter()
            .map(|(name, uuid)| {
                let given = std::env::var(format!("CONFORMANCE_{}", name.to_uppercase()));
                ((*name).to_owned(), given.unwrap_or_else(|_| (*uuid).to_owned()))
            })
            .collect();
        let fresh = uuid::Uuid::new_v4().to_string();
        all.insert("nobody".to_owned(), NOBODY.to_owned());
        all.insert("unique".to_owned(), format!("row-{}", &fresh[..13]));
        all.insert("fresh".to_owned(), fresh);
        // Outside a datacenter, every image is public.
        all.insert("public".to_owned(), (mode != Mode::Dc).to_string());
        Variables(all)
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    /// Returns the text with the variables replaced. `{x*80}` stands for 80 times x. Unknown names stay unchanged.
    pub(crate) fn fill(&self, text: &str) -> String {
        static NAME: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\{(?:([a-z][a-z0-9_]*)|(.)\*([0-9]+))\}").unwrap());
        NAME.replace_all(text, |found: &regex::Captures<'_>| match (found.get(1), found.get(2)) {
            (Some(name), _) => self.0.get(name.as_str()).map_or(&found[0], String::as_str).to_owned(),
            (None, _) => found[2].repeat(found[3].parse().unwrap()),
        })
        .into_owned()
    }
}
