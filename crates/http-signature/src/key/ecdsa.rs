// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ECDSA over the three curves of SSH, with any hash function.

use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::elliptic_curve::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use ring::rand::{SecureRandom, SystemRandom};
use ssh_key::EcdsaCurve;
use {p256::ecdsa as nistp256, p384::ecdsa as nistp384, p521::ecdsa as nistp521};

use super::KeyError;

/// A public key: a point on a curve.
#[derive(Debug, Clone)]
pub(super) enum PublicKey {
    P256(nistp256::VerifyingKey),
    P384(nistp384::VerifyingKey),
    P521(nistp521::VerifyingKey),
}

/// A private key: the scalar that belongs to a point.
#[derive(Clone)]
pub(super) enum PrivateKey {
    P256(nistp256::SigningKey),
    P384(nistp384::SigningKey),
    P521(nistp521::SigningKey),
}

impl PublicKey {
    /// Reads a point in SEC 1 encoding. A point that is not on the curve is rejected.
    pub(super) fn from_point(curve: EcdsaCurve, point: &[u8]) -> Result<PublicKey, KeyError> {
        Ok(match curve {
            EcdsaCurve::NistP256 => PublicKey::P256(nistp256::VerifyingKey::from_sec1_bytes(point)?),
            EcdsaCurve::NistP384 => PublicKey::P384(nistp384::VerifyingKey::from_sec1_bytes(point)?),
            EcdsaCurve::NistP521 => PublicKey::P521(nistp521::VerifyingKey::from_sec1_bytes(point)?),
        })
    }

    pub(super) fn curve(&self) -> EcdsaCurve {
        match self {
            PublicKey::P256(_) => EcdsaCurve::NistP256,
            PublicKey::P384(_) => EcdsaCurve::NistP384,
            PublicKey::P521(_) => EcdsaCurve::NistP521,
        }
    }

    /// Returns the point in uncompressed SEC 1 encoding.
    pub(super) fn point(&self) -> Vec<u8> {
        match self {
            PublicKey::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            PublicKey::P384(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            PublicKey::P521(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    pub(super) fn to_pem(&self) -> Result<String, KeyError> {
        Ok(match self {
            PublicKey::P256(key) => p256::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
            PublicKey::P384(key) => p384::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
            PublicKey::P521(key) => p521::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
        }?)
    }

    /// Returns whether `signature`, in DER, is a valid signature of this digest.
    pub(super) fn verify(&self, digest: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::P256(key) => is_right(key, digest, nistp256::DerSignature::try_from(signature)),
            PublicKey::P384(key) => is_right(key, digest, nistp384::DerSignature::try_from(signature)),
            PublicKey::P521(key) => is_right(key, digest, nistp521::DerSignature::try_from(signature)),
        }
    }
}

fn is_right<S, E>(key: &impl PrehashVerifier<S>, digest: &[u8], signature: Result<S, E>) -> bool {
    signature.is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
}

impl PrivateKey {
    /// Generates a new key over P-256.
    pub(super) fn generate() -> Result<PrivateKey, KeyError> {
        let mut secret = [0; 32];
        loop {
            SystemRandom::new()
                .fill(&mut secret)
                .map_err(|_| KeyError::Crypto("there are no random numbers"))?;
            // Almost no random number is too large for the curve.
            if let Ok(key) = nistp256::SigningKey::from_slice(&secret) {
                return Ok(PrivateKey::P256(key));
            }
        }
    }

    /// Creates a key from its scalar.
    pub(super) fn from_secret(curve: EcdsaCurve, secret: &[u8]) -> Result<PrivateKey, KeyError> {
        Ok(match curve {
            EcdsaCurve::NistP256 => PrivateKey::P256(nistp256::SigningKey::from_slice(secret)?),
            EcdsaCurve::NistP384 => PrivateKey::P384(nistp384::SigningKey::from_slice(secret)?),
            EcdsaCurve::NistP521 => PrivateKey::P521(nistp521::SigningKey::from_slice(secret)?),
        })
    }

    /// Reads an `ECPrivateKey` of SEC 1 that names its curve.
    pub(super) fn from_sec1(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let read = p256::SecretKey::from_sec1_der(der).map(|key| PrivateKey::P256(key.into()));
        let read =
            read.or_else(|_| p384::SecretKey::from_sec1_der(der).map(|key| PrivateKey::P384(key.into())));
        let read =
            read.or_else(|_| p521::SecretKey::from_sec1_der(der).map(|key| PrivateKey::P521(key.into())));
        read.map_err(|_| other_curve())
    }

    /// Reads a key in PKCS #8.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, KeyError> {
        let read = p256::SecretKey::from_pkcs8_der(der).map(|key| PrivateKey::P256(key.into()));
        let read =
            read.or_else(|_| p384::SecretKey::from_pkcs8_der(der).map(|key| PrivateKey::P384(key.into())));
        let read =
            read.or_else(|_| p521::SecretKey::from_pkcs8_der(der).map(|key| PrivateKey::P521(key.into())));
        read.map_err(|_| other_curve())
    }

    /// Writes the key as SEC 1 in PEM.
    pub(super) fn to_pem(&self) -> Result<String, KeyError> {
        let failed = |_| KeyError::Crypto("it cannot be written");
        let pem = match self {
            PrivateKey::P256(key) => {
                p256::SecretKey::from(key.as_nonzero_scalar()).to_sec1_pem(LineEnding::LF)
            }
            PrivateKey::P384(key) => {
                p384::SecretKey::from(key.as_nonzero_scalar()).to_sec1_pem(LineEnding::LF)
            }
            PrivateKey::P521(key) => {
                p521::SecretKey::from(key.as_nonzero_scalar()).to_sec1_pem(LineEnding::LF)
            }
        };
        Ok(pem.map_err(failed)?.to_string())
    }

    pub(super) fn public(&self) -> PublicKey {
        match self {
            PrivateKey::P256(key) => PublicKey::P256(*key.verifying_key()),
            PrivateKey::P384(key) => PublicKey::P384(*key.verifying_key()),
            PrivateKey::P521(key) => PublicKey::P521(*key.verifying_key()),
        }
    }

    /// Returns the signature of a digest, in DER.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match self {
            PrivateKey::P256(key) => signature::<nistp256::DerSignature>(key, digest)?.as_bytes().to_vec(),
            PrivateKey::P384(key) => signature::<nistp384::DerSignature>(key, digest)?.as_bytes().to_vec(),
            PrivateKey::P521(key) => signature::<nistp521::DerSignature>(key, digest)?.as_bytes().to_vec(),
        })
    }
}

fn signature<S>(key: &impl PrehashSigner<S>, digest: &[u8]) -> Result<S, KeyError> {
    Ok(key.sign_prehash(digest)?)
}

fn other_curve() -> KeyError {
    KeyError::Unsupported("ECDSA over another curve".into())
}
