// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! PUT of a directory.

use hyper::StatusCode;

use super::kept_headers;
use crate::manta::answer::{self, Answer};
use crate::manta::call::{Call, Failure};
use crate::manta::store::Entry;

/// PutDirectory. It does nothing if the directory exists with the same headers. It replaces an object of that name, as Manta
/// does.
pub(super) async fn put_directory(call: &Call) -> Result<Answer, Failure> {
    if call.path.is_account() {
        call.refuse_root()?;
    }
    if !call.path.is_root() {
        call.require_parent().await?;
        let headers = kept_headers(&call.head.headers);
        let old = call.store.get(call.key()).await?;
        let same = old.as_ref().is_some_and(|old| old.object.is_none() && old.headers == headers);
        if !same {
            call.put(Entry::directory(headers), None, old.as_ref()).await?;
        }
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
