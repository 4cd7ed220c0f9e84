use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::RsaPrivateKeyBuilder;
use openssl::sign::Signer;
use ssh_key::EcdsaCurve;
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};

use super::{KeyError, digest, fingerprint, group, positive};
use crate::{Algorithm, Family, Hash};

/// A key to sign with. `Debug` shows its kind only.
#[derive(Debug, Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    key: PKey<Private>,
}

impl PrivateKey {
    /// Reads a file as `ssh-keygen` and `openssl` write it: OpenSSH, PKCS #1, SEC 1 or PKCS #8, in PEM.
    ///
    /// # Errors
    /// `Format`, `Unsupported`, `Encrypted`, `Crypto`.
    pub fn from_pem(pem: &str) -> Result<PrivateKey, KeyError> {
        let key = if pem.contains("BEGIN OPENSSH PRIVATE KEY") { openssh(pem)? } else { openssl(pem)? };
        Ok(PrivateKey { algorithm: algorithm_of(&key)?, key })
    }

    /// A new key of the kind that everything in a Triton datacenter reads: ECDSA over P-256.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn generate() -> Result<PrivateKey, KeyError> {
        let key = EcKey::generate(&*group(EcdsaCurve::NistP256)?)?;
        let key = PKey::from_ec_key(key)?;
        Ok(PrivateKey { algorithm: algorithm_of(&key)?, key })
    }

    /// The key in PEM without a passphrase, as old readers of it know it: SEC 1 for ECDSA, PKCS #1 for RSA, and PKCS #8 for
    /// Ed25519.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = match self.key.id() {
            Id::EC => self.key.ec_key()?.private_key_to_pem()?,
            Id::RSA => self.key.rsa()?.private_key_to_pem()?,
            _ => self.key.private_key_to_pem_pkcs8()?,
        };
        String::from_utf8(pem).map_err(|error| KeyError::Format(error.to_string()))
    }

    /// Its public part as a line of `~/.ssh/*.pub`.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn public_openssh(&self, comment: &str) -> Result<String, KeyError> {
        fingerprint::line(&self.key, comment)
    }

    /// What this key signs with: a hash that fits its size.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What `ssh-keygen -E md5 -l` prints of its public part behind `MD5:`, the name that Manta knows a key by.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn md5_fingerprint(&self) -> Result<String, KeyError> {
        fingerprint::md5(&self.key)
    }

    /// What `ssh-keygen -l` prints of its public part behind `SHA256:`.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn sha256_fingerprint(&self) -> Result<String, KeyError> {
        fingerprint::sha256(&self.key)
    }

    /// The signature of a message. Takes up to some milliseconds.
    ///
    /// # Errors
    /// `Crypto`.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signer = match self.algorithm.family {
            Family::Ed25519 => Signer::new_without_digest(&self.key)?,
            Family::Rsa | Family::Ecdsa => Signer::new(digest(self.algorithm.hash), &self.key)?,
        };
        Ok(signer.sign_oneshot_to_vec(message)?)
    }
}

fn algorithm_of(key: &PKey<Private>) -> Result<Algorithm, KeyError> {
    let (family, hash) = match key.id() {
        Id::RSA => (Family::Rsa, Hash::Sha256),
        Id::ED25519 => (Family::Ed25519, Hash::Sha512),
        Id::EC => match key.ec_key()?.group().curve_name() {
            Some(Nid::X9_62_PRIME256V1) => (Family::Ecdsa, Hash::Sha256),
            // Many servers know no SHA-384.
            Some(Nid::SECP384R1 | Nid::SECP521R1) => (Family::Ecdsa, Hash::Sha512),
            _ => return Err(KeyError::Unsupported("ECDSA over another curve".into())),
        },
        _ => return Err(KeyError::Unsupported("another than RSA, ECDSA and Ed25519".into())),
    };
    Ok(Algorithm { family, hash })
}

fn openssl(pem: &str) -> Result<PKey<Private>, KeyError> {
    let mut asked = false;
    // Without a callback the library would ask on the terminal.
    let key = PKey::private_key_from_pem_callback(pem.as_bytes(), |_| {
        asked = true;
        Err(ErrorStack::get())
    });
    key.map_err(|error| if asked { KeyError::Encrypted } else { error.into() })
}

fn openssh(pem: &str) -> Result<PKey<Private>, KeyError> {
    // A template leaves a blank line at the end, which is too much for this reader.
    let key = ssh_key::PrivateKey::from_openssh(pem.trim())?;
    match key.key_data() {
        KeypairData::Rsa(pair) => rsa(pair),
        KeypairData::Ecdsa(pair) => ecdsa(pair),
        KeypairData::Ed25519(pair) => {
            Ok(PKey::private_key_from_raw_bytes(&pair.private.to_bytes(), Id::ED25519)?)
        }
        KeypairData::Encrypted(_) => Err(KeyError::Encrypted),
        _ => Err(KeyError::Unsupported(key.algorithm().to_string())),
    }
}

fn rsa(pair: &RsaKeypair) -> Result<PKey<Private>, KeyError> {
    let private = &pair.private;
    let (n, e, d) = (positive(&pair.public.n)?, positive(&pair.public.e)?, positive(&private.d)?);
    let (p, q, iqmp) = (positive(&private.p)?, positive(&private.q)?, positive(&private.iqmp)?);
    // OpenSSH leaves out the two exponents that make signing fast.
    let exponent = |prime: &BigNum| {
        let (mut less_one, mut exponent) = (BigNum::from_slice(&prime.to_vec())?, BigNum::new()?);
        less_one.sub_word(1)?;
        exponent.nnmod(&d, &less_one, &mut *BigNumContext::new()?)?;
        Ok::<_, ErrorStack>(exponent)
    };
    let (dp, dq) = (exponent(&p)?, exponent(&q)?);
    let builder = RsaPrivateKeyBuilder::new(n, e, d)?.set_factors(p, q)?;
    Ok(PKey::from_rsa(builder.set_crt_params(dp, dq, iqmp)?.build())?)
}

fn ecdsa(pair: &EcdsaKeypair) -> Result<PKey<Private>, KeyError> {
    let group = group(pair.curve())?;
    let secret = BigNum::from_slice(pair.private_key_bytes())?;
    let point = EcPoint::from_bytes(&group, pair.public_key_bytes(), &mut *BigNumContext::new()?)?;
    let key = EcKey::from_private_components(&group, &secret, &point)?;
    key.check_key()?;
    Ok(PKey::from_ec_key(key)?)
}
