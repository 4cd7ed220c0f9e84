//! Keys, as SSH and OpenSSL write them.

mod ec;
mod private;
mod public;

use openssl::error::ErrorStack;

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
