// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The key that signs requests to Manta.

use http_signature::{KeyError, PrivateKey, PublicKey};

use crate::config::Secret;

/// A key pair, and its names.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) private: Secret,
    /// The line of a `.pub` file.
    pub(super) public: String,
    /// The output of `ssh-keygen -l`, for people.
    pub(super) id: String,
    /// The fingerprint by which Manta and UFDS know the key.
    pub(super) fingerprint: String,
}

impl Key {
    /// Generates a new key pair.
    pub(super) fn generate(name: &str) -> Result<Key, KeyError> {
        let key = PrivateKey::generate()?;
        let private = key.to_pem()?.trim_end().to_owned();
        Ok(Key {
            private: Secret::new(private),
            public: key.public_openssh(name),
            id: id(&key),
            fingerprint: key.md5_fingerprint(),
        })
    }

    /// Returns an existing key pair, if the two texts belong together.
    pub(super) fn pair(private: &str, public: &str) -> Result<Key, String> {
        let failed = |what: &str, error: KeyError| format!("{what}: {error}");
        let key = PrivateKey::from_pem(private).map_err(|error| failed("the private key", error))?;
        let line = PublicKey::from_openssh(public).map_err(|error| failed("the public key", error))?;
        let fingerprint = key.md5_fingerprint();
        if fingerprint != line.md5_fingerprint() {
            return Err("the public key is not that of the private key".to_owned());
        }
        Ok(Key {
            private: Secret::new(private.trim_end().to_owned()),
            public: public.trim().to_owned(),
            id: id(&key),
            fingerprint,
        })
    }

    /// Returns the private key for signing.
    pub(super) fn signing(&self) -> Result<PrivateKey, String> {
        PrivateKey::from_pem(self.private.expose()).map_err(|error| error.to_string())
    }
}

fn id(key: &PrivateKey) -> String {
    format!("SHA256:{}", key.sha256_fingerprint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_a_pair_and_shows_no_secret() {
        let key = Key::generate("coal imgapi key").unwrap();
        assert!(key.private.expose().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert!(key.public.starts_with("ecdsa-sha2-nistp256 ") && key.public.ends_with(" coal imgapi key"));
        let again = Key::pair(&format!("{}\n", key.private.expose()), &key.public).unwrap();
        assert_eq!((again.id, again.fingerprint), (key.id.clone(), key.fingerprint.clone()));
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn two_halves_of_two_keys_are_no_pair() {
        let (one, other) = (Key::generate("a").unwrap(), Key::generate("b").unwrap());
        assert!(Key::pair(one.private.expose(), &other.public).unwrap_err().contains("not that of"));
        assert!(Key::pair(one.private.expose(), "ssh-rsa x").is_err());
        assert!(Key::pair("x", &one.public).is_err());
    }
}
