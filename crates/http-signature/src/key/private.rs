// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::sync::Arc;

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::der::{Decode, Encode};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use ssh_key::private::{EcdsaKeypair, KeypairData};

use super::{KeyError, Public, digest, ecdsa, fingerprint, pem, rsa};
use crate::{Algorithm, Family, Hash};

/// Object identifier of ECDSA in X.509 and PKCS #8 (RFC 5480). An invalid one would not compile.
const ECDSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A private key. `Debug` shows only its algorithm.
#[derive(Clone)]
pub struct PrivateKey {
    public: Public,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Rsa(rsa::PrivateKey),
    // Boxed because it is far larger than the others.
    Ecdsa(Box<ecdsa::PrivateKey>),
    Ed25519(Zeroizing<[u8; 32]>, Arc<Ed25519KeyPair>),
}

impl PrivateKey {
    /// Reads a PEM file as `ssh-keygen` and `openssl` write it: OpenSSH, PKCS #1, SEC 1 or PKCS #8.
    ///
    /// # Errors
    /// [`KeyError::Format`], [`KeyError::Unsupported`], [`KeyError::RsaBits`], [`KeyError::Encrypted`], [`KeyError::Crypto`].
    pub fn from_pem(pem: &str) -> Result<PrivateKey, KeyError> {
        let secret = if pem.contains("BEGIN OPENSSH PRIVATE KEY") { openssh(pem)? } else { openssl(pem)? };
        Ok(PrivateKey::of(secret))
    }

    /// Generates an ECDSA key over P-256, the kind that every service of a Triton datacenter can read.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if there are no random numbers.
    pub fn generate() -> Result<PrivateKey, KeyError> {
        Ok(PrivateKey::of(Secret::Ecdsa(ecdsa::PrivateKey::generate()?.into())))
    }

    fn of(secret: Secret) -> PrivateKey {
        let public = match &secret {
            Secret::Rsa(key) => Public::Rsa(key.public().clone()),
            Secret::Ecdsa(key) => Public::Ecdsa(key.public().into()),
            Secret::Ed25519(_, pair) => {
                let mut public = [0; 32];
                public.copy_from_slice(pair.public_key().as_ref());
                Public::Ed25519(public)
            }
        };
        PrivateKey { public, secret }
    }

    /// Writes the key in PEM without a passphrase, in the format that old programs read: SEC 1 for ECDSA, PKCS #1 for RSA, and
    /// PKCS #8 for Ed25519.
    ///
    /// # Errors
    /// [`KeyError::Format`], [`KeyError::Crypto`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        match &self.secret {
            Secret::Rsa(key) => key.to_pem(),
            Secret::Ecdsa(key) => key.to_pem(),
            Secret::Ed25519(seed, _) => {
                let seed = OctetStringRef::new(seed.as_slice())?;
                let seed = Zeroizing::new(seed.to_der()?);
                let key = PrivateKeyInfoRef::new(super::ED25519, OctetStringRef::new(&seed)?);
                pem("PRIVATE KEY", &Zeroizing::new(key.to_der()?))
            }
        }
    }

    /// Returns the public key as a line of `~/.ssh/*.pub`.
    pub fn public_openssh(&self, comment: &str) -> String {
        fingerprint::line(&self.public, comment)
    }

    /// Returns the algorithm that this key signs with. Its hash fits the size of the key.
    pub fn algorithm(&self) -> Algorithm {
        let (family, hash) = match &self.secret {
            Secret::Rsa(_) => (Family::Rsa, Hash::Sha256),
            Secret::Ed25519(..) => (Family::Ed25519, Hash::Sha512),
            Secret::Ecdsa(key) => match **key {
                ecdsa::PrivateKey::P256(_) => (Family::Ecdsa, Hash::Sha256),
                // Many servers do not support SHA-384.
                _ => (Family::Ecdsa, Hash::Sha512),
            },
        };
        Algorithm { family, hash }
    }

    /// Returns the MD5 fingerprint of the public key, by which Manta identifies it. `ssh-keygen -E md5 -l` prints it after
    /// `MD5:`.
    pub fn md5_fingerprint(&self) -> String {
        fingerprint::md5(&self.public)
    }

    /// Returns the SHA-256 fingerprint of the public key, as `ssh-keygen -l` prints it after `SHA256:`.
    pub fn sha256_fingerprint(&self) -> String {
        fingerprint::sha256(&self.public)
    }

    /// Signs a message. Takes up to several milliseconds.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            Secret::Rsa(key) => key.sign(message),
            Secret::Ecdsa(key) => key.sign(&digest(self.algorithm().hash, message)),
            Secret::Ed25519(_, pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

fn openssl(pem: &str) -> Result<Secret, KeyError> {
    // Both formats contain the word: PKCS #8 in the first line, the older ones in the second.
    if pem.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    match der.map_err(|error| KeyError::Format(error.to_string()))? {
        PrivateKeyDer::Pkcs1(der) => Ok(Secret::Rsa(rsa::PrivateKey::from_pkcs1(der.secret_pkcs1_der())?)),
        PrivateKeyDer::Sec1(der) => {
            Ok(Secret::Ecdsa(ecdsa::PrivateKey::from_sec1(der.secret_sec1_der())?.into()))
        }
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
        _ => Err(unsupported()),
    }
}

fn pkcs8(der: &[u8]) -> Result<Secret, KeyError> {
    let info = PrivateKeyInfoRef::from_der(der)?;
    let inner = info.private_key.as_bytes();
    match info.algorithm.oid {
        oid if oid == pkcs1::ALGORITHM_OID => Ok(Secret::Rsa(rsa::PrivateKey::from_pkcs1(inner)?)),
        ECDSA => Ok(Secret::Ecdsa(ecdsa::PrivateKey::from_pkcs8(der)?.into())),
        oid if oid == super::ED25519.oid => ed25519(<&OctetStringRef>::from_der(inner)?.as_bytes()),
        _ => Err(unsupported()),
    }
}

fn openssh(pem: &str) -> Result<Secret, KeyError> {
    // Templates leave a blank line at the end, which this parser does not accept.
    let key = ssh_key::PrivateKey::from_openssh(pem.trim())?;
    match key.key_data() {
        KeypairData::Rsa(pair) => Ok(Secret::Rsa(rsa::PrivateKey::from_openssh(pair)?)),
        KeypairData::Ecdsa(pair) => Ok(Secret::Ecdsa(openssh_ecdsa(pair)?.into())),
        KeypairData::Ed25519(pair) => ed25519(&*Zeroizing::new(pair.private.to_bytes())),
        KeypairData::Encrypted(_) => Err(KeyError::Encrypted),
        _ => Err(KeyError::Unsupported(key.algorithm().to_string())),
    }
}

fn openssh_ecdsa(pair: &EcdsaKeypair) -> Result<ecdsa::PrivateKey, KeyError> {
    let key = ecdsa::PrivateKey::from_secret(pair.curve(), pair.private_key_bytes())?;
    let is_pair = key.public().point() == pair.public_key_bytes();
    if is_pair { Ok(key) } else { Err(KeyError::Crypto("its numbers do not belong together")) }
}

fn ed25519(seed: &[u8]) -> Result<Secret, KeyError> {
    let seed: [u8; 32] = seed.try_into().map_err(|_| KeyError::Format("it has another length".into()))?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Crypto("it is refused"))?;
    Ok(Secret::Ed25519(Zeroizing::new(seed), Arc::new(pair)))
}

fn unsupported() -> KeyError {
    KeyError::Unsupported("another than RSA, ECDSA and Ed25519".into())
}
