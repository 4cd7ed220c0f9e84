// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http::HeaderValue;

use crate::{Authorization, Head, KeyError, MissingHeader, PrivateKey};

/// Signs requests with one key.
#[derive(Debug, Clone)]
pub struct Signer {
    key_id: String,
    key: PrivateKey,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key id cannot be sent in a header.
    #[error("a key id may not contain quotes or control characters")]
    KeyId,
    /// A header to be signed is missing.
    #[error(transparent)]
    Missing(#[from] MissingHeader),
    /// The key failed to sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Signer {
    /// Creates a signer whose requests name the key `key_id`: a user's name for IMGAPI, `/USER/keys/FINGERPRINT` for Manta.
    ///
    /// # Errors
    /// [`SignError::KeyId`] if the name contains quotes or control characters.
    pub fn new(key_id: impl Into<String>, key: PrivateKey) -> Result<Signer, SignError> {
        let key_id = key_id.into();
        if key_id.chars().any(|c| c == '"' || c.is_control()) {
            return Err(SignError::KeyId);
        }
        Ok(Signer { key_id, key })
    }

    /// Returns the `Authorization` header of a request: a signature over these headers, named in lower case. Servers require the
    /// date among them.
    ///
    /// # Errors
    /// [`SignError::Missing`], [`SignError::Key`].
    pub fn sign(&self, head: &Head<'_>, headers: &[&str]) -> Result<HeaderValue, SignError> {
        let headers: Vec<String> = headers.iter().map(|name| (*name).to_owned()).collect();
        let message = head.signing_string(&headers)?;
        let authorization = Authorization {
            key_id: self.key_id.clone(),
            algorithm: self.key.algorithm(),
            headers,
            signature: self.key.sign(&message)?,
        };
        HeaderValue::try_from(authorization.to_string()).map_err(|_| SignError::KeyId)
    }
}
