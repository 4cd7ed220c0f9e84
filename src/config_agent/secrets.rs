// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Finds the secrets in metadata, so that they are not shown.

use serde_json::{Map, Value};

use crate::telemetry::{MASK, mask_url};

/// Words that mark a secret in the names of metadata, and of members of files.
const WORDS: [&str; 6] = ["pw", "pass", "secret", "token", "private", "credential"];

/// Shorter secrets are not searched for, because they would match everywhere.
const MIN_LEN: usize = 5;

/// The secret texts in some metadata.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

/// Returns whether values with this name are secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

impl Secrets {
    pub(super) fn of(metadata: &Map<String, Value>) -> Secrets {
        let mut found = Vec::new();
        for (name, value) in metadata {
            collect(value, is_secret(name), &mut found);
        }
        // A secret that contains another one comes before it.
        found.sort_by_key(|text| std::cmp::Reverse(text.len()));
        found.dedup();
        Secrets(found)
    }

    /// Returns `text` with all secrets and all passwords in URLs masked.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        mask_url(&text).into_owned()
    }
}

fn collect(value: &Value, secret: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if secret => {
            // Keys have several lines.
            let lines = text.lines().chain([text.as_str()]).map(str::trim);
            found.extend(lines.filter(|line| line.len() >= MIN_LEN).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, found)),
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| collect(value, secret || is_secret(name), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secret_values_do_not_come_through() {
        let metadata = json!({
            "ufds_ldap_root_pw": "s3cret", "IMGAPI_PRIVATE_KEY": "-----BEGIN\nMIGHAgEA\n", "IMGAPI_PUBLIC_KEY": "ssh-rsa x",
            "service": {"dbPassword": "s3cret-longer"}, "short_pw": "abc",
        });
        let secrets = Secrets::of(metadata.as_object().unwrap());
        let shown = secrets.hide("a s3cret, s3cret-longer, MIGHAgEA abc ssh-rsa http://u:p@h/");
        assert_eq!(shown, "a ***, ***, *** abc ssh-rsa http://***@h/");
    }
}
