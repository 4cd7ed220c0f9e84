// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http_signature::Refusal;

/// Why the sender of a request could not be authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The request has no credentials.
    #[error("authorization is required")]
    Missing,
    /// The signature has a wrong form or time, or does not cover the required parts.
    #[error(transparent)]
    Signature(#[from] Refusal),
    /// The credentials of Basic authentication have a wrong form.
    #[error("the authorization must be Basic, with a name and a password")]
    Form,
    /// There is no such user, or the key or password is wrong. Clients are not told which.
    #[error("there is no such user, or the key or password is wrong")]
    Wrong,
    /// Too many requests are being authenticated.
    #[error("too many requests are being authenticated")]
    Busy,
}
