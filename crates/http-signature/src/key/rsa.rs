// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! RSA with the padding of PKCS #1 v1.5. ring does the usual keys; [`super::plain_rsa`] does the sizes that ring does not
//! support.

use std::sync::Arc;

use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef, UintRef};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::der::{Decode, Encode};
use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair, RsaPublicKeyComponents};

use super::{KeyError, plain_rsa};
use crate::Hash;

/// Allowed key sizes in bits. Shorter keys are broken, longer ones take too long.
const BITS: std::ops::RangeInclusive<u32> = 1024..=16384;

/// Maximum length of a public exponent in bits. Real ones have 2 to 17.
const EXPONENT_BITS: u32 = 64;

/// Maximum length in bits of a key that ring verifies with.
const RING_BITS: u32 = 8192;

/// Maximum length in bits of an exponent that ring verifies with.
const RING_EXPONENT_BITS: u32 = 33;

/// A public key: modulus and exponent, as numbers without leading zeros.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
}

/// A private key.
#[derive(Clone)]
pub(super) struct PrivateKey {
    /// The key as an `RSAPrivateKey` of PKCS #1.
    der: Zeroizing<Vec<u8>>,
    public: PublicKey,
    signs: Signs,
}

#[derive(Clone)]
enum Signs {
    Ring(Arc<RsaKeyPair>),
    Plain(Arc<plain_rsa::PrivateKey>),
}

/// Returns the length of a number in bits, without leading zeros.
fn bits(number: &[u8]) -> u32 {
    let first = number.first().map_or(0, |first| first.leading_zeros());
    u32::try_from(number.len() * 8).unwrap_or(u32::MAX).saturating_sub(first)
}

impl PublicKey {
    /// Creates a key from numbers without leading zeros.
    pub(super) fn new(n: &[u8], e: &[u8]) -> Result<PublicKey, KeyError> {
        if !BITS.contains(&bits(n)) {
            return Err(KeyError::RsaBits(bits(n)));
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if !is_odd(n) || !is_odd(e) || bits(e) < 2 || bits(e) > EXPONENT_BITS {
            return Err(KeyError::Format("these are no modulus and exponent".into()));
        }
        Ok(PublicKey { n: n.to_vec(), e: e.to_vec() })
    }

    /// Writes the key in PEM, as `ssh-keygen -e -m PKCS8` prints it.
    pub(super) fn to_pem(&self) -> Result<String, KeyError> {
        let (modulus, public_exponent) = (UintRef::new(&self.n)?, UintRef::new(&self.e)?);
        let key = RsaPublicKeyRef { modulus, public_exponent }.to_der()?;
        super::public_pem(pkcs1::ALGORITHM_ID, &key)
    }

    /// Returns whether the signature is valid for this message.
    pub(super) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let takes_ring = bits(&self.n) <= RING_BITS && bits(&self.e) <= RING_EXPONENT_BITS;
        let algorithm = match hash {
            Hash::Sha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            Hash::Sha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            Hash::Sha384 => return plain_rsa::verify(self, hash, message, signature),
        };
        if takes_ring {
            let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
            key.verify(algorithm, message, signature).is_ok()
        } else {
            plain_rsa::verify(self, hash, message, signature)
        }
    }
}

impl PrivateKey {
    /// Reads an `RSAPrivateKey` of PKCS #1.
    pub(super) fn from_pkcs1(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let key = RsaPrivateKeyRef::from_der(der)?;
        let public = PublicKey::new(key.modulus.as_bytes(), key.public_exponent.as_bytes())?;
        // ring signs only with keys of 2048 to 4096 bits and the usual exponents.
        let signs = match RsaKeyPair::from_der(der) {
            Ok(pair) => Signs::Ring(Arc::new(pair)),
            Err(_) => {
                Signs::Plain(Arc::new(plain_rsa::PrivateKey::new(&public, key.private_exponent.as_bytes())?))
            }
        };
        Ok(PrivateKey { der: Zeroizing::new(der.to_vec()), public, signs })
    }

    /// Creates a key from the numbers in OpenSSH's format. It lacks the two exponents that make signing fast, so they are
    /// computed.
    pub(super) fn from_openssh(pair: &ssh_key::private::RsaKeypair) -> Result<PrivateKey, KeyError> {
        let (public, private) = (&pair.public, &pair.private);
        let [d, p, q] = [&private.d, &private.p, &private.q].map(super::positive);
        let (d, p, q) = (d?, p?, q?);
        let [exponent1, exponent2] = [p, q].map(|prime| plain_rsa::short_exponent(d, prime));
        let (exponent1, exponent2) = (exponent1?, exponent2?);
        let key = RsaPrivateKeyRef {
            modulus: UintRef::new(super::positive(&public.n)?)?,
            public_exponent: UintRef::new(super::positive(&public.e)?)?,
            private_exponent: UintRef::new(d)?,
            prime1: UintRef::new(p)?,
            prime2: UintRef::new(q)?,
            exponent1: UintRef::new(&exponent1)?,
            exponent2: UintRef::new(&exponent2)?,
            coefficient: UintRef::new(super::positive(&private.iqmp)?)?,
            other_prime_infos: None,
        };
        PrivateKey::from_pkcs1(&Zeroizing::new(key.to_der()?))
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Writes the key as PKCS #1 in PEM.
    pub(super) fn to_pem(&self) -> Result<String, KeyError> {
        super::pem("RSA PRIVATE KEY", &self.der)
    }

    /// Signs a message with SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let pair = match &self.signs {
            Signs::Ring(pair) => pair,
            Signs::Plain(key) => return key.sign(Hash::Sha256, message),
        };
        let mut signature = vec![0; pair.public().modulus_len()];
        let signed = pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| KeyError::Crypto("it does not sign"))?;
        Ok(signature)
    }
}
