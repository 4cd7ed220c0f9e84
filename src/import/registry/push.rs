// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is sent to a registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method, Request, Response};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::connection::Registry;
use super::digest::Digest;
use super::error::RegistryError;
use super::reference::Revision;
use crate::import::FetchError;
use crate::import::client::host;

/// Registries read a form type as a form.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// How often an upload is sent if the registry wants another token for it.
const TURNS: usize = 2;

impl Registry {
    /// Returns whether the repository has a blob.
    ///
    /// # Errors
    /// The registry does not say.
    pub async fn has_blob(&self, digest: Digest) -> Result<bool, RegistryError> {
        let what = format!("blob {digest}");
        let url = self.url_of("blobs", &digest.to_string());
        let answer = self.call(Method::HEAD, url, HeaderMap::new(), &what).await?;
        match answer.response.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(answer.response, &what).await),
        }
    }

    /// Sends a blob in one piece. `open` returns its bytes; it is called again if the registry wants another token first.
    ///
    /// # Errors
    /// The bytes cannot be read, or the registry does not take them.
    pub async fn upload_blob<F, S, E>(
        &self,
        digest: Digest,
        length: u64,
        mut open: impl FnMut() -> F,
    ) -> Result<(), E>
    where
        F: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: From<RegistryError> + Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let what = format!("blob {digest}");
        for turn in 1..=TURNS {
            let url = self.start_upload(digest, &what).await?;
            let used = self.authorization().await;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, OCTETS);
            headers.insert(CONTENT_LENGTH, length.into());
            let authorization = used.as_ref().filter(|_| self.is_home(&url));
            let request = self.request(&Method::PUT, &url, &headers, authorization);
            let response = self.send_stream(request, open().await?).await?;
            match response.status().as_u16() {
                201 => return Ok(()),
                401 if turn < TURNS && self.is_home(&url) => {
                    self.authorize(&response, used.as_ref(), &what).await?;
                }
                _ => return Err(self.refused(response, &what).await.into()),
            }
        }
        Err(self.unauthorized(&what).into())
    }

    /// Starts an upload, and returns the URL for its bytes.
    async fn start_upload(&self, digest: Digest, what: &str) -> Result<Url, RegistryError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let url = self.url_of("blobs/uploads", "");
        let answer = self.call(Method::POST, url.clone(), headers, what).await?;
        if answer.response.status() != 202 {
            return Err(self.refused(answer.response, what).await);
        }
        let mut url = self.location(&url, &answer.response).map_err(RegistryError::Connection)?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        Ok(url)
    }

    /// Sends a request with these bytes, for as long as some move.
    async fn send_stream<S, E>(&self, mut request: Request, bytes: S) -> Result<Response, RegistryError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let _socket = self.clients().socket().await.map_err(RegistryError::Connection)?;
        let host = host(request.url());
        let moved = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&moved);
        let counted = bytes.inspect_ok(move |chunk| {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        });
        *request.body_mut() = Some(Body::wrap_stream(counted));
        let idle = self.clients().idle;
        tokio::select! {
            response = self.clients().send_slowly(request) => response.map_err(RegistryError::Connection),
            () = stalled(&moved, idle) => {
                Err(RegistryError::Transfer(FetchError::Timeout { host, patience: idle }))
            }
        }
    }

    /// Stores a manifest.
    ///
    /// # Errors
    /// The registry does not take it, for example because a blob is missing.
    pub async fn put_manifest(
        &self,
        revision: &Revision,
        media_type: &str,
        text: String,
    ) -> Result<(), RegistryError> {
        let what = format!("manifest of {}:{revision}", self.repository().canonical_name());
        let unusable = || RegistryError::Invalid(format!("{media_type:?} is no media type"));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, media_type.parse().map_err(|_| unusable())?);
        let url = self.url_of("manifests", &revision.to_string());
        let text = Bytes::from(text);
        for turn in 1..=TURNS {
            let used = self.authorization().await;
            let request = || {
                let mut request = self.request(&Method::PUT, &url, &headers, used.as_ref());
                *request.body_mut() = Some(text.clone().into());
                request
            };
            let response = self.patiently(request).await?;
            match response.status().as_u16() {
                200..=204 => return Ok(()),
                401 if turn < TURNS => self.authorize(&response, used.as_ref(), &what).await?,
                _ => return Err(self.refused(response, &what).await),
            }
        }
        Err(self.unauthorized(&what))
    }
}

/// Waits until the counter has not changed for this time.
async fn stalled(counter: &AtomicU64, idle: Duration) {
    let mut last = counter.load(Ordering::Relaxed);
    loop {
        sleep_until(Instant::now() + idle).await;
        let now = counter.load(Ordering::Relaxed);
        if now == last {
            return;
        }
        last = now;
    }
}
