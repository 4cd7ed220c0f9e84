// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! RSA for key sizes that ring does not support: signing with fewer than 2048 or more than 4096 bits, verifying with more than
//! 8192. Old accounts have such keys. The running time depends only on the lengths of the key's numbers, not on their secret
//! values.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, NonZero, Odd};

use super::KeyError;
use super::rsa::PublicKey;
use crate::Hash;

/// Returns the DER prefix that names the hash before a digest (RFC 8017, section 9.2, note 1).
fn digest_info(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        Hash::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        Hash::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        Hash::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// Returns the padded digest that is signed. It is as long as the modulus (EMSA-PKCS1-v1_5).
fn padded(hash: Hash, message: &[u8], length: usize) -> Vec<u8> {
    let info = [digest_info(hash), &super::digest(hash, message)].concat();
    // The shortest modulus has 128 bytes, and the longest info 83.
    let filling = vec![0xff; length.saturating_sub(info.len() + 3)];
    [&[0, 1], filling.as_slice(), &[0], &info].concat()
}

/// Returns whether the signature is valid for this message.
pub(super) fn verify(key: &PublicKey, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let number = (signature.len() == key.n.len()).then(|| Modulus::new(&key.n).ok()).flatten();
    let opened = number.and_then(|modulus| modulus.power(signature, &key.e));
    opened.is_some_and(|opened| opened == padded(hash, message, key.n.len()))
}

/// A private key that signs with its private exponent.
pub(super) struct PrivateKey {
    modulus: Modulus,
    d: Vec<u8>,
    public: PublicKey,
}

impl PrivateKey {
    pub(super) fn new(public: &PublicKey, d: &[u8]) -> Result<PrivateKey, KeyError> {
        Ok(PrivateKey { modulus: Modulus::new(&public.n)?, d: d.to_vec(), public: public.clone() })
    }

    pub(super) fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let padded = padded(hash, message, self.public.n.len());
        let signature = self.modulus.power(&padded, &self.d);
        // A wrong signature would reveal information about the key.
        let signature = signature.filter(|signature| verify(&self.public, hash, message, signature));
        signature.ok_or(KeyError::Crypto("its numbers do not belong together"))
    }
}

/// Returns the private exponent reduced for one prime: `d mod (p - 1)`.
pub(super) fn short_exponent(d: &[u8], prime: &[u8]) -> Result<Vec<u8>, KeyError> {
    let less_one = BoxedUint::from_be_slice_vartime(prime).wrapping_sub(BoxedUint::one());
    let less_one = NonZero::new(less_one).into_option().ok_or(KeyError::Crypto("it has no prime"))?;
    let short = BoxedUint::from_be_slice_vartime(d).rem(&less_one).to_be_bytes();
    let zeros = short.iter().take_while(|byte| **byte == 0).count();
    Ok(short[zeros..].to_vec())
}

/// A modulus, prepared for Montgomery multiplication.
struct Modulus {
    params: BoxedMontyParams,
    bytes: usize,
}

impl Modulus {
    fn new(n: &[u8]) -> Result<Modulus, KeyError> {
        let odd = Odd::new(BoxedUint::from_be_slice_vartime(n)).into_option();
        let params = BoxedMontyParams::new_vartime(odd.ok_or(KeyError::Crypto("its modulus is even"))?);
        Ok(Modulus { params, bytes: n.len() })
    }

    /// Returns `base` to the power of `exponent`, in as many bytes as the modulus has; `None` if `base` is not below the modulus.
    fn power(&self, base: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
        let base = BoxedUint::from_be_slice(base, self.params.bits_precision()).ok()?;
        if base >= *self.params.modulus().as_ref() {
            return None;
        }
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let power = BoxedMontyForm::new(base, &self.params).pow(&exponent).retrieve().to_be_bytes();
        power.get(power.len() - self.bytes..).map(<[u8]>::to_vec)
    }
}
