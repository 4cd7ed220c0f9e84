// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Implements `imgadm create --publish` on a server.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Body, Client, Method, RequestBuilder};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use thiserror::Error;

use super::manifest::complete;
use super::server::Server;
use super::tasks::Order;
use crate::vmapi::{Fleet, Vm, VmState};

/// Size of an image's file before compression, in bytes.
const FILE_SIZE: usize = 512 << 10;
/// Number of pieces in which the file is sent.
const PIECES: usize = 8;
/// Timeout of a request to IMGAPI.
const DEADLINE: Duration = Duration::from_secs(600);
/// Maximum length of a chain of origins.
const MAX_ORIGINS: usize = 100;

/// `imgadm` of all servers.
#[derive(Debug, Clone)]
pub(super) struct Imgadm {
    client: Client,
    fleet: Fleet,
}

/// An error of `imgadm`: a code for programs and a message for people.
#[derive(Debug, Error)]
#[error("{code}: {message}")]
pub(super) struct ImgadmError {
    code: String,
    message: String,
}

impl ImgadmError {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// Returns the error as `imgadm -E` prints it.
    pub(super) fn to_json(&self) -> String {
        json!({"code": self.code, "message": self.message}).to_string()
    }
}

impl From<reqwest::Error> for ImgadmError {
    fn from(error: reqwest::Error) -> Self {
        Self::new("ClientError", error.to_string())
    }
}

/// Returns the file of an image that is created from the machine. It is compressed with gzip, and always the same.
///
/// # Errors
///
/// It never fails, because it only writes to memory.
pub fn vm_file(vm: &str, incremental: bool) -> io::Result<Vec<u8>> {
    // Any content that depends on the machine would do. Digests of a counter do not compress.
    let seed = format!("{vm} {}", if incremental { "incremental" } else { "full" });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in 0..FILE_SIZE / 20 {
        gzip.write_all(Sha1::digest(format!("{seed} {piece}").as_bytes()).as_slice())?;
    }
    gzip.finish()
}

