// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Keys in the formats of SSH and OpenSSL.

mod ecdsa;
mod fingerprint;
mod plain_rsa;
mod private;
mod public;
mod rsa;

use pkcs8::der::pem::{LineEnding, encode_string};
use pkcs8::der::{self, Encode};
use pkcs8::spki::der::asn1::BitStringRef;
use pkcs8::spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use ssh_key::Mpint;

use crate::Hash;

pub use private::PrivateKey;
pub use public::PublicKey;

/// Object identifier of Ed25519 in X.509 and PKCS #8 (RFC 8410). An invalid one would not compile.
const ED25519: AlgorithmIdentifierRef<'static> =
    AlgorithmIdentifierRef { oid: ObjectIdentifier::new_unwrap("1.3.101.112"), parameters: None };

/// Why a text cannot be used as a key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The text is not a key.
    #[error("the key cannot be read: {0}")]
    Format(String),
    /// The kind of key is not supported.
    #[error("keys of the kind {0} are not supported")]
    Unsupported(String),
    /// An RSA key is too short or too long.
    #[error("an RSA key must have between 1024 and 16384 bits, not {0}")]
    RsaBits(u32),
    /// The key is protected by a passphrase.
    #[error("the key is protected by a passphrase")]
    Encrypted,
    /// The cryptography library rejected the key.
    #[error("the key cannot be used: {0}")]
    Crypto(&'static str),
}

impl From<ssh_key::Error> for KeyError {
    fn from(error: ssh_key::Error) -> KeyError {
        KeyError::Format(error.to_string())
    }
}

impl From<der::Error> for KeyError {
    fn from(error: der::Error) -> KeyError {
        KeyError::Format(error.to_string())
    }
}

impl From<pkcs8::spki::Error> for KeyError {
    fn from(error: pkcs8::spki::Error) -> KeyError {
        KeyError::Format(error.to_string())
    }
}

impl From<p256::ecdsa::Error> for KeyError {
    fn from(_: p256::ecdsa::Error) -> KeyError {
        KeyError::Crypto("its numbers are none of its curve")
    }
}

/// The public part of a key.
#[derive(Debug, Clone)]
enum Public {
    Rsa(rsa::PublicKey),
    // Boxed because it is far larger than the others.
    Ecdsa(Box<ecdsa::PublicKey>),
    Ed25519([u8; 32]),
}

/// Returns a number of a key, which must be positive.
fn positive(number: &Mpint) -> Result<&[u8], KeyError> {
    let bytes = number.as_positive_bytes().ok_or(ssh_key::Error::FormatEncoding)?;
    Ok(bytes)
}

fn digest(hash: Hash, message: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => Sha1::digest(message).to_vec(),
        Hash::Sha256 => Sha256::digest(message).to_vec(),
        Hash::Sha384 => Sha384::digest(message).to_vec(),
        Hash::Sha512 => Sha512::digest(message).to_vec(),
    }
}

/// Writes a `SubjectPublicKeyInfo` in PEM.
fn public_pem(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Result<String, KeyError> {
    let subject_public_key = BitStringRef::from_bytes(key)?;
    pem("PUBLIC KEY", &SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der()?)
}

fn pem(label: &'static str, der: &[u8]) -> Result<String, KeyError> {
    encode_string(label, LineEnding::LF, der).map_err(|error| KeyError::Format(error.to_string()))
}
