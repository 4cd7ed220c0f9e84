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

/// RFC 5480: ECDSA in X.509 and PKCS #8. A text that is none would not compile.
const ECDSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A key to sign with. `Debug` shows its kind only.
#[derive(Clone)]
pub struct PrivateKey {
    public: Public,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Rsa(rsa::PrivateKey),
    // Far larger than the others.
    Ecdsa(Box<ecdsa::PrivateKey>),
    Ed25519(Zeroizing<[u8; 32]>, Arc<Ed25519KeyPair>),
}

impl PrivateKey {
    /// Reads a file as `ssh-keygen` and `openssl` write it: OpenSSH, PKCS #1, SEC 1 or PKCS #8, in PEM.
    ///
    /// # Errors
    /// `Format`, `Unsupported`, `RsaBits`, `Encrypted`, `Crypto`.
    pub fn from_pem(pem: &str) -> Result<PrivateKey, KeyError> {
        let secret = if pem.contains("BEGIN OPENSSH PRIVATE KEY") { openssh(pem)? } else { openssl(pem)? };
        Ok(PrivateKey::of(secret))
    }

    /// A new key of the kind that everything in a Triton datacenter reads: ECDSA over P-256.
    ///
    /// # Errors
    /// `Crypto`.
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

    /// The key in PEM without a passphrase, as old readers of it know it: SEC 1 for ECDSA, PKCS #1 for RSA, and PKCS #8 for
    /// Ed25519.
    ///
    /// # Errors
    /// `Format`, `Crypto`.
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

    /// Its public part as a line of `~/.ssh/*.pub`.
    pub fn public_openssh(&self, comment: &str) -> String {
        fingerprint::line(&self.public, comment)
    }

    /// What this key signs with: a hash that fits its size.
    pub fn algorithm(&self) -> Algorithm {
        let (family, hash) = match &self.secret {
            Secret::Rsa(_) => (Family::Rsa, Hash::Sha256),
            Secret::Ed25519(..) => (Family::Ed25519, Hash::Sha512),
            Secret::Ecdsa(key) => match **key {
                ecdsa::PrivateKey::P256(_) => (Family::Ecdsa, Hash::Sha256),
                // Many servers know no SHA-384.
                _ => (Family::Ecdsa, Hash::Sha512),
            },
        };
        Algorithm { family, hash }
    }

    /// What `ssh-keygen -E md5 -l` prints of its public part behind `MD5:`, the name that Manta knows a key by.
    pub fn md5_fingerprint(&self) -> String {
        fingerprint::md5(&self.public)
    }

    /// What `ssh-keygen -l` prints of its public part behind `SHA256:`.
    pub fn sha256_fingerprint(&self) -> String {
        fingerprint::sha256(&self.public)
    }

    /// The signature of a message. Takes up to some milliseconds.
    ///
    /// # Errors
    /// `Crypto`.
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
    // Both forms say so: PKCS #8 in the first line, the older ones in the second.
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
    // A template leaves a blank line at the end, which is too much for this reader.
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
