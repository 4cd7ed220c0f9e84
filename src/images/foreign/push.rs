// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::interval;

use super::config_text::config_text;
use super::layers::layer_uuids;
use super::messages::{Messages, Subject, Teller, tell};
use super::running::ImportKind;
use crate::images::files::get_file::get_file;
use crate::images::{Access, ApiError, ApiResult, App, Code, lookup, off_the_runtime};
use crate::import::FetchError;
use crate::import::registry::{
    Access as RegistryAccess, Credentials, Digest, ImageManifest, Manifest, Registry, RegistryError,
    Repository, Revision,
};
use crate::manifest::{FieldCode, ImageFile, Uuid, View};
use crate::storage::{Part, StorageError};

/// How many layers are sent at the same time, as in 4.13.1.
const AT_ONCE: usize = 3;

/// How often the progress of a layer is told, as in 4.13.1. A client that has left is noticed then.
const PULSE: Duration = Duration::from_secs(2);

/// What to push, and where.
#[derive(Debug)]
pub struct DockerPush {
    /// The repository.
    pub repository: Repository,
    /// The tag that the image gets.
    pub revision: Revision,
    /// Who pushes.
    pub credentials: Option<Credentials>,
    /// The manifest, whose exact text is stored in the registry.
    pub manifest: Manifest,
    /// What the manifest says.
    pub image: ImageManifest,
    /// The configuration. Its compact text has the digest `config_digest`.
    pub config: Value,
    /// The digest by which the registry knows the configuration.
    pub config_digest: Digest,
}

/// AdminPushDockerImage: sends the layers, the configuration and the manifest of an image to a registry. What is wrong is
/// told in the messages.
pub fn push_docker_image(app: &Arc<App>, push: DockerPush, request_id: &str) -> Messages {
    let subject = Subject {
        kind: ImportKind::Push,
        name: format!("{}:{}", push.repository.canonical_name(), push.revision),
        member: ("id", request_id.to_owned()),
        request_id: request_id.to_owned(),
    };
    let (repository, credentials) = (push.repository.clone(), push.credentials.clone());
    let registry = app.fetcher.registry(repository, credentials, RegistryAccess::Push, request_id);
    let app = Arc::clone(app);
    tell(&app.imports.clone(), subject, |teller| async move {
        Arc::new(Pushing { app, registry, teller }).push(push).await
    })
}

/// A push, and its client.
struct Pushing {
    app: Arc<App>,
    registry: Registry,
    teller: Teller,
}

/// A layer that is to be sent.
struct Layer {
    digest: Digest,
    uuid: Uuid,
    image: Arc<View>,
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Own(#[from] ApiError),
}

impl From<SendError> for ApiError {
    fn from(error: SendError) -> ApiError {
        match error {
            SendError::Registry(error) => failed(error),
            SendError::Own(error) => error,
        }
    }
}

impl Pushing {
    async fn push(self: Arc<Self>, push: DockerPush) -> ApiResult<()> {
        self.registry.ping().await.map_err(failed)?;
        let layers = self.layers(&push.image).await?;
        let this = Arc::clone(&self);
        let sent = stream::iter(layers).map(move |layer| {
            let this = Arc::clone(&this);
            async move { this.push_layer(layer).await }
        });
        sent.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.push_config(&push.config, push.config_digest).await?;
        let (digest, size) = (push.manifest.digest.to_string(), push.manifest.text.len());
        let Manifest { media_type, text, .. } = push.manifest;
        self.registry.put_manifest(&push.revision, &media_type, text).await.map_err(failed)?;
        let tag = push.revision.to_string();
        let status = format!("{tag}: digest: {digest} size: {size}");
        self.teller.tell("progress", json!({"payload": {"status": status}})).await;
        let aux = json!({"Tag": tag, "Digest": digest, "Size": size});
        self.teller.tell("progress", json!({"payload": {"progressDetail": {}, "aux": aux}})).await;
        Ok(())
    }

