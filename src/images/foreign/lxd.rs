// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::lxd_manifest::draft;
use super::messages::{Messages, Subject, Teller, tell};
use super::receive::{DeclaredContent, receive, refuse_too_big, with_progress};
use super::running::ImportKind;
use crate::config::{ChannelId, LxdRegistry};
use crate::images::files::publish::target;
use crate::images::lifecycle::delete::delete_record_and_files;
use crate::images::lifecycle::with_files::store_with_files;
use crate::images::{
    Access, ApiError, ApiResult, App, Code, Precondition, now, run_to_completion, with_transfer_limits,
};
use crate::import::{FetchError, LxdFile, LxdImage, Simplestreams};
use crate::manifest::create::CreateContext;
use crate::manifest::{Compression, FieldCode, Image, ImageFile, Mode, State, Uuid};
use crate::storage::{Asset, Target, Upload};

/// An image of an image server of LXD, as a caller names it: `REGISTRY:ALIAS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LxdReference {
    /// The name of the server in the configuration.
    pub registry: String,
    /// An alias on that server.
    pub alias: String,
}

impl fmt::Display for LxdReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.registry, self.alias)
    }
}

/// AdminImportLxdImage: makes an active image of the newest version that an alias names. What is wrong is told in the messages.
pub fn import_lxd_image(
    app: &Arc<App>,
    reference: LxdReference,
    channel: Option<ChannelId>,
    request_id: &str,
) -> Messages {
    let subject = Subject {
        kind: ImportKind::Lxd,
        name: reference.to_string(),
        member: ("alias", reference.to_string()),
        request_id: request_id.to_owned(),
    };
    let app = Arc::clone(app);
    tell(&app.imports.clone(), subject, |teller| async move {
        let importing = Importing { app, name: reference.to_string(), teller };
        let imported = importing.import(&reference, channel).await;
        if imported.as_ref().is_err_and(is_about_time) {
            importing.tell("Connection timed out").await;
        }
        imported
    })
}

/// Returns whether a server has not answered in time.
fn is_about_time(error: &ApiError) -> bool {
    let cause = error.cause().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(FetchError::Timeout { .. } | FetchError::Stalled(_)))
}

/// An import, and its client.
struct Importing {
    app: Arc<App>,
    name: String,
    teller: Teller,
}

impl Importing {
    async fn import(&self, reference: &LxdReference, channel: Option<ChannelId>) -> ApiResult<()> {
        let registry = self.registry(&reference.registry)?;
        let streams = self.app.fetcher.simplestreams(&registry.url);
        let found =
            streams.find(&reference.alias).await.map_err(|error| failed(error, Code::RemoteSourceError))?;
        let found = found.ok_or_else(|| {
            let message = format!("{:?} has no image {:?} for x86_64", registry.name, reference.alias);
            ApiError::relayed(404, "NotFound", message)
        })?;
        for file in found.files.all() {
            refuse_too_big(file.size)?;
        }
        let uuid = Uuid::of_digest(&found.fingerprint)
            .ok_or_else(|| ApiError::new(Code::InvalidContent, "the fingerprint is no SHA-256"))?;
        let draft = draft(&found, &registry.name, &self.context(uuid, channel))?;
        // The image may be on its way by another request.
        let _fetching = self.app.fetches.wait(uuid).await;
        if self.is_there(uuid).await? {
            self.tell("Already exists").await;
            return Ok(());
        }
        let (image, uploads) = self.fetch(&streams, &found, draft).await?;
        self.tell("Activating image").await;
        self.store(image, uploads).await
    }

    fn registry(&self, name: &str) -> ApiResult<&LxdRegistry> {
        let registries = &self.app.config.outgoing.lxd_registries;
        registries.iter().find(|registry| registry.name == name).ok_or_else(|| {
            let names: Vec<_> = registries.iter().map(|registry| registry.name.as_str()).collect();
            let message = format!("{name:?} is not one of the image servers: {}", names.join(", "));
            ApiError::invalid_parameter("alias", FieldCode::InvalidParameter, message)
        })
    }

    /// As every image that nobody owns, the image belongs to the administrator of a datacenter.
    fn context(&self, uuid: Uuid, channel: Option<ChannelId>) -> CreateContext {
        let config = &self.app.config;
        let owner = config.admin_uuid.filter(|_| config.mode == Mode::Dc).unwrap_or(Uuid::NIL);
        CreateContext {
            uuid,
            owner: Some(owner),
            channel: self.app.channel_name(channel),
            rules: self.app.rules(),
        }
    }

