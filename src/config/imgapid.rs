// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The configuration of `imgapid`, the small image server of github.com/trondn/imgapi.
//!
//! It has the keys `datadir`, `port`, `host` and `userdb`. A configuration with a `datadir` is taken for one of these; it may have
//! keys of this server, too.

use serde_json::{Map, Value, json};

use super::read::{Reader, member};

/// Adds the keys of this server that make it do what `imgapid` does: listen on all addresses, let everybody read all images, and
/// let the users in `userdb` change them.
pub(super) fn translate(instance: &mut Map<String, Value>) {
    let Some(directory) = member(instance, "", "datadir").filter(|directory| !directory.is_null()).cloned()
    else {
        return;
    };
    let equivalent = [
        ("localBaseDir", directory),
        ("address", json!("0.0.0.0")),
        ("mode", json!("private")),
        ("databaseType", json!("local")),
        ("authType", json!("basic")),
    ];
    for (key, value) in equivalent {
        instance.entry(key).or_insert(value);
    }
}

/// Reports a `datadir` that contradicts `localBaseDir`. `host` is only for the client of `imgapid`, and has no effect.
pub(super) fn check(root: &mut Reader<'_>) {
    let (directory, base) = (root.text("datadir"), root.text("localBaseDir"));
    if directory.is_some() && directory != base {
        root.problem("datadir", "must be the same as localBaseDir");
    }
    let _ = root.text("host");
}

#[cfg(test)]
mod tests {
    use crate::config::{Auth, Config, Database};
    use crate::manifest::Mode;

    use super::*;

    fn config(changes: Value) -> Result<Config, String> {
        let mut config = json!({"datadir": "/data/imgapi/files", "port": 8080, "host": "127.0.0.1"});
        let (Some(config), Some(changes)) = (config.as_object_mut(), changes.as_object()) else {
            unreachable!()
        };
        config.extend(changes.clone());
        Config::from_instance(config.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn it_says_what_imgapid_does() {
        let config = config(json!({"userdb": [{"name": "admin", "password": "secret"}]})).unwrap();
        assert_eq!((config.mode, config.database.clone()), (Mode::Private, Database::Local));
        assert_eq!((config.address.to_string(), config.port), ("0.0.0.0".to_owned(), 8080));
        assert_eq!(config.local_base_dir.to_str(), Some("/data/imgapi/files"));
        assert!(matches!(&config.auth, Auth::Basic(users) if users.contains_key("admin")));
    }

    #[test]
    fn keys_of_this_server_take_precedence() {
        let config = config(json!({"address": "127.0.0.1", "mode": "public", "logLevel": "info"})).unwrap();
        assert_eq!((config.address.to_string(), config.mode), ("127.0.0.1".to_owned(), Mode::Public));
    }

    #[test]
    fn a_directory_that_is_relative_or_contradicts_is_named() {
        for changes in [json!({"datadir": "files"}), json!({"localBaseDir": "/other"}), json!({"datadir": 5})]
        {
            let error = config(changes).unwrap_err();
            assert!(error.contains("datadir") || error.contains("localBaseDir"), "{error}");
        }
    }
}
