// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

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
