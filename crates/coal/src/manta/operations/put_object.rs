// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! PUT of an object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};

use super::get::WRONG_MD5;
use super::{kept_headers, upload};
use crate::manta::answer::{self, Answer, set};
use crate::manta::call::{Call, Failure};
use crate::manta::conditions;
use crate::manta::error::MantaError;
use crate::manta::faults::{MantaFault, Stage};
use crate::manta::store::{Entry, Object};

const COMPUTED_MD5: HeaderName = HeaderName::from_static("computed-md5");
/// Default maximum length of an object of unknown length, in bytes: 50 GiB.
const DEFAULT_MAX_LENGTH: u64 = 51_200 << 20;
const DEFAULT_COPIES: u32 = 2;
const MAX_COPIES: u32 = 6;

/// The sender's announcements about the content.
struct Announced {
    max_length: u64,
    md5: Option<String>,
    copies: u32,
}

/// PutObject. hyper sends `100 Continue` when the body is first read. That happens only after everything else was found to be
/// valid.
pub(super) async fn put_object(call: &Call, body: Incoming) -> Result<Answer, Failure> {
    let old = call.store.get(call.key()).await?;
    conditions::check(&call.head.headers, old.as_ref(), false)?;
    call.refuse_root()?;
    let announced = Announced::read(call, body.size_hint().exact())?;
    call.refuse_directory(old.as_ref())?;
    call.require_parent().await?;
    if call.faults.meet(Stage::Accept).await.is_some() {
        return Err(MantaError::NotEnoughSpace.into());
    }

    let (content, size) = upload::receive(call, body, announced.max_length).await?;
    if let Some(expected) = announced.md5.filter(|expected| *expected != content.md5) {
        return Err(MantaError::ContentMd5Mismatch { expected, actual: content.md5 }.into());
    }
    let object = Object {
        etag: content.etag.clone(),
        size,
        md5: content.md5.clone(),
        content_type: call.header(CONTENT_TYPE.as_str()).unwrap_or("application/octet-stream").to_owned(),
        disposition: call.header(CONTENT_DISPOSITION.as_str()).map(str::to_owned),
        copies: announced.copies,
    };
    let new = Entry::object(object, kept_headers(&call.head.headers));
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    answer::describe(answer.headers_mut(), &new);
    let fault = call.faults.meet(Stage::Uploaded).await;
    if fault == Some(MantaFault::UploadTimeout) {
        return Err(MantaError::UploadTimeout.into());
    }
    let md5 = if fault == Some(MantaFault::WrongComputedMd5) { WRONG_MD5 } else { &content.md5 };
    set(answer.headers_mut(), COMPUTED_MD5, md5);
    call.put(new, Some(content), old.as_ref()).await?;
    Ok(answer)
}

impl Announced {
    fn read(call: &Call, length: Option<u64>) -> Result<Self, MantaError> {
        let max_length = match (length, call.header("max-content-length")) {
            (Some(length), _) => length,
            (None, None) => DEFAULT_MAX_LENGTH,
            (None, Some(text)) => {
                text.parse().map_err(|_| MantaError::InvalidMaxContentLength(text.to_owned()))?
            }
        };
        let copies = match call.header("durability-level").or(call.header("x-durability-level")) {
            None => DEFAULT_COPIES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|copies| (1..=MAX_COPIES).contains(copies))
                .ok_or(MantaError::InvalidDurabilityLevel(1, MAX_COPIES))?,
        };
        let md5 = call.header("content-md5").map(str::to_owned);
        if let Some(text) = &md5
            && STANDARD.decode(text).map_or(0, |bytes| bytes.len()) != 16
        {
            return Err(MantaError::BadRequest("Content-MD5 invalid"));
        }
        Ok(Self { max_length, md5, copies })
    }
}