    /// Returns the layers of an image, each blob once. All must be here, and active.
    async fn layers(&self, image: &ImageManifest) -> ApiResult<Vec<Layer>> {
        let uuids = layer_uuids(image.layers.iter().map(|layer| layer.digest));
        let (mut layers, mut digests) = (Vec::new(), HashSet::new());
        for (descriptor, uuid) in image.layers.iter().zip(uuids) {
            let digest = descriptor.digest;
            if digests.insert(digest) {
                self.tell(digest, "Preparing").await;
            }
            let found = lookup(&self.app, access(uuid)).await.map(|found| found.value);
            let image = match found {
                Ok(image) if image.is_active() => image,
                Err(error) if error.code() != Code::ResourceNotFound => return Err(error),
                _ => {
                    self.tell(digest, "Image push failed").await;
                    let message =
                        format!("the image {uuid} of the layer {digest} is not here, or is not active");
                    return Err(ApiError::new(Code::ResourceNotFound, message));
                }
            };
            layers.push(Layer { digest, uuid, image });
        }
        let mut digests = HashSet::new();
        layers.retain(|layer| digests.insert(layer.digest));
        Ok(layers)
    }

    async fn push_layer(&self, layer: Layer) -> ApiResult<()> {
        let status = match self.send_layer(&layer).await {
            Ok(status) => status,
            Err(error) => {
                self.tell(layer.digest, "Image push failed").await;
                return Err(error);
            }
        };
        self.tell(layer.digest, status).await;
        Ok(())
    }

    /// Sends a layer unless the registry has it. Returns the status that the client is told.
    async fn send_layer(&self, layer: &Layer) -> ApiResult<&'static str> {
        let Layer { digest, uuid, ref image } = *layer;
        if self.registry.has_blob(digest).await.map_err(failed)? {
            return Ok("Layer already exists");
        }
        let entry = image.files().first().ok_or_else(|| ApiError::no_file(uuid, 0))?;
        if entry.sha256.as_ref().is_some_and(|sha256| *sha256 != digest.hex()) {
            let message = format!("the layer {digest} was compressed anew when it was stored as {uuid}");
            return Err(ApiError::new(Code::ResourceNotFound, message));
        }
        self.send_file(layer, entry).await?;
        Ok("Pushed")
    }

