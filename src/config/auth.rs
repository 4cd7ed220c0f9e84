// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::BTreeMap;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Secret;
use super::read::{Reader, member};

/// The limits of a password hash: memory in KiB, lanes, and KiB written in all passes together, which take about half a
/// second. `imgapi hash-password` makes hashes with 19 MiB and two passes.
const MAX_HASH_MEMORY: u32 = 64 * 1024;
const MAX_HASH_LANES: u32 = 16;
const MAX_HASH_WORK: u64 = 256 * 1024;

/// Each one takes tens of milliseconds whenever the configuration is loaded.
const MAX_PLAIN_PASSWORDS: usize = 50;

/// `authType`: how the server authenticates its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `none`: callers are not authenticated, and everybody may do everything.
    None,
    /// `signature`: by HTTP Signatures.
    Signature(SignatureAuth),
    /// `basic`: by name and password. `userdb` is a list of `{name, password}`. Each password is an Argon2 hash in PHC form, as
    /// made by `imgapi hash-password`. A plain password is replaced by its hash when the configuration is loaded.
    Basic(BTreeMap<String, Secret>),
}

/// The settings of HTTP Signatures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignatureAuth {
    /// `authKeys`: the public keys of each user, one OpenSSH line for each. They are not validated here: an unusable
    /// key is ignored.
    pub keys: BTreeMap<String, Vec<String>>,
    /// `authRequireRequestTarget`: whether the method and path have to be signed.
    pub require_request_target: bool,
}

pub(super) fn read(root: &mut Reader<'_>) -> Auth {
    match root.text("authType").as_deref() {
        Some("none") => Auth::None,
        Some("signature") => Auth::Signature(signature(root)),
        Some("basic") => Auth::Basic(users(root)),
        _ => {
            root.problem("authType", "must be none, signature or basic");
            Auth::None
        }
    }
}

fn signature(root: &mut Reader<'_>) -> SignatureAuth {
    let require_request_target = root.flag("authRequireRequestTarget");
    let mut section = root.section("authKeys");
    let keys = section.keys().into_iter().map(|user| {
        let keys = section.texts(&user);
        (user, keys)
    });
    SignatureAuth { keys: keys.collect(), require_request_target }
}

fn users(root: &mut Reader<'_>) -> BTreeMap<String, Secret> {
    let mut users = BTreeMap::new();
    let entries = root.objects("userdb");
    let is_plain = |entry: &&Map<String, Value>| {
        entry.get("password").and_then(Value::as_str).is_some_and(|password| !is_hash(password))
    };
    if entries.iter().filter(is_plain).count() > MAX_PLAIN_PASSWORDS {
        root.problem("userdb", format!("has more than {MAX_PLAIN_PASSWORDS} plain passwords"));
        return users;
    }
    for (index, entry) in entries.into_iter().enumerate() {
        match user(&entry) {
            Ok((name, _)) if users.contains_key(&name) => {
                root.problem("userdb", format!("has the user {name:?} twice"));
            }
            Ok((name, hash)) => drop(users.insert(name, hash)),
            Err(problem) => root.problem("userdb", format!("has an entry, number {index}, {problem}")),
        }
    }
    users
}

fn user(entry: &Map<String, Value>) -> Result<(String, Secret), &'static str> {
    let text = |name: &str| member(entry, "userdb[].", name).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    // In Basic authentication the name ends at the first colon.
    if name.is_empty() || name.contains(':') {
        return Err("whose name is no text, empty, or has a colon");
    }
    let hash = match text("password") {
        hash if is_hash(hash) => {
            check_hash(hash)?;
            hash.to_owned()
        }
        plain => hash_plain(name, plain)?,
    };
    Ok((name.to_owned(), Secret::new(hash)))
}

/// Whether this is a hash, not a plain password.
pub(super) fn is_hash(password: &str) -> bool {
    password.starts_with('$')
}

/// Hashes a plain password, so that checking it takes as long as with a hash. The salt depends on nothing but the user's name, so
/// that the same configuration has the same meaning when it is loaded again.
fn hash_plain(name: &str, password: &str) -> Result<String, &'static str> {
    if password.is_empty() {
        return Err("whose password is no text, or empty");
    }
    let salt = Sha256::digest(name.as_bytes());
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt[..16]);
    Ok(hash.map_err(|_| "whose password cannot be hashed")?.to_string())
}

