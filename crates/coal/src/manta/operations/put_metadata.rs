// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `PUT …?metadata=true`: replaces the headers of an entry.

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;

use super::kept_headers;
use crate::manta::answer::{self, Answer};
use crate::manta::call::{Call, Failure};
use crate::manta::conditions;
use crate::manta::error::MantaError;
use crate::manta::store::Entry;

/// Headers that would change the content. A `content-length` counts even if it is 0.
const FIXED: [&str; 3] = ["content-length", "content-md5", "durability-level"];

/// PutMetadata. It replaces the headers of an entry and keeps its content and etag.
pub(super) async fn put_metadata(call: &Call) -> Result<Answer, Failure> {
    let old = call.store.get(call.key()).await?;
    conditions::check(&call.head.headers, old.as_ref(), false)?;
    call.refuse_root()?;
    if let Some(name) = FIXED.into_iter().find(|name| call.head.headers.contains_key(*name)) {
        return Err(MantaError::InvalidUpdate(name).into());
    }
    let old = old.ok_or_else(|| call.not_found())?;
    let mut new = Entry { object: old.object.clone(), ..Entry::directory(kept_headers(&call.head.headers)) };
    if let (Some(object), Some(content_type)) = (&mut new.object, call.header(CONTENT_TYPE.as_str())) {
        content_type.clone_into(&mut object.content_type);
    }
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    answer::describe(answer.headers_mut(), &new);
    call.put(new, None, Some(&old)).await?;
    Ok(answer)
}