    async fn send_file(&self, layer: &Layer, entry: &ImageFile) -> ApiResult<()> {
        let (sent, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
        let (app, image) = (Arc::clone(&self.app), Arc::clone(&layer.image));
        let (uuid, digest, size) = (layer.uuid, layer.digest, entry.size);
        let open = || {
            sent.store(0, Ordering::Relaxed);
            let (app, image, teller) = (Arc::clone(&app), Arc::clone(&image), self.teller.clone());
            let (sent, broken) = (Arc::clone(&sent), Arc::clone(&broken));
            async move {
                let whole = |_: &ImageFile| Ok((Part::Whole, ()));
                let opened = get_file(&app, access(uuid), &image, 0, whole).await?;
                let bytes = verified(opened.file.into_stream(), digest, size);
                let noted = bytes.inspect_ok(move |chunk| {
                    let count = chunk.len() as u64;
                    sent.fetch_add(count, Ordering::Relaxed);
                    teller.count(count);
                });
                // The registry's client only says that the request broke off.
                Ok::<_, SendError>(noted.map_err(move |error| {
                    let told = SendError::Own(ApiError::new(error.code(), error.message()));
                    *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    told
                }))
            }
        };
        let mut uploading = std::pin::pin!(self.registry.upload_blob(digest, size, open));
        let mut pulse = interval(PULSE);
        let uploaded = loop {
            tokio::select! {
                uploaded = &mut uploading => break uploaded,
                _ = pulse.tick() => {
                    let detail = json!({"current": sent.load(Ordering::Relaxed), "total": size});
                    let id = digest.short();
                    self.teller.try_progress(json!({"id": id, "progressDetail": detail, "status": "Pushing"}));
                }
            }
        };
        let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        uploaded.map_err(|error| broken.unwrap_or_else(|| error.into()))
    }

    async fn push_config(&self, config: &Value, digest: Digest) -> ApiResult<()> {
        if self.registry.has_blob(digest).await.map_err(failed)? {
            return Ok(());
        }
        let text = off_the_runtime(usize::MAX, || config_text(config, digest)).ok_or_else(|| {
            let message = format!("the compact JSON of the image does not have the digest {digest}");
            ApiError::invalid_parameter("config_digest", FieldCode::Invalid, message)
        })?;
        let text = Bytes::from(text);
        let length = text.len() as u64;
        let open = || std::future::ready(Ok::<_, SendError>(stream::iter([Ok(text.clone())])));
        Ok(self.registry.upload_blob(digest, length, open).await?)
    }

    async fn tell(&self, layer: Digest, status: &str) {
        let payload = json!({"id": layer.short(), "progressDetail": {}, "status": status});
        self.teller.tell("progress", json!({"payload": payload})).await;
    }
}

fn access(uuid: Uuid) -> Access {
    Access { uuid, channel: None, account: None }
}

/// Passes on `length` bytes. The last of them come only if all have this digest.
fn verified(
    bytes: BoxStream<'static, Result<Bytes, StorageError>>,
    digest: Digest,
    length: u64,
) -> impl Stream<Item = ApiResult<Bytes>> + Send + 'static {
    let damaged = || ApiError::new(Code::InternalError, "the stored file is not what its manifest says");
    try_unfold((bytes, Sha256::new(), length), move |(mut bytes, mut hasher, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let chunk = bytes.try_next().await?.ok_or_else(damaged)?;
        hasher.update(&chunk);
        let left = left.checked_sub(chunk.len() as u64).ok_or_else(damaged)?;
        if left == 0 && hex::encode(hasher.clone().finalize()) != digest.hex() {
            return Err(damaged());
        }
        Ok(Some((chunk, (bytes, hasher, left))))
    })
}

/// Makes the error of a push. As in 4.13.1, the registry's own code is passed on.
fn failed(error: RegistryError) -> ApiError {
    let message = format!("cannot push the image: {error}");
    let made = match &error {
        RegistryError::Connection(FetchError::NoAnswer { system_code: Some(code), .. }) => {
            ApiError::relayed(503, code, message)
        }
        RegistryError::Connection(_) | RegistryError::Transfer(_) => {
            ApiError::new(Code::RemoteSourceError, message)
        }
        RegistryError::Unauthorized { .. } => ApiError::new(Code::UnauthorizedError, message),
        RegistryError::NotFound { .. } => ApiError::new(Code::ResourceNotFound, message),
        RegistryError::NotRegistry { .. } => ApiError::new(Code::NotAvailable, message),
        RegistryError::Refused { told: Some((code, _)), .. } if !code.is_empty() => {
            ApiError::relayed(502, code, message)
        }
        _ => ApiError::new(Code::InternalError, message),
    };
    made.because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(chunks: &[&'static str], digest: Digest, length: u64) -> (String, bool) {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from(*chunk))).collect();
        let mut bytes = std::pin::pin!(verified(stream::iter(chunks).boxed(), digest, length));
        let mut sent = String::new();
        while let Some(chunk) = bytes.next().await {
            match chunk {
                Ok(chunk) => sent.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(_) => return (sent, false),
            }
        }
        (sent, true)
    }

    #[tokio::test]
    async fn damaged_bytes_are_never_sent_completely() {
        let digest = Digest::of(b"hello");
        assert_eq!(sent(&["hel", "lo"], digest, 5).await, ("hello".to_owned(), true));
        assert_eq!(sent(&["hel", "lp"], digest, 5).await, ("hel".to_owned(), false));
        assert_eq!(sent(&["hel"], digest, 5).await, ("hel".to_owned(), false));
        assert_eq!(sent(&["hel", "lo!"], digest, 5).await, ("hel".to_owned(), false));
    }
}