    /// Returns whether the image is there. What an earlier import has begun and not finished is deleted.
    async fn is_there(&self, uuid: Uuid) -> ApiResult<bool> {
        let is_unfinished = |image: &Image| image.state() == State::Unactivated;
        let Some(stored) = self.app.db.get(uuid).await? else { return Ok(false) };
        if !is_unfinished(&stored.image) {
            return Ok(true);
        }
        let still = Precondition::new(move |image| match is_unfinished(image) {
            true => Ok(()),
            false => Err(ApiError::new(Code::ServiceUnavailableError, "the image was activated meanwhile")),
        });
        let access = Access { uuid, channel: None, account: None };
        let app = Arc::clone(&self.app);
        run_to_completion(async move { delete_record_and_files(&app, access, true, &still).await }).await?;
        Ok(false)
    }

    /// Fetches and verifies the files, and returns the image that names them.
    async fn fetch(
        &self,
        streams: &Simplestreams<'_>,
        found: &LxdImage,
        draft: Image,
    ) -> ApiResult<(Image, Vec<Upload>)> {
        let (mut entries, mut uploads, mut whole) = (Vec::new(), Vec::new(), Sha256::new());
        for (index, file) in found.files.all().into_iter().enumerate() {
            let target = target(&self.app, &draft, Asset::File(index), None);
            let upload = self.fetch_file(streams, file, target, &mut whole).await?;
            entries.push(entry(file, &upload, target));
            uploads.push(upload);
        }
        let fingerprint = hex::encode(whole.finalize());
        if fingerprint != found.fingerprint {
            let message = format!("the fingerprint is {fingerprint}, not {}", found.fingerprint);
            return Err(ApiError::new(Code::Download, message));
        }
        self.tell("Download complete").await;
        let image = draft.with_files(&entries).and_then(|image| image.activate(&now()));
        Ok((image.map_err(ApiError::validation)?, uploads))
    }

    /// Fetches a file. Its bytes are added to the `whole`, whose digest is the fingerprint.
    async fn fetch_file(
        &self,
        streams: &Simplestreams<'_>,
        file: &LxdFile,
        target: Target,
        whole: &mut Sha256,
    ) -> ApiResult<Upload> {
        self.tell("Downloading image").await;
        let download_failed = |error| failed(error, Code::Download);
        let incoming = streams.file(file).await.map_err(download_failed)?;
        let (length, start) = (incoming.length(), OffsetDateTime::now_utc().unix_timestamp());
        let total = length.map_or(json!(-1), |length| json!(length));
        let body =
            with_progress(with_transfer_limits(&self.app, incoming.into_stream()).boxed(), |current| {
                let detail = json!({"current": current, "total": total, "start": start});
                let progress = json!({"id": self.name, "status": "Downloading", "progressDetail": detail});
                self.teller.try_progress(progress);
            });
        let body = body.map(|chunk| {
            let chunk = chunk.map_err(download_failed)?;
            whole.update(&chunk);
            self.teller.count(chunk.len() as u64);
            Ok(chunk)
        });
        receive(&self.app, target, DeclaredContent { length, sha256: &file.sha256 }, body).await
    }

    /// Stores the image and its files. From then on it is visible, complete and active.
    async fn store(&self, image: Image, uploads: Vec<Upload>) -> ApiResult<()> {
        let (app, uuid) = (Arc::clone(&self.app), image.uuid());
        let stored = run_to_completion(async move { store_with_files(&app, &image, uploads).await }).await;
        let status = match stored {
            Ok(()) => "Pull complete",
            // Another process was faster.
            Err(error) => match self.app.db.get(uuid).await {
                Ok(Some(stored)) if stored.image.activated() => "Already exists",
                _ => return Err(error),
            },
        };
        self.tell(status).await;
        Ok(())
    }

    async fn tell(&self, status: &str) {
        self.teller.tell("progress", json!({"payload": {"id": self.name, "status": status}})).await;
    }
}

fn entry(file: &LxdFile, upload: &Upload, target: Target) -> ImageFile {
    let digests = &upload.digests;
    ImageFile {
        sha1: digests.sha1.clone(),
        size: digests.size,
        compression: compression(&file.path),
        content_md5: Some(digests.md5.clone()),
        mtime: Some(now()),
        stor: target.stor,
        dataset_guid: None,
        sha256: Some(digests.sha256.clone()),
        object: upload.object(),
    }
}

/// The compression that the end of a path says.
fn compression(path: &str) -> Compression {
    match path.rsplit('.').next() {
        Some("xz") => Compression::Xz,
        Some("gz") => Compression::Gzip,
        Some("bz2") => Compression::Bzip2,
        _ => Compression::None,
    }
}

/// Makes the error of 4.13.1 for a server that did not send what was asked for. `code` is for what has no code of its own.
fn failed(error: FetchError, code: Code) -> ApiError {
    let message = format!("cannot import the image: {error}");
    let made = match &error {
        FetchError::NoAnswer { system_code: Some(code), .. } => ApiError::relayed(503, code, message),
        FetchError::Unusable { .. } => ApiError::new(Code::InvalidContent, message),
        FetchError::Timeout { .. } | FetchError::Stalled(_) => ApiError::new(Code::Download, message),
        _ => ApiError::new(code, message),
    };
    made.because(error)
}