fn check_hash(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).ok().filter(|hash| hash.algorithm.as_str().starts_with("argon2"));
    let hash = hash.ok_or("whose password is not a hash: imgapi hash-password makes one")?;
    let is_bearable = |params: &Params| {
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        params.m_cost() <= MAX_HASH_MEMORY && params.p_cost() <= MAX_HASH_LANES && work <= MAX_HASH_WORK
    };
    match Params::try_from(&hash) {
        Ok(params) if is_bearable(&params) && hash.hash.is_some() && hash.salt.is_some() => Ok(()),
        _ => Err("whose password has unusable parameters: imgapi hash-password makes good ones"),
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;
    use serde_json::json;

    use super::*;
    use crate::config::Problem;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$0cD2gWAXGVqHEKgGmnpJSlqqmMBWHbwXuUiFTlZ0cPk";

    fn read_all(config: Value) -> (Auth, Vec<Problem>) {
        let config = config.as_object().unwrap().clone();
        let mut problems = Vec::new();
        let auth = read(&mut Reader::new(&config, &mut problems));
        (auth, problems)
    }

    #[test]
    fn keys_of_any_user_are_read() {
        let keys = json!({"constructor": ["ssh-rsa AAAA"], "../x y": [], "luke": ["a", "b"]});
        let config = json!({"authType": "signature", "authKeys": keys, "authRequireRequestTarget": true});
        let (Auth::Signature(auth), problems) = read_all(config) else { panic!() };
        assert_eq!(problems, []);
        assert_eq!(json!(auth.keys), keys);
        assert!(auth.require_request_target);
    }

    #[test]
    fn wrong_keys_are_named() {
        let (_, problems) = read_all(json!({"authType": "signature", "authKeys": {"luke": "ssh-rsa AAAA"}}));
        assert_eq!(problems[0].key, "authKeys.luke");
        let (_, problems) = read_all(json!({"authType": "signature", "authRequireRequestTarget": "yes"}));
        assert_eq!(problems[0].key, "authRequireRequestTarget");
        let (_, problems) = read_all(json!({"authType": "kerberos"}));
        assert_eq!(problems[0].key, "authType");
    }

    #[test]
    fn hashed_passwords_are_read() {
        let userdb = json!([{"name": "luke", "password": HASH}, {"name": "constructor", "password": HASH}]);
        let (Auth::Basic(users), problems) = read_all(json!({"authType": "basic", "userdb": userdb})) else {
            panic!()
        };
        assert_eq!(problems, []);
        assert_eq!(users["luke"].expose(), HASH);
        assert!(!format!("{users:?}").contains("argon2"));
    }

    #[test]
    fn a_plain_password_means_the_same_each_time() {
        let userdb = json!([{"name": "luke", "password": "s3cret"}, {"name": "leia", "password": "s3cret"}]);
        let config = json!({"authType": "basic", "userdb": userdb});
        let (Auth::Basic(users), problems) = read_all(config.clone()) else { panic!() };
        assert_eq!(problems, []);
        assert_eq!(read_all(config).0, Auth::Basic(users.clone()));
        assert_ne!(users["luke"].expose(), users["leia"].expose());
        let hash = PasswordHash::new(users["luke"].expose()).unwrap();
        Argon2::default().verify_password(b"s3cret", &hash).unwrap();
    }

    #[test]
    fn other_users_are_refused_without_their_passwords() {
        let costs = |costs| HASH.replace("m=8,t=1,p=1", costs);
        let absurd = [
            "m=4000000,t=1,p=1",
            "m=65537,t=1,p=1",
            "m=8,t=4294967295,p=1",
            "m=65536,t=5,p=1",
            "m=512,t=1,p=64",
        ];
        let absurd = absurd.map(|absurd| json!([{"name": "luke", "password": costs(absurd)}]));
        let bearable = json!([{"name": "luke", "password": costs("m=65536,t=3,p=4")}]);
        let (_, problems) = read_all(json!({"authType": "basic", "userdb": bearable}));
        assert_eq!(problems, []);
        for userdb in [
            json!("luke"),
            json!(["luke"]),
            json!([{"name": "luke"}]),
            json!([{"name": "luke", "password": ""}]),
            json!([{"name": "luke", "password": "$s3cret"}]),
            json!(vec![json!({"name": "luke", "password": "s3cret"}); 51]),
            json!([{"name": "luke", "password": "$2b$12$abcdefghijklmnopqrstuv"}]),
            json!([{"name": "luke", "password": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ"}]),
            json!([{"name": "lu:ke", "password": HASH}]),
            json!([{"name": "", "password": HASH}]),
            json!([{"name": "luke", "password": HASH}, {"name": "luke", "password": HASH}]),
        ]
        .into_iter()
        .chain(absurd)
        {
            let (_, problems) = read_all(json!({"authType": "basic", "userdb": userdb}));
            assert_eq!(problems.len(), 1, "{userdb}");
            assert_eq!(problems[0].key, "userdb");
            assert!(!problems[0].message.contains("s3cret"));
        }
    }
}
