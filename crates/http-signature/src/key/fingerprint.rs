use openssl::base64;
use openssl::bn::{BigNumContext, BigNumRef};
use openssl::ec::{EcKeyRef, PointConversionForm};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey};

use super::KeyError;

/// The MD5 of a key's public part as SSH sends it (RFC 4253, section 6.6; RFC 5656; RFC 8709), in pairs of hexadecimal
/// digits with colons between.
pub(super) fn md5<T: HasPublic>(key: &PKey<T>) -> Result<String, KeyError> {
    let digest = hash(MessageDigest::md5(), &blob(key)?)?;
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(pairs.join(":"))
}

/// Its SHA-256 in base64 without padding.
pub(super) fn sha256<T: HasPublic>(key: &PKey<T>) -> Result<String, KeyError> {
    let digest = hash(MessageDigest::sha256(), &blob(key)?)?;
    Ok(base64::encode_block(&digest).trim_end_matches('=').to_owned())
}

/// The public part as it stands in `~/.ssh/*.pub`.
pub(super) fn line<T: HasPublic>(key: &PKey<T>, comment: &str) -> Result<String, KeyError> {
    let blob = blob(key)?;
    // The first string of the blob names the kind.
    let kind = blob.get(4..).and_then(|rest| rest.get(..usize::from(*blob.get(3)?)));
    let kind = kind.map(String::from_utf8_lossy).unwrap_or_default();
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = format!("{kind} {} {comment}", base64::encode_block(&blob).replace('\n', ""));
    Ok(line.trim_end().to_owned())
}

fn blob<T: HasPublic>(key: &PKey<T>) -> Result<Vec<u8>, KeyError> {
    match key.id() {
        Id::RSA => {
            let rsa = key.rsa()?;
            Ok(strings(&[b"ssh-rsa", &positive(rsa.e()), &positive(rsa.n())]))
        }
        Id::ED25519 => Ok(strings(&[b"ssh-ed25519", &key.raw_public_key()?])),
        Id::EC => ecdsa(&*key.ec_key()?),
        _ => Err(KeyError::Unsupported("another than RSA, ECDSA and Ed25519".into())),
    }
}

fn ecdsa<T: HasPublic>(key: &EcKeyRef<T>) -> Result<Vec<u8>, KeyError> {
    let group = key.group();
    let curve = match group.curve_name() {
        Some(Nid::X9_62_PRIME256V1) => "nistp256",
        Some(Nid::SECP384R1) => "nistp384",
        Some(Nid::SECP521R1) => "nistp521",
        _ => return Err(KeyError::Unsupported("ECDSA over another curve".into())),
    };
    let mut context = BigNumContext::new()?;
    let point = key.public_key().to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut context)?;
    let kind = format!("ecdsa-sha2-{curve}");
    Ok(strings(&[kind.as_bytes(), curve.as_bytes(), &point]))
}

/// SSH writes numbers with their sign: a zero byte keeps a high first bit from being one.
fn positive(number: &BigNumRef) -> Vec<u8> {
    let mut bytes = number.to_vec();
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    bytes
}

/// Each with its length before it. Parts of a key are far shorter than four gigabytes.
fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
