#![doc = include_str!("../README.md")]

mod algorithm;
mod authorization;
mod key;
mod request;
mod sign;
mod verify;

pub use algorithm::{Algorithm, Family, Hash, UnknownAlgorithm};
pub use authorization::{Authorization, MAX_AUTHORIZATION, Malformed};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use request::{Head, MissingHeader};
pub use sign::{SignError, Signer};
pub use verify::{DEFAULT_CLOCK_SKEW, Policy, Refusal, SignedRequest};
