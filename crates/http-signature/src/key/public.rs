// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use ring::signature::{ED25519, UnparsedPublicKey};
use ssh_key::public::KeyData;

use super::{KeyError, Public, digest, ecdsa, fingerprint, positive, public_pem, rsa};
use crate::{Algorithm, Family};

/// A public key, which verifies signatures.
#[derive(Debug, Clone)]
pub struct PublicKey(Public);

impl PublicKey {
    /// Reads a line of `~/.ssh/*.pub`: kind, base64, and an optional comment.
    ///
    /// # Errors
    /// Any [`KeyError`] except [`KeyError::Encrypted`].
    pub fn from_openssh(line: &str) -> Result<PublicKey, KeyError> {
        let key = ssh_key::PublicKey::from_openssh(line.trim())?;
        Ok(PublicKey(match key.key_data() {
            KeyData::Rsa(key) => Public::Rsa(rsa::PublicKey::new(positive(&key.n)?, positive(&key.e)?)?),
            KeyData::Ecdsa(key) => {
                Public::Ecdsa(ecdsa::PublicKey::from_point(key.curve(), key.as_sec1_bytes())?.into())
            }
            KeyData::Ed25519(key) => Public::Ed25519(key.0),
            other => return Err(KeyError::Unsupported(other.algorithm().to_string())),
        }))
    }

    /// Returns the MD5 fingerprint, as `ssh-keygen -E md5 -l` prints it after `MD5:`.
    pub fn md5_fingerprint(&self) -> String {
        fingerprint::md5(&self.0)
    }

    /// Returns the SHA-256 fingerprint, as `ssh-keygen -l` prints it after `SHA256:`.
    pub fn sha256_fingerprint(&self) -> String {
        fingerprint::sha256(&self.0)
    }

    /// Writes the key in PEM, as `ssh-keygen -e -m PKCS8` prints it.
    ///
    /// # Errors
    /// [`KeyError::Format`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        match &self.0 {
            Public::Rsa(key) => key.to_pem(),
            Public::Ecdsa(key) => key.to_pem(),
            Public::Ed25519(key) => public_pem(super::ED25519, key),
        }
    }

    /// Returns whether this key made the signature. It is `false` if the algorithm belongs to another kind of key.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.0, algorithm.family) {
            (Public::Rsa(key), Family::Rsa) => key.verify(algorithm.hash, message, signature),
            (Public::Ecdsa(key), Family::Ecdsa) => key.verify(&digest(algorithm.hash, message), signature),
            (Public::Ed25519(key), Family::Ed25519) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}
