// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::reference::{HUB_NAMES, Repository};
use crate::config::Secret;

/// The key of Docker Hub in the configuration of Docker's clients.
const LEGACY_HUB: &str = "https://index.docker.io/v1/";

/// A user's name and password in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret,
}

/// The credentials are an identity token, which 4.13.1 cannot use either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("identity tokens are not supported")]
pub struct IdentityToken;

impl Credentials {
    /// Reads the headers `x-registry-auth` (one account) and `x-registry-config` (one account for each registry), both
    /// JSON in Base64. The first takes precedence. As in 4.13.1, a header that cannot be decoded is ignored.
    ///
    /// # Errors
    /// The account for this repository has an identity token in place of a password.
    pub fn from_headers(
        auth: Option<&str>,
        config: Option<&str>,
        repository: &Repository,
    ) -> Result<Option<Credentials>, IdentityToken> {
        if let Some(auth) = auth.and_then(decode)
            && let Some(credentials) = Credentials::read(&auth)?
        {
            return Ok(Some(credentials));
        }
        let Some(config) = config.and_then(decode) else { return Ok(None) };
        let auth = account(&config, repository.registry()).and_then(Value::as_object);
        auth.map_or(Ok(None), Credentials::read)
    }

    /// Reads one account; `None` for an anonymous one, which Docker's clients send as an empty object.
    fn read(auth: &Map<String, Value>) -> Result<Option<Credentials>, IdentityToken> {
        let text = |name| auth.get(name).and_then(Value::as_str).unwrap_or_default();
        if !text("identitytoken").is_empty() {
            return Err(IdentityToken);
        }
        let username = text("username");
        let credentials = || Credentials {
            username: username.to_owned(),
            password: Secret::new(text("password").to_owned()),
        };
        Ok((!username.is_empty()).then(credentials))
    }
}

/// Returns the account of a registry. Keys are hosts; some clients write them as URLs.
fn account<'a>(config: &'a Map<String, Value>, registry: &str) -> Option<&'a Value> {
    let is_hub = HUB_NAMES.contains(&registry);
    let exact = config.get(registry).or_else(|| config.get(LEGACY_HUB).filter(|_| is_hub));
    let host = |key: &str| {
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    let is_it = |key: &str| host(key) == registry || (is_hub && HUB_NAMES.contains(&host(key).as_str()));
    exact.or_else(|| config.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value))
}

/// Decodes either alphabet of Base64, because Docker's clients use both, with and without padding.
fn decode(header: &str) -> Option<Map<String, Value>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if header.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let json = GeneralPurpose::new(alphabet, lenient).decode(header.trim()).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(json)
    }

    fn found(
        auth: Option<&str>,
        config: Option<&str>,
        repository: &str,
    ) -> Result<Option<String>, IdentityToken> {
        let (auth, config) = (auth.map(encoded), config.map(encoded));
        let repository = Repository::parse(repository).unwrap();
        let found = Credentials::from_headers(auth.as_deref(), config.as_deref(), &repository)?;
        Ok(found.map(|found| format!("{}:{}", found.username, found.password.expose())))
    }

    #[test]
    fn the_account_of_the_call_precedes_the_one_of_the_registry() {
        let auth = Some(r#"{"username":"u","password":"p"}"#);
        let config = Some(r#"{"h.x":{"username":"v","password":"q"},"https://H.y/v1/":{"username":"w"}}"#);
        assert_eq!(found(auth, config, "h.x/a"), Ok(Some("u:p".to_owned())));
        assert_eq!(found(None, config, "h.x/a"), Ok(Some("v:q".to_owned())));
        assert_eq!(found(Some("{}"), config, "h.x/a"), Ok(Some("v:q".to_owned())));
        assert_eq!(
            found(Some(r#"{"username":"","password":""}"#), config, "h.x/a"),
            Ok(Some("v:q".to_owned()))
        );
        assert_eq!(found(None, config, "h.y/a"), Ok(Some("w:".to_owned())));
        assert_eq!(found(None, config, "h.z/a"), Ok(None));
        assert_eq!(found(None, None, "h.x/a"), Ok(None));
    }

    #[test]
    fn docker_hub_has_a_key_of_its_own() {
        for key in ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"] {
            let config = format!(r#"{{"{key}":{{"username":"u","password":"p"}}}}"#);
            assert_eq!(found(None, Some(&config), "joe/box"), Ok(Some("u:p".to_owned())), "{key}");
            assert_eq!(found(None, Some(&config), "h.x/box"), Ok(None), "{key}");
        }
    }

    #[test]
    fn an_identity_token_is_refused_and_what_cannot_be_read_is_ignored() {
        let token = r#"{"username":"u","identitytoken":"t"}"#;
        assert_eq!(found(Some(token), None, "a"), Err(IdentityToken));
        assert_eq!(found(None, Some(&format!(r#"{{"docker.io":{token}}}"#)), "a"), Err(IdentityToken));
        assert_eq!(found(None, Some(&format!(r#"{{"h.x":{token}}}"#)), "a"), Ok(None));
        for auth in ["", "[]", "x", r#"{"username":1}"#] {
            assert_eq!(found(Some(auth), None, "a"), Ok(None), "{auth}");
        }
        let repository = Repository::parse("a").unwrap();
        assert_eq!(Credentials::from_headers(Some("?!"), Some("\u{e9}"), &repository), Ok(None));
    }

    #[test]
    fn both_alphabets_of_base64_are_read() {
        let json = r#"{"username":"u","password":"???>>>ÿ"}"#;
        let repository = Repository::parse("a").unwrap();
        for engine in [
            base64::engine::general_purpose::URL_SAFE,
            base64::engine::general_purpose::URL_SAFE_NO_PAD,
            base64::engine::general_purpose::STANDARD,
            base64::engine::general_purpose::STANDARD_NO_PAD,
        ] {
            let found = Credentials::from_headers(Some(&engine.encode(json)), None, &repository);
            assert_eq!(found.unwrap().unwrap().password.expose(), "???>>>ÿ");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials =
            Credentials { username: "u".to_owned(), password: Secret::new("hunter2".to_owned()) };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
