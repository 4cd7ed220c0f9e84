// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use http_signature::Refusal;

/// Why it is not known who sent a request.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It does not say.
    #[error("authorization is required")]
    Missing,
    /// The signature has the wrong form or time, or leaves out what has to be signed.
    #[error(transparent)]
    Signature(#[from] Refusal),
    /// What should be a name and a password has the wrong form.
    #[error("the authorization must be Basic, with a name and a password")]
    Form,
    /// There is no such user, or the key or password is another one. Which of these it is, is nobody's business.
    #[error("there is no such user, or the key or password is wrong")]
    Wrong,
    /// Too many requests want to know it at the same time.
    #[error("too many requests are being authenticated")]
    Busy,
}
