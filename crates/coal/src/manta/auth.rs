// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Authentication and authorization of requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http_signature::{Algorithm, Head, Policy, PublicKey, Refusal, SignedRequest};
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::error::MantaError;
use super::path::ResourcePath;
use crate::ufds::LiveDirectory;

/// Checks signatures and permissions against the account directory.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    directory: LiveDirectory,
    // Fingerprint of the key in the latest valid signature.
    latest_key: Arc<Mutex<Option<String>>>,
}

/// An authorized caller.
#[derive(Debug)]
pub(super) struct Access {
    /// UUID of the account that owns the path.
    pub(super) owner: String,
    /// Whether the caller is an operator.
    pub(super) is_operator: bool,
}

/// The key id of a signature: `/ACCOUNT/keys/FINGERPRINT` or `/ACCOUNT/USER/keys/FINGERPRINT`.
#[derive(Debug, PartialEq, Eq)]
struct KeyId {
    account: String,
    user: Option<String>,
    fingerprint: String,
}

/// A caller with a valid signature.
struct Caller {
    name: String,
    account: String,
    is_operator: bool,
    // Whether the caller may do anything at all. A sub-user needs a role for that.
    is_able: bool,
}

impl Authority {
    /// Creates an authority for this directory.
    pub(super) fn new(directory: LiveDirectory) -> Self {
        Self { directory, latest_key: Arc::default() }
    }

    /// Returns the fingerprint of the key that signed the latest request.
    pub(super) fn latest_key(&self) -> Option<String> {
        self.latest().clone()
    }

    fn latest(&self) -> MutexGuard<'_, Option<String>> {
        self.latest_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the signature and the caller's permission. An account may access its own areas, and operators may access
    /// everything. Public areas may be read without authentication. A sub-user with any role may do what its account may;
    /// policies are ignored.
    pub(super) async fn admit(&self, head: &Parts, path: &ResourcePath) -> Result<Access, MantaError> {
        let reads = matches!(head.method.as_str(), "GET" | "HEAD");
        let caller = match head.headers.contains_key(AUTHORIZATION) {
            true => Some(self.caller(head).await?),
            false if reads && path.is_public() => None,
            false => return Err(MantaError::AuthorizationRequired),
        };
        let login = path.login();
        let directory = self.directory.now();
        let owner = directory.account_entry(login).and_then(|entry| entry.values("uuid").first());
        let owner = owner.ok_or_else(|| MantaError::AccountDoesNotExist(login.to_owned()))?.clone();
        let Some(caller) = caller else { return Ok(Access { owner, is_operator: false }) };
        let own = caller.account == login && caller.is_able;
        if own || caller.is_operator || (reads && path.is_public()) {
            return Ok(Access { owner, is_operator: caller.is_operator });
        }
        Err(MantaError::AuthorizationFailed { caller: caller.name, path: path.to_string() })
    }

    async fn caller(&self, head: &Parts) -> Result<Caller, MantaError> {
        check_scheme(head)?;
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed =
            Head { method: head.method.as_str(), target, version: head.version, headers: &head.headers };
        let request = SignedRequest::read(&signed, Policy::default(), SystemTime::now()).map_err(refused)?;
        let key_id: KeyId = request.key_id().parse()?;
        let (caller, line) = self.look_up(&key_id)?;
        let right = tokio::task::spawn_blocking(move || {
            PublicKey::from_openssh(&line).is_ok_and(|key| request.is_signed_by_one_of([&key]))
        });
        match right.await {
            Ok(true) => {
                *self.latest() = Some(key_id.fingerprint);
                Ok(caller)
            }
            _ => Err(MantaError::InvalidSignature),
        }
    }

    /// Returns the caller that a key belongs to, and the key as an OpenSSH line.
    fn look_up(&self, key_id: &KeyId) -> Result<(Caller, String), MantaError> {
        let KeyId { account: login, user, fingerprint } = key_id;
        let directory = self.directory.now();
        let account =
            directory.account_entry(login).ok_or_else(|| MantaError::AccountDoesNotExist(login.clone()))?;
        let (name, key_owner, is_operator, is_able) = match user {
            None => (login.clone(), account, directory.is_operator(account), true),
            Some(alias) => {
                let name = format!("{login}/{alias}");
                let user = directory
                    .sub_user(account, alias)
                    .ok_or_else(|| MantaError::UserDoesNotExist(name.clone()))?;
                (name, user, false, directory.has_role(account, user))
            }
        };
        let line = directory
            .openssh_key(key_owner, fingerprint)
            .ok_or_else(|| MantaError::KeyDoesNotExist(format!("/{name}/keys/{fingerprint}")))?;
        Ok((Caller { name, account: login.clone(), is_operator, is_able }, line.to_owned()))
    }
}

/// Accepts only the signature scheme, with a supported algorithm.
fn check_scheme(head: &Parts) -> Result<(), MantaError> {
    let value = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scheme = value.split(' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("signature") {
        return Err(MantaError::AuthorizationSchemeNotAllowed(scheme.to_lowercase()));
    }
    let named = value.split_once("algorithm=\"").and_then(|(_, rest)| rest.split_once('"'));
    match named {
        Some((name, _)) if name.parse::<Algorithm>().is_err() => {
            Err(MantaError::InvalidAlgorithm(name.to_owned()))
        }
        _ => Ok(()),
    }
}

fn refused(refusal: Refusal) -> MantaError {
    MantaError::InvalidHeader(match refusal {
        Refusal::Skew | Refusal::BadDate => format!("Date header invalid: {refusal}"),
        _ => format!("Authorization header invalid: {refusal}"),
    })
}

impl std::str::FromStr for KeyId {
    type Err = MantaError;

    fn from_str(text: &str) -> Result<Self, MantaError> {
        let decoded = |part: &str| match percent_decode_str(part).decode_utf8() {
            Ok(part) if !part.is_empty() => Ok(part.into_owned()),
            _ => Err(MantaError::InvalidKeyId),
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (account, user, fingerprint) = match parts.as_slice() {
            ["", account, "keys", fingerprint] => (account, None, fingerprint),
            ["", account, user, "keys", fingerprint] => (account, Some(user), fingerprint),
            _ => return Err(MantaError::InvalidKeyId),
        };
        Ok(Self {
            account: decoded(account)?,
            user: user.map(|user| decoded(user)).transpose()?,
            fingerprint: decoded(fingerprint)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_have_two_forms() {
        let id: KeyId = "/luke/keys/aa:bb".parse().unwrap();
        assert_eq!((id.account.as_str(), id.user, id.fingerprint.as_str()), ("luke", None, "aa:bb"));
        let id: KeyId = "/luke/r2/keys/aa:bb".parse().unwrap();
        assert_eq!(id.user.as_deref(), Some("r2"));
        for bad in [
            "luke",
            "luke/keys/aa",
            "/luke/key/aa",
            "//keys/aa",
            "/luke//keys/aa",
            "/luke/keys/",
            "/a/b/c/keys/d",
        ] {
            assert!(matches!(bad.parse::<KeyId>(), Err(MantaError::InvalidKeyId)), "{bad}");
        }
    }
}
