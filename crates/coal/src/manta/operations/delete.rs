// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! DELETE of an object or an empty directory.

use hyper::StatusCode;

use crate::manta::answer::{self, Answer};
use crate::manta::call::{Call, Failure};
use crate::manta::conditions;

/// DeleteObject, DeleteDirectory.
pub(super) async fn delete(call: &Call) -> Result<Answer, Failure> {
    call.refuse_root()?;
    let entry = call.store.get(call.key()).await?.ok_or_else(|| call.not_found())?;
    if entry.object.is_some() {
        conditions::check(&call.head.headers, Some(&entry), false)?;
    }
    call.delete(&entry).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
