// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::Value;

use super::auth::is_hash;
use super::{Auth, Config, Problem};

impl Config {
    /// Returns what is valid, and probably not what the operator wants.
    pub fn warnings(&self) -> Vec<Problem> {
        let users =
            self.merged().get("userdb").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_plain = |user: &Value| !user.get("password").and_then(Value::as_str).is_none_or(is_hash);
        let warn = |key: &str, message: &str| Problem { key: key.to_owned(), message: message.to_owned() };
        match &self.auth {
            Auth::Basic(_) if users.iter().any(is_plain) => {
                vec![warn("userdb", "has plain passwords; imgapi hash-password makes hashes of them")]
            }
            Auth::Basic(_) => Vec::new(),
            Auth::None | Auth::Signature(_) if users.is_empty() => Vec::new(),
            Auth::None | Auth::Signature(_) => {
                vec![warn("userdb", "has no effect, because authType is not basic")]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warned(auth: &str, password: &str) -> Vec<String> {
        let Value::Object(config) = json!({
            "datadir": "/data", "port": 80, "authType": auth, "userdb": [{"name": "admin", "password": password}],
        }) else {
            unreachable!()
        };
        let config = Config::from_instance(config).unwrap();
        config.warnings().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn plain_passwords_and_users_without_effect_are_told() {
        let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$0cD2gWAXGVqHEKgGmnpJSlqqmMBWHbwXuUiFTlZ0cPk";
        assert_eq!(warned("basic", hash), [""; 0]);
        let [warning] = &warned("basic", "s3cret")[..] else { panic!() };
        assert!(
            warning.starts_with("userdb has plain passwords") && !warning.contains("s3cret"),
            "{warning}"
        );
        for auth in ["none", "signature"] {
            assert_eq!(warned(auth, hash), ["userdb has no effect, because authType is not basic"]);
        }
    }
}
