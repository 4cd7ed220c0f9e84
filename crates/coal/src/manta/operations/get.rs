// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! GET and HEAD of objects, and listings of directories.

use std::fs::File;

use hyper::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName,
    HeaderValue,
};
use hyper::{Method, StatusCode};

use crate::manta::answer::{self, Answer, set};
use crate::manta::call::{Call, Failure};
use crate::manta::conditions::{self, Verdict};
use crate::manta::error::MantaError;
use crate::manta::faults::{MantaFault, Stage};
use crate::manta::store::{Entry, Object};
use crate::manta::{listing, range};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const DURABILITY_LEVEL: HeaderName = HeaderName::from_static("durability-level");
/// An MD5 that no content has.
pub(super) const WRONG_MD5: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

/// GetObject, HeadObject, ListDirectory.
pub(super) async fn get(call: &Call) -> Result<Answer, Failure> {
    if call.path.is_account() {
        return Ok(listing::areas());
    }
    if call.path.is_root() {
        return list(call, None).await;
    }
    let (entry, file) = call.store.open_entry(call.key()).await?.ok_or_else(|| call.not_found())?;
    match (&entry.object, file) {
        (Some(object), Some(file)) => get_object(call, &entry, object, file).await,
        _ => list(call, Some(&entry)).await,
    }
}

async fn list(call: &Call, entry: Option<&Entry>) -> Result<Answer, Failure> {
    let mut answer = match call.head.method {
        Method::HEAD => {
            let mut answer = answer::empty(StatusCode::OK);
            listing::describe(answer.headers_mut(), call.store.count(call.key()).await?);
            answer
        }
        _ => {
            let page = listing::page(&call.head.uri, call.access.is_operator)?;
            let (entries, count) = call.store.list(call.key(), page).await?;
            listing::list(&entries, count)
        }
    };
    if let Some(entry) = entry {
        answer::describe(answer.headers_mut(), entry);
    }
    Ok(answer)
}

async fn get_object(call: &Call, entry: &Entry, object: &Object, file: File) -> Result<Answer, Failure> {
    if !accepts(call.header(ACCEPT.as_str()), &object.content_type) {
        let (path, content_type) = (call.path.to_string(), object.content_type.clone());
        return Err(MantaError::NotAcceptable { path, content_type }.into());
    }
    if conditions::check(&call.head.headers, Some(entry), true)? == Verdict::NotModified {
        let mut answer = answer::empty(StatusCode::NOT_MODIFIED);
        answer::describe(answer.headers_mut(), entry);
        return Ok(answer);
    }
    let is_head = call.head.method == Method::HEAD;
    // Ranges are ignored for an object without content, and for HEAD.
    let part = match is_head || object.size == 0 {
        true => None,
        false => range::requested(&call.head.headers, object.size)?,
    };
    let span = part.clone().unwrap_or(0..object.size);
    let mut answer = match is_head {
        true => answer::empty(StatusCode::OK),
        false => answer::file(file, span.clone(), call.faults.content()).await?,
    };
    if part.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {}-{}/{}", span.start, span.end - 1, object.size);
        set(answer.headers_mut(), CONTENT_RANGE, &content_range);
    } else {
        let md5 = match call.faults.meet(Stage::Download).await {
            Some(MantaFault::WrongContentMd5) => Some(WRONG_MD5),
            Some(MantaFault::NoContentMd5) => None,
            _ => Some(&*object.md5),
        };
        if let Some(md5) = md5 {
            set(answer.headers_mut(), CONTENT_MD5, md5);
        }
        answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    let headers = answer.headers_mut();
    answer::describe(headers, entry);
    set(headers, CONTENT_LENGTH, &(span.end - span.start).to_string());
    set(headers, CONTENT_TYPE, &object.content_type);
    set(headers, DURABILITY_LEVEL, &object.copies.to_string());
    if let Some(disposition) = &object.disposition {
        set(headers, CONTENT_DISPOSITION, disposition);
    }
    Ok(answer)
}

/// Returns whether a media range of `Accept` covers the type. Parameters of the media ranges are ignored.
fn accepts(accept: Option<&str>, content_type: &str) -> bool {
    let Some(accept) = accept else { return true };
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let wanted = essence(content_type);
    let kind = wanted.split('/').next().unwrap_or_default();
    accept
        .split(',')
        .map(essence)
        .any(|range| range == "*/*" || range == wanted || range == format!("{kind}/*"))
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn an_accept_covers_types() {
        for covers in ["*/*", "text/plain", "text/*;q=0.5", "image/png, TEXT/PLAIN"] {
            assert!(accepts(Some(covers), "text/plain; charset=utf-8"), "{covers}");
        }
        assert!(accepts(None, "text/plain"));
        assert!(!accepts(Some("application/json"), "text/plain"));
    }
}
