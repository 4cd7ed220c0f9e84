use openssl::bn::BigNumContext;
use openssl::ec::{EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use ssh_key::public::{EcdsaPublicKey, KeyData, RsaPublicKey};

use super::{KeyError, digest, fingerprint, group, positive};
use crate::{Algorithm, Family};

/// Shorter keys are broken, longer ones take too long.
const RSA_BITS: std::ops::RangeInclusive<u32> = 1024..=16384;

/// A key to verify with.
#[derive(Debug, Clone)]
pub struct PublicKey {
    family: Family,
    key: PKey<Public>,
}

impl PublicKey {
    /// Reads a line as it stands in `~/.ssh/*.pub`: kind, base64, and perhaps a comment.
    ///
    /// # Errors
    /// Everything but `Encrypted`.
    pub fn from_openssh(line: &str) -> Result<PublicKey, KeyError> {
        let key = ssh_key::PublicKey::from_openssh(line.trim())?;
        let (family, key) = match key.key_data() {
            KeyData::Rsa(key) => (Family::Rsa, rsa(key)?),
            KeyData::Ecdsa(key) => (Family::Ecdsa, ecdsa(key)?),
            KeyData::Ed25519(key) => {
                (Family::Ed25519, PKey::public_key_from_raw_bytes(key.as_ref(), Id::ED25519)?)
            }
            other => return Err(KeyError::Unsupported(other.algorithm().to_string())),
        };
        Ok(PublicKey { family, key })
    }

    /// What `ssh-keygen -E md5 -l` prints behind `MD5:`.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn md5_fingerprint(&self) -> Result<String, KeyError> {
        fingerprint::md5(&self.key)
    }

    /// What `ssh-keygen -l` prints behind `SHA256:`.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn sha256_fingerprint(&self) -> Result<String, KeyError> {
        fingerprint::sha256(&self.key)
    }

    /// The key in PEM, as `ssh-keygen -e -m PKCS8` prints it.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        String::from_utf8(self.key.public_key_to_pem()?).map_err(|error| KeyError::Format(error.to_string()))
    }

    /// Whether this key made the signature. Never, if the algorithm is of another family than the key.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        // What the library cannot make sense of is no signature.
        algorithm.family == self.family && self.check(algorithm, message, signature).unwrap_or(false)
    }

    fn check(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
        let mut verifier = match self.family {
            Family::Ed25519 => Verifier::new_without_digest(&self.key)?,
            Family::Rsa | Family::Ecdsa => Verifier::new(digest(algorithm.hash), &self.key)?,
        };
        verifier.verify_oneshot(signature, message)
    }
}

fn rsa(key: &RsaPublicKey) -> Result<PKey<Public>, KeyError> {
    let (n, e) = (positive(&key.n)?, positive(&key.e)?);
    let bits = n.num_bits().unsigned_abs();
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    Ok(PKey::from_rsa(Rsa::from_public_components(n, e)?)?)
}

fn ecdsa(key: &EcdsaPublicKey) -> Result<PKey<Public>, KeyError> {
    let group = group(key.curve())?;
    let point = EcPoint::from_bytes(&group, key.as_sec1_bytes(), &mut *BigNumContext::new()?)?;
    let key = EcKey::from_public_key(&group, &point)?;
    key.check_key()?;
    Ok(PKey::from_ec_key(key)?)
}
