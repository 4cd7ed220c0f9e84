// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::str::FromStr;

/// The kind of key that makes a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// RSA with PKCS #1 v1.5 padding.
    Rsa,
    /// ECDSA over a NIST curve; signatures are in DER.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// The hash function that is applied to a message before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1. Only for RSA, where old clients use it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384. Only for ECDSA, where some clients use it with P-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A signature algorithm as the header names it, such as `rsa-sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Algorithm {
    /// The kind of key.
    pub family: Family,
    /// The hash function.
    pub hash: Hash,
}

/// The algorithm is not supported; HMAC and DSA are examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the algorithm is not supported")]
pub struct UnknownAlgorithm;

/// All algorithms and their names. Ed25519 hashes by itself; its name is the one that npm `http-signature` uses.
const NAMES: [(&str, Algorithm); 7] = [
    ("rsa-sha1", Algorithm { family: Family::Rsa, hash: Hash::Sha1 }),
    ("rsa-sha256", Algorithm { family: Family::Rsa, hash: Hash::Sha256 }),
    ("rsa-sha512", Algorithm { family: Family::Rsa, hash: Hash::Sha512 }),
    ("ecdsa-sha256", Algorithm { family: Family::Ecdsa, hash: Hash::Sha256 }),
    ("ecdsa-sha384", Algorithm { family: Family::Ecdsa, hash: Hash::Sha384 }),
    ("ecdsa-sha512", Algorithm { family: Family::Ecdsa, hash: Hash::Sha512 }),
    ("ed25519-sha512", Algorithm { family: Family::Ed25519, hash: Hash::Sha512 }),
];

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Parses a name. Case does not matter.
    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, algorithm)| *algorithm).ok_or(UnknownAlgorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, algorithm)| algorithm == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_in_lower_case() {
        for (name, algorithm) in NAMES {
            assert_eq!(name.to_uppercase().parse(), Ok(algorithm));
            assert_eq!(algorithm.to_string(), name);
        }
    }

    #[test]
    fn other_algorithms_are_refused() {
        for name in
            ["", "rsa", "hmac-sha256", "dsa-sha1", "ecdsa-sha1", "ed25519-sha256", "hs2019", " rsa-sha1"]
        {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
        }
    }
}
