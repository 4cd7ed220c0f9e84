// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Authentication: who sent a request, by HTTP Signature or by name and password, and the keys and passwords for that.

mod command;
mod credentials;
mod crypto_limit;
mod error;
mod key_files;
mod keys;
mod manta_keys;
mod passwords;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http_signature::{Head, Policy, SignedRequest};

use crate::config::{self, Config};
use crate::storage::MantaConnection;
use crate::workers::Prepared;

pub use command::print_password_hash;
pub use error::AuthError;
pub use keys::KEY_WORKER;

use crypto_limit::CryptoLimit;
use keys::KeyStore;
use passwords::{Passwords, hash_password};

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The sender is not authenticated.
    Anonymous,
    /// A user with this name. All users have the same permissions.
    User(Arc<str>),
}

/// Whether a request has to be authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthRequirement {
    /// It need not be, and credentials are ignored.
    None,
    /// It need not be, but any credentials have to be valid.
    Passive,
    /// It has to be.
    Strict,
}

/// Authenticates callers as the configuration's `authType` says.
#[derive(Debug)]
pub struct Authenticator {
    scheme: Scheme,
    crypto_limit: CryptoLimit,
}

#[derive(Debug)]
enum Scheme {
    None,
    Signature { keys: KeyStore, policy: Policy },
    Basic(Passwords),
}

impl Authenticator {
    /// Reads the configured keys or passwords, but not the keys in Manta. The worker, if there is one, reads the key
    /// files again, locally and in Manta; its name is [`KEY_WORKER`].
    pub async fn new(config: &Config, manta: Option<MantaConnection>) -> (Authenticator, Option<Prepared>) {
        let (scheme, worker) = match &config.auth {
            config::Auth::None => (Scheme::None, None),
            config::Auth::Signature(signature) => {
                let (keys, worker) = KeyStore::read(&signature.keys, &config.local_base_dir, manta).await;
                let policy =
                    Policy { require_request_target: signature.require_request_target, ..Policy::default() };
                (Scheme::Signature { keys, policy }, Some(worker))
            }
            config::Auth::Basic(users) => (Scheme::Basic(Passwords::new(users)), None),
        };
        (Authenticator { scheme, crypto_limit: CryptoLimit::default() }, worker)
    }

    /// Returns whether callers are authenticated. If not, all are anonymous and may do everything.
    pub fn is_enabled(&self) -> bool {
        !matches!(self.scheme, Scheme::None)
    }

    /// Returns the `WWW-Authenticate` header of a 401, for schemes that have one.
    pub fn challenge(&self) -> Option<&'static str> {
        matches!(self.scheme, Scheme::Basic(_)).then_some(r#"Basic realm="imgapi", charset="UTF-8""#)
    }

    /// Authenticates the sender of a request with this head from this address.
    ///
    /// # Errors
    /// Credentials are missing although they are required, or they are invalid, or there is no time to check them.
    pub async fn authenticate(
        &self,
        head: &Head<'_>,
        address: Option<IpAddr>,
        requirement: AuthRequirement,
    ) -> Result<Caller, AuthError> {
        // As in 4.13.1, an empty header counts as absent.
        let says_so = head.headers.get_all("authorization").iter().any(|value| !value.is_empty());
        let user = match &self.scheme {
            Scheme::None => return Ok(Caller::Anonymous),
            _ if requirement == AuthRequirement::None => return Ok(Caller::Anonymous),
            _ if requirement == AuthRequirement::Passive && !says_so => return Ok(Caller::Anonymous),
            _ if !says_so => return Err(AuthError::Missing),
            Scheme::Signature { keys, policy } => self.signer(head, address, keys, *policy).await?,
            Scheme::Basic(passwords) => {
                let credentials = credentials::parse(head.headers)?;
                passwords.check(&credentials, address, &self.crypto_limit).await?;
                credentials.user
            }
        };
        Ok(Caller::User(user.into()))
    }

    async fn signer(
        &self,
        head: &Head<'_>,
        address: Option<IpAddr>,
        keys: &KeyStore,
        policy: Policy,
    ) -> Result<String, AuthError> {
        let request = SignedRequest::read(head, policy, SystemTime::now())?;
        let keys = keys.of(request.key_id()).ok_or(AuthError::Wrong)?;
        let user = request.key_id().to_owned();
        let right = self.crypto_limit.run(address, move || request.is_signed_by_one_of(keys.iter())).await?;
        if right { Ok(user) } else { Err(AuthError::Wrong) }
    }

    /// Wakes the worker to read the key files again.
    pub fn reload(&self) {
        if let Scheme::Signature { keys, .. } = &self.scheme {
            keys.reload();
        }
    }
}
