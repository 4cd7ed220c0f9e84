use openssl::ec::EcGroup;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use ssh_key::EcdsaCurve;

use crate::Hash;

/// The group of a curve.
pub(super) fn group(curve: EcdsaCurve) -> Result<EcGroup, ErrorStack> {
    EcGroup::from_curve_name(match curve {
        EcdsaCurve::NistP256 => Nid::X9_62_PRIME256V1,
        EcdsaCurve::NistP384 => Nid::SECP384R1,
        EcdsaCurve::NistP521 => Nid::SECP521R1,
    })
}

/// The hash as the library has it.
pub(super) fn digest(hash: Hash) -> MessageDigest {
    match hash {
        Hash::Sha1 => MessageDigest::sha1(),
        Hash::Sha256 => MessageDigest::sha256(),
        Hash::Sha384 => MessageDigest::sha384(),
        Hash::Sha512 => MessageDigest::sha512(),
    }
}
