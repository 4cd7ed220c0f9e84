// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads of blobs, verified while they come.

use bytes::Bytes;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response};
use sha2::Sha256;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::connection::{Answer, Registry};
use super::digest::Digest;
use super::error::RegistryError;
use super::manifest::Descriptor;
use crate::import::FetchError;
use crate::import::client::host;

/// How often a blob is asked for in total, as in 4.13.1.
const MAX_ATTEMPTS: usize = 5;

/// A blob that is being received.
pub(super) struct Blob {
    /// Its length in bytes, if the registry announces it.
    pub(super) length: Option<u64>,
    /// Its bytes. The stream ends with an error unless they have the digest of the blob.
    pub(super) bytes: BoxStream<'static, Result<Bytes, RegistryError>>,
}

/// The state of a download. It goes on where it broke off.
struct Download {
    registry: Registry,
    descriptor: Descriptor,
    what: String,
    limit: u64,
    received: u64,
    hasher: Sha256,
    attempts: usize,
    /// Whether the registry has said that it has no more bytes.
    is_over: bool,
    /// The answer that is being read. Without one the next has to be asked for.
    body: Option<Body>,
}

struct Body {
    host: String,
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    /// How many bytes come first that were received already: some servers ignore ranges.
    known: u64,
    _socket: OwnedSemaphorePermit,
}

impl Registry {
    /// Starts to receive a blob of at most `limit` bytes.
    pub(super) async fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Blob, RegistryError> {
        let mut download = Download {
            registry: self.clone(),
            descriptor: descriptor.clone(),
            what: format!("blob {}", descriptor.digest),
            limit,
            received: 0,
            hasher: Sha256::default(),
            attempts: 0,
            is_over: false,
            body: None,
        };
        let length = loop {
            match download.connect().await {
                Ok(length) => break length,
                Err(error) => download.pause_after(error).await?,
            }
        };
        let bytes = try_unfold(download, |mut download| async move {
            let chunk = download.next().await?;
            Ok(chunk.map(|chunk| (chunk, download)))
        });
        Ok(Blob { length, bytes: bytes.boxed() })
    }

    /// Returns a whole blob of at most `limit` bytes.
    pub(super) async fn small_blob(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut blob = self.blob(descriptor, limit).await?.bytes;
        let mut whole = Vec::new();
        while let Some(chunk) = blob.try_next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

impl Download {
    /// Asks for the bytes that are missing. Returns the length of the whole blob, if the registry announces it.
    async fn connect(&mut self) -> Result<Option<u64>, RegistryError> {
        self.attempts += 1;
        let mut headers = HeaderMap::new();
        if self.received > 0 {
            headers.insert(
                RANGE,
                HeaderValue::try_from(format!("bytes={}-", self.received)).map_err(|_| self.mismatch())?,
            );
        }
        let url = self.registry.url_of("blobs", &self.descriptor.digest.to_string());
        let Answer { response, socket, .. } =
            self.registry.call(Method::GET, url, headers, &self.what).await?;
        let known = match response.status().as_u16() {
            200 => self.received,
            206 if begins_at(&response, self.received) => 0,
            // The length that this answer announces is that of the blob, not its own.
            416 if self.received > 0 => {
                self.is_over = true;
                return Err(self.mismatch());
            }
            206 => {
                return Err(RegistryError::Transfer(FetchError::Unusable {
                    host: host(response.url()),
                    reason: "it sends another range than the one asked for".to_owned(),
                }));
            }
            _ => return Err(self.registry.refused(response, &self.what).await),
        };
        let length = response.content_length();
        if length.is_some_and(|length| length.saturating_add(self.received - known) > self.limit) {
            return Err(self.too_large());
        }
        let host = host(response.url());
        self.body = Some(Body { host, chunks: response.bytes_stream().boxed(), known, _socket: socket });
        Ok(length.filter(|_| self.received == 0))
    }

    /// Returns the next bytes.
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let Some(body) = &mut self.body else {
                if let Err(error) = self.connect().await {
                    self.pause_after(error).await?;
                }
                continue;
            };
            let idle = self.registry.clients().blob_idle;
            let broken = match timeout(idle, body.chunks.next()).await {
                Ok(Some(Ok(chunk))) => match self.add(chunk)? {
                    Some(chunk) => return Ok(Some(chunk)),
                    None => continue,
                },
                Ok(None) => self.mismatch(),
                Ok(Some(Err(error))) => RegistryError::Transfer(FetchError::broken(body.host.clone(), error)),
                Err(_) => {
                    RegistryError::Transfer(FetchError::Timeout { host: body.host.clone(), patience: idle })
                }
            };
            // Even an answer that broke off may have had all bytes.
            if self.is_whole() {
                return Ok(None);
            }
            self.body = None;
            self.pause_after(broken).await?;
        }
    }

    /// Adds the next bytes of the answer, and returns those that are new.
    fn add(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, RegistryError> {
        if let Some(body) = &mut self.body {
            let known = body.known.min(chunk.len() as u64);
            body.known -= known;
            chunk = chunk.split_off(known as usize);
        }
        self.received += chunk.len() as u64;
        if self.received > self.limit {
            return Err(self.too_large());
        }
        sha2::Digest::update(&mut self.hasher, &chunk);
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn is_whole(&self) -> bool {
        Digest::finish(self.hasher.clone()) == self.descriptor.digest
    }

    /// Returns what is wrong with the bytes if they are all that there are.
    fn mismatch(&self) -> RegistryError {
        let (what, expected) = (self.what.clone(), self.descriptor.size);
        if self.received < expected {
            return RegistryError::Truncated { what, received: self.received, expected };
        }
        let (expected, actual) = (self.descriptor.digest, Digest::finish(self.hasher.clone()));
        RegistryError::OtherDigest { what, expected, actual }
    }

    fn too_large(&self) -> RegistryError {
        RegistryError::TooLarge { what: self.what.clone(), limit: self.limit }
    }

    /// Waits a while after an error that may be gone by then; returns every other one.
    async fn pause_after(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let is_temporary = match &error {
            // The answer may have ended too soon without anybody noticing. A range tells whether there is more.
            RegistryError::Truncated { .. } => !self.is_over,
            RegistryError::Transfer(_) => true,
            RegistryError::Connection(error) => {
                !matches!(error, FetchError::Denied { .. } | FetchError::Redirect { .. })
            }
            RegistryError::Refused { status, .. } => *status >= 500,
            _ => false,
        };
        if !is_temporary || self.attempts == MAX_ATTEMPTS {
            return Err(error);
        }
        sleep(self.registry.clients().pause).await;
        Ok(())
    }
}

/// Returns whether a partial answer begins at this byte (RFC 9110, section 14.4).
fn begins_at(response: &Response, start: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok())
        == Some(start)
}
