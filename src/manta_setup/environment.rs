// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::zone::Zone;

/// Returns the shell commands, which are empty without a Manta.
pub(super) fn of(zone: &Zone) -> Result<String, String> {
    let Some(manta) = &zone.manta else { return Ok(String::new()) };
    let missing = |key: &str| format!("the configuration has no manta.{key}");
    let mut text = String::new();
    let values = [
        ("MANTA_URL", manta.url.as_deref().ok_or_else(|| missing("url"))?),
        ("MANTA_USER", manta.user.as_deref().ok_or_else(|| missing("user"))?),
        ("MANTA_KEY_ID", manta.key_id.as_deref().ok_or_else(|| missing("keyId"))?),
    ];
    for (name, value) in values {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    if manta.insecure() {
        text.push_str("export MANTA_TLS_INSECURE=1\n");
    }
    Ok(text)
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str) -> Zone {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_manta_is_three_variables_and_perhaps_a_fourth() {
        let manta = r#"{"manta": {"url": "https://1.2.3.4:443", "user": "admin", "keyId": "SHA256:a+/b", "insecure": INSECURE}}"#;
        let plain = "export MANTA_URL=https://1.2.3.4:443\nexport MANTA_USER=admin\nexport MANTA_KEY_ID=SHA256:a+/b\n";
        assert_eq!(of(&zone(&manta.replace("INSECURE", "false"))).unwrap(), plain);
        let insecure = of(&zone(&manta.replace("INSECURE", "true"))).unwrap();
        assert_eq!(insecure, format!("{plain}export MANTA_TLS_INSECURE=1\n"));
        assert_eq!(of(&zone("{}")).unwrap(), "");
        assert!(of(&zone(r#"{"manta": {"url": "https://x"}}"#)).is_err());
    }

    #[test]
    fn nothing_in_a_value_is_a_command() {
        assert_eq!(quoted("$(reboot) it's"), r"'$(reboot) it'\''s'");
        assert_eq!(quoted("a;b"), "'a;b'");
        assert_eq!(quoted(""), "''");
    }
}
