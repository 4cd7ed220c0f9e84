// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Signed JSON as Docker's schema 1 manifests have it: a JSON object with the member `signatures` added at its end. Each signature
//! says how long the signed text is without that member. The keys are in the text itself, so signatures do not
//! tell who has signed, only that nothing was changed afterwards.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

use super::bounded::Bounded;

const MAX_SIGNATURES: usize = 8;

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    signatures: Bounded<Signature, MAX_SIGNATURES>,
}

#[derive(Deserialize)]
struct Signature {
    header: Header,
    protected: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    jwk: Key,
}

/// A public key (RFC 7518): `x` and `y` of an elliptic curve, `n` and `e` of RSA.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Key {
    crv: String,
    x: String,
    y: String,
    n: String,
    e: String,
}

#[derive(Deserialize)]
struct Protected {
    #[serde(rename = "formatLength")]
    length: usize,
    #[serde(rename = "formatTail")]
    tail: String,
}

/// Returns the signed part of the text. At least one signature is needed, and all must be valid and for the same part.
pub(super) fn verified(text: &str) -> Result<Vec<u8>, String> {
    let signed: Signed = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut found: Option<Vec<u8>> = None;
    for signature in &signed.signatures.0 {
        let part = signature.verify(text).ok_or("a signature is wrong, or of an unknown kind")?;
        if found.as_ref().is_some_and(|found| *found != part) {
            return Err("its signatures are for different texts".to_owned());
        }
        found = Some(part);
    }
    found.ok_or_else(|| "it is not signed".to_owned())
}

impl Signature {
    /// Returns the signed part of the text if the signature is valid.
    fn verify(&self, text: &str) -> Option<Vec<u8>> {
        let protected: Protected = serde_json::from_slice(&decode(&self.protected)?).ok()?;
        let mut part = text.as_bytes().get(..protected.length)?.to_vec();
        part.extend(decode(&protected.tail)?);
        let message = format!("{}.{}", self.protected, URL_SAFE_NO_PAD.encode(&part));
        self.header.is_valid(message.as_bytes(), &decode(&self.signature)?).then_some(part)
    }
}

impl Header {
    fn is_valid(&self, message: &[u8], signature: &[u8]) -> bool {
        match (self.alg.as_str(), self.jwk.crv.as_str()) {
            ("ES256", "P-256") => {
                self.jwk.is_valid_on_curve(&ECDSA_P256_SHA256_FIXED, 32, message, signature)
            }
            ("ES384", "P-384") => {
                self.jwk.is_valid_on_curve(&ECDSA_P384_SHA384_FIXED, 48, message, signature)
            }
            ("RS256", _) => self.jwk.is_valid_with_rsa(message, signature).is_some(),
            _ => false,
        }
    }
}

impl Key {
    fn is_valid_on_curve(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        length: usize,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let (Some(x), Some(y)) = (decode(&self.x), decode(&self.y)) else { return false };
        // Coordinates may have been written without their leading zeros.
        let padded = |coordinate: Vec<u8>| {
            let zeros = length.checked_sub(coordinate.len())?;
            Some([vec![0; zeros], coordinate].concat())
        };
        let (Some(x), Some(y)) = (padded(x), padded(y)) else { return false };
        // SEC 1, section 2.3.3: an uncompressed point.
        let point = [vec![4], x, y].concat();
        UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
    }

    fn is_valid_with_rsa(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let key = RsaPublicKeyComponents { n: decode(&self.n)?, e: decode(&self.e)? };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).ok()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}