impl Imgadm {
    /// Creates an `imgadm` for the machines of this fleet.
    pub(super) fn new(fleet: Fleet) -> io::Result<Self> {
        crate::net::use_ring();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("imgadm/3.9.4 (node/0.10.48; OpenSSL/1.0.2o)"));
        headers.insert(HeaderName::from_static("accept-version"), HeaderValue::from_static("~2"));
        let client = Client::builder().no_proxy().timeout(DEADLINE).default_headers(headers).build();
        Ok(Self { client: client.map_err(io::Error::other)?, fleet })
    }

    /// Creates an image of the machine and publishes it.
    pub(super) async fn create(
        &self,
        server: &Server,
        vm: &Vm,
        order: Order,
        die_half_way: bool,
    ) -> Result<(), ImgadmError> {
        // The state is checked only now, because the machine may have been started since the request.
        let state = self.fleet.vm(&vm.uuid).map(|vm| vm.state);
        let is_prepared = order.prepare_image_script.as_deref().is_some_and(|script| !script.is_empty());
        match state {
            Some(VmState::Stopped) => self.create_of_stopped(server, vm, order, die_half_way).await,
            // The machine is stopped for the preparation and started again afterwards, whatever the result. The script itself is
            // not run.
            Some(VmState::Running) if is_prepared => {
                self.fleet.set_state(&vm.uuid, VmState::Stopped);
                let created = self.create_of_stopped(server, vm, order, die_half_way).await;
                self.fleet.set_state(&vm.uuid, VmState::Running);
                created
            }
            Some(VmState::Running) => {
                let message = format!("cannot create an image from a running VM: {} is not stopped", vm.uuid);
                Err(ImgadmError::new("VmNotStopped", message))
            }
            Some(VmState::Destroyed) | None => {
                Err(ImgadmError::new("VmNotFound", format!("vm not found: \"{}\"", vm.uuid)))
            }
        }
    }

    async fn create_of_stopped(
        &self,
        server: &Server,
        vm: &Vm,
        order: Order,
        die_half_way: bool,
    ) -> Result<(), ImgadmError> {
        if order.compression != "gzip" {
            return Err(ImgadmError::new("NotSupported", "only gzip is supported"));
        }
        let images = format!("{}/images", order.imgapi_url.trim_end_matches('/'));
        let origin = match vm.image() {
            Some(uuid) => Some(self.image(&images, uuid).await?),
            None => None,
        };
        let mut manifest = order.manifest;
        if order.incremental {
            let Some(uuid) = vm.image() else {
                return Err(ImgadmError::new("VmHasNoOrigin", format!("VM {} has no origin image", vm.uuid)));
            };
            self.check_depth(&images, uuid, order.max_origin_depth).await?;
            manifest.insert("origin".to_owned(), json!(uuid));
        }
        let mut manifest = complete(manifest, origin.as_ref(), server, vm);
        let (name, incremental) = (vm.uuid.clone(), order.incremental);
        let file = tokio::task::spawn_blocking(move || vm_file(&name, incremental)).await;
        let file = file.map_err(io::Error::other).and_then(|file| file);
        let file = file.map_err(|error| ImgadmError::new("InternalError", error.to_string()))?;
        let sha1 = hex::encode(Sha1::digest(&file));
        manifest
            .insert("files".to_owned(), json!([{"size": file.len(), "compression": "gzip", "sha1": sha1}]));
        self.publish(&images, &manifest, file, &sha1, die_half_way).await
    }

    async fn image(&self, images: &str, uuid: &str) -> Result<Map<String, Value>, ImgadmError> {
        call(self.client.request(Method::GET, format!("{images}/{uuid}"))).await
    }

    /// Rejects an image whose chain of origins would be too long.
    async fn check_depth(&self, images: &str, origin: &str, max: Option<usize>) -> Result<(), ImgadmError> {
        let Some(max) = max else { return Ok(()) };
        let mut depth = 1;
        let mut next = Some(origin.to_owned());
        while let Some(uuid) = next {
            depth += 1;
            if depth > max.min(MAX_ORIGINS) {
                let message = format!("image origin chain is longer than the max, {max}");
                return Err(ImgadmError::new("MaxOriginDepth", message));
            }
            let image = self.image(images, &uuid).await?;
            next = image.get("origin").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(())
    }

    async fn publish(
        &self,
        images: &str,
        manifest: &Map<String, Value>,
        file: Vec<u8>,
        sha1: &str,
        die_half_way: bool,
    ) -> Result<(), ImgadmError> {
        let uuid = manifest.get("uuid").and_then(Value::as_str).unwrap_or_default();
        let image = format!("{images}/{uuid}");
        let import = self.client.post(format!("{image}?action=import")).json(manifest);
        let imported = call(import).await?;
        if imported.get("uuid").and_then(Value::as_str) != Some(uuid) {
            return Err(ImgadmError::new("InternalError", "IMGAPI imported another image"));
        }
        match self.fill(&image, file, sha1, die_half_way).await {
            Err(error) if !die_half_way => {
                // The first failure is the one to report.
                if let Err(error) = self.client.delete(&image).send().await {
                    tracing::warn!(%error, "cannot delete an image that was not published");
                }
                Err(error)
            }
            outcome => outcome,
        }
    }

    /// Uploads the file and activates the image.
    async fn fill(
        &self,
        image: &str,
        file: Vec<u8>,
        sha1: &str,
        die_half_way: bool,
    ) -> Result<(), ImgadmError> {
        let size = file.len();
        let put = self
            .client
            .put(format!("{image}/file?compression=gzip&sha1={sha1}"))
            .header(CONTENT_LENGTH, size)
            .body(pieces(file, die_half_way));
        let stored = call(put).await?;
        let stored = stored.get("files").and_then(|files| files.get(0)).cloned().unwrap_or_default();
        if stored.get("sha1").and_then(Value::as_str) != Some(sha1) {
            return Err(ImgadmError::new("UploadError", "sha1 of the file in IMGAPI is another one"));
        }
        if stored.get("size").and_then(Value::as_u64) != Some(size as u64) {
            return Err(ImgadmError::new("UploadError", "size of the file in IMGAPI is another one"));
        }
        call(self.client.post(format!("{image}?action=activate"))).await?;
        Ok(())
    }
}

/// Returns the file in pieces, or half of it followed by a failure.
fn pieces(file: Vec<u8>, die_half_way: bool) -> Body {
    let file = Bytes::from(file);
    let size = file.len().div_ceil(PIECES).max(1);
    let pieces: Vec<Bytes> =
        (0..file.len()).step_by(size).map(|at| file.slice(at..(at + size).min(file.len()))).collect();
    let sent = if die_half_way { pieces.len() / 2 } else { pieces.len() };
    let sent = stream::iter(pieces.into_iter().take(sent).map(Ok));
    if !die_half_way {
        return Body::wrap_stream(sent);
    }
    let death = stream::once(async {
        // This lets the connection flush the bytes that were sent before.
        tokio::task::yield_now().await;
        Err(io::Error::other("the server died"))
    });
    Body::wrap_stream(sent.chain(death))
}

/// Sends a request. The answer must be an object.
async fn call(request: RequestBuilder) -> Result<Map<String, Value>, ImgadmError> {
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    let member = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    match body {
        Value::Object(object) if status.is_success() => Ok(object),
        _ if status.is_success() => Err(ImgadmError::new("InternalError", "IMGAPI answered with no object")),
        ref body if body.get("code").is_some() => {
            let message = format!("{}: {}", member("code"), member("message"));
            Err(ImgadmError { code: "ClientError".to_owned(), message })
        }
        _ => Err(ImgadmError::new("ClientError", format!("IMGAPI answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_machine_is_always_the_same() {
        let file = vm_file("a", false).unwrap();
        assert_eq!(file, vm_file("a", false).unwrap());
        assert_ne!(file, vm_file("a", true).unwrap());
        assert!(file.len() > FILE_SIZE / 2 && file.starts_with(&[0x1f, 0x8b]));
    }
}
