// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A datacenter with the service, and images in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coal::Datacenter;
use coal::datacenter::MantaMode;
use reqwest::{Client, Method, RequestBuilder};
use rustix::fs::statvfs;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::payload::Payload;
use crate::{Failure, http};

const DEADLINE: Duration = Duration::from_secs(60);
/// Left free on the disk.
const RESERVE: u64 = 1 << 30;

/// The running datacenter and a client of its service.
#[derive(Debug)]
pub(crate) struct Stage {
    datacenter: Datacenter,
    pub(crate) address: SocketAddr,
    /// Owns the images.
    pub(crate) owner: String,
    /// Owns few.
    pub(crate) account: String,
    client: Client,
    // Removed at the end.
    _data: TempDir,
}

/// Where an image's file is.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) uuid: String,
    /// The path of GetImageFile.
    pub(crate) file: String,
    /// The path of AddImageFile.
    add_file: String,
}

impl Stage {
    /// Starts everything with its data in a new directory below `data`.
    pub(crate) async fn start(data: &Path, manta: MantaMode) -> Result<Stage, Failure> {
        let directory = TempDir::with_prefix_in("bench-", data)?;
        let datacenter = Datacenter::builder()
            .data_dir(directory.path())
            .manta(manta)
            .imgapi(env!("CARGO_BIN_EXE_imgapi"))
            .start()
            .await?;
        Ok(Stage {
            address: datacenter.imgapi_address().ok_or("imgapi has no address")?,
            owner: uuid_of(&datacenter, "admin")?,
            account: uuid_of(&datacenter, "imgapitestvader")?,
            client: Client::builder().no_proxy().timeout(DEADLINE).build()?,
            datacenter,
            _data: directory,
        })
    }

    /// Stops everything.
    pub(crate) async fn stop(self) {
        self.datacenter.stop().await;
    }

    /// Starts the service anew.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        Ok(self.datacenter.restart_imgapi().await?)
    }

    /// Ends the service.
    pub(crate) async fn stop_service(&self) {
        self.datacenter.stop_imgapi().await;
    }

    /// Where Moray listens.
    pub(crate) fn moray(&self) -> SocketAddr {
        self.datacenter.moray().address()
    }

    /// All of it.
    pub(crate) fn datacenter(&self) -> &Datacenter {
        &self.datacenter
    }

    /// The UUID of an account.
    pub(crate) fn account_of(&self, login: &str) -> Result<String, Failure> {
        uuid_of(&self.datacenter, login)
    }

    /// The process id of the service.
    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        self.datacenter.imgapi_pid().ok_or_else(|| "imgapi does not run".into())
    }

    /// The directory of files that the service stores.
    pub(crate) fn local_dir(&self) -> PathBuf {
        self.datacenter.local_dir()
    }

    /// Where the service keeps the file of an image.
    pub(crate) fn stored_file(&self, image: &Image) -> PathBuf {
        self.local_dir().join("images").join(&image.uuid[..3]).join(&image.uuid).join("file0")
    }

    /// Fails when the disk has no room for so many more bytes.
    pub(crate) fn need_space(&self, bytes: u64) -> Result<(), Failure> {
        let disk = statvfs(self.datacenter.data_dir())?;
        let free = disk.f_bavail * disk.f_frsize;
        if free < bytes + RESERVE {
            let gib = |bytes: u64| bytes >> 30;
            return Err(format!(
                "skipped: {} GiB of disk space are needed, {} are free",
                gib(bytes + RESERVE),
                gib(free)
            )
            .into());
        }
        Ok(())
    }

    /// CreateImage.
    pub(crate) async fn create(&self) -> Result<Image, Failure> {
        let manifest = json!({
            "v": 2, "name": "bench", "version": "1.0.0", "os": "other", "type": "zvol", "owner": self.owner,
            "requirements": {}, "nic_driver": "virtio", "disk_driver": "virtio", "cpu_type": "host",
            "image_size": 1024,
        });
        let created = self.send(self.client.post(self.url("/images")).json(&manifest)).await?;
        let uuid = created["uuid"].as_str().ok_or("the answer has no uuid")?.to_owned();
        let file = format!("/images/{uuid}/file");
        Ok(Image { add_file: format!("{file}?compression=none"), file, uuid })
    }

    /// AddImageFile, and how long it took.
    pub(crate) async fn upload(&self, image: &Image, payload: &Payload) -> Result<Duration, Failure> {
        let (address, path, payload) = (self.address, image.add_file.clone(), payload.clone());
        blocking(move || {
            let start = Instant::now();
            http::upload(address, &path, &payload)?;
            Ok(start.elapsed())
        })
        .await
    }

    /// An active image with a file.
    pub(crate) async fn active_image(&self, payload: &Payload) -> Result<Image, Failure> {
        let image = self.create().await?;
        self.upload(&image, payload).await?;
        self.activate(&image).await?;
        Ok(image)
    }

    /// AddImageFile with a few bytes.
    pub(crate) async fn add_small_file(&self, image: &Image) -> Result<(), Failure> {
        self.send(self.client.put(self.url(&image.add_file)).body("file")).await.map(drop)
    }

    /// ActivateImage.
    pub(crate) async fn activate(&self, image: &Image) -> Result<(), Failure> {
        let activate = self.url(&format!("/images/{}?action=activate", image.uuid));
        self.send(self.client.post(activate)).await.map(drop)
    }

    /// The body of a GET.
    pub(crate) async fn get(&self, path: &str) -> Result<String, Failure> {
        Ok(self.client.get(self.url(path)).send().await?.error_for_status()?.text().await?)
    }

    /// A client of the service.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// DeleteImage.
    pub(crate) async fn delete(&self, image: &Image) -> Result<(), Failure> {
        let url = self.url(&format!("/images/{}", image.uuid));
        self.client.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the service answers: null without a body.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let request = self.client.request(method, self.url(path));
        self.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            return Err(format!("{status}: {text}").into());
        }
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}

fn uuid_of(datacenter: &Datacenter, login: &str) -> Result<String, Failure> {
    let account = datacenter.account(login).ok_or_else(|| format!("there is no account {login}"))?;
    Ok(account.uuid.clone())
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await?
}
