//! Keys, as SSH and OpenSSL write them.

mod fingerprint;
mod private;
mod public;

use openssl::bn::BigNum;
use openssl::ec::EcGroup;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use ssh_key::{EcdsaCurve, Mpint};

use crate::Hash;

pub use private::PrivateKey;
pub use public::PublicKey;

/// Why a text is no key that can be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// It is no key at all.
    #[error("the key cannot be read: {0}")]
    Format(String),
    /// It is a key of a kind that is not accepted.
    #[error("keys of the kind {0} are not supported")]
    Unsupported(String),
    /// It is an RSA key that is too short or too long.
    #[error("an RSA key must have between 1024 and 16384 bits, not {0}")]
    RsaBits(u32),
    /// A passphrase protects it.
    #[error("the key is protected by a passphrase")]
    Encrypted,
    /// The library refuses it.
    #[error("the key cannot be used: {0}")]
    Crypto(#[from] ErrorStack),
}

impl From<ssh_key::Error> for KeyError {
    fn from(error: ssh_key::Error) -> KeyError {
        KeyError::Format(error.to_string())
    }
}

/// A positive number of a key. Zero, or a negative one, makes it no key.
fn positive(number: &Mpint) -> Result<BigNum, KeyError> {
    let bytes = number.as_positive_bytes().ok_or(ssh_key::Error::FormatEncoding)?;
    Ok(BigNum::from_slice(bytes)?)
}

fn group(curve: EcdsaCurve) -> Result<EcGroup, ErrorStack> {
    EcGroup::from_curve_name(match curve {
        EcdsaCurve::NistP256 => Nid::X9_62_PRIME256V1,
        EcdsaCurve::NistP384 => Nid::SECP384R1,
        EcdsaCurve::NistP521 => Nid::SECP521R1,
    })
}

fn digest(hash: Hash) -> MessageDigest {
    match hash {
        Hash::Sha1 => MessageDigest::sha1(),
        Hash::Sha256 => MessageDigest::sha256(),
        Hash::Sha384 => MessageDigest::sha384(),
        Hash::Sha512 => MessageDigest::sha512(),
    }
}
