// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::{Duration, Instant};

use bytes::Bytes;
use coal::Datacenter;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::TestFile;

/// Time limit of an answer. A request that hangs is a failure.
const LIMIT: Duration = Duration::from_secs(100);

/// A client that opens a connection for every request, so that no request uses a connection to a killed process.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    owner: String,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// The header `x-imgapi-stale`: age of the answer in seconds, if it comes from the replica because Moray is unavailable.
    pub(crate) stale: Option<u64>,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the body as JSON; `null` if it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the status, and the code of an error.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Client {
    pub(crate) fn new(datacenter: &Datacenter) -> Client {
        Client::of(datacenter, datacenter.imgapi_url().unwrap())
    }

    /// Creates a client of the server at this URL, which belongs to this datacenter.
    pub(crate) fn of(datacenter: &Datacenter, url: String) -> Client {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(LIMIT);
        Client { http: http.build().unwrap(), url, owner: datacenter.account("admin").unwrap().uuid.clone() }
    }

    /// Returns the account that owns the created images.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Sends a request. An error is a broken connection, or a timeout.
    async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let started = Instant::now();
        let response = request.send().await?;
        let status = response.status().as_u16();
        let stale = response.headers().get("x-imgapi-stale");
        let stale = stale.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
        Ok(Answer { status, stale, body: response.bytes().await?, took: started.elapsed() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// CreateImage for the admin account.
    pub(crate) async fn create(&self) -> reqwest::Result<Answer> {
        let manifest = json!({
            "name": "robust", "version": "1.0.0", "os": "smartos", "type": "zone-dataset", "owner": self.owner,
        });
        self.send(self.request(Method::POST, "/images").json(&manifest)).await
    }

    /// CreateImage, which must succeed. Returns the UUID of the image.
    pub(crate) async fn created(&self) -> String {
        let answer = self.create().await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.json()["uuid"].as_str().unwrap().to_owned()
    }

    /// AddImageFile with an announced length, in pieces.
    pub(crate) async fn upload(&self, uuid: &str, file: TestFile) -> reqwest::Result<Answer> {
        self.upload_with(uuid, file, "").await
    }

    /// AddImageFile with more parameters, which begin with `&`.
    pub(crate) async fn upload_with(
        &self,
        uuid: &str,
        file: TestFile,
        more: &str,
    ) -> reqwest::Result<Answer> {
        let request = self.request(Method::PUT, &format!("/images/{uuid}/file?compression=none{more}"));
        let body = reqwest::Body::wrap_stream(file.stream());
        self.send(request.header("content-length", file.size).body(body)).await
    }

    /// AddImageFile without an announced length: a chunked body.
    pub(crate) async fn upload_chunked(&self, uuid: &str, file: TestFile) -> reqwest::Result<Answer> {
        let request = self.request(Method::PUT, &format!("/images/{uuid}/file?compression=none"));
        self.send(request.body(reqwest::Body::wrap_stream(file.stream()))).await
    }

    /// AddImageFile to Manta, with any body.
    pub(crate) async fn upload_to_manta(&self, uuid: &str, body: reqwest::Body) -> reqwest::Result<Answer> {
        let path = format!("/images/{uuid}/file?compression=none&storage=manta");
        self.send(self.request(Method::PUT, &path).body(body)).await
    }

    /// Creates an image with this file, which must succeed. Returns its UUID.
    pub(crate) async fn uploaded(&self, file: TestFile) -> String {
        let uuid = self.created().await;
        let answer = self.upload(&uuid, file).await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        uuid
    }

    pub(crate) async fn activate(&self, uuid: &str) -> reqwest::Result<Answer> {
        self.send(self.request(Method::POST, &format!("/images/{uuid}?action=activate"))).await
    }

    pub(crate) async fn delete(&self, uuid: &str) -> reqwest::Result<Answer> {
        self.send(self.request(Method::DELETE, &format!("/images/{uuid}"))).await
    }

    /// UpdateImage, which changes the UUID.
    pub(crate) async fn rename(&self, uuid: &str, new: &str) -> reqwest::Result<Answer> {
        self.post(&format!("/images/{uuid}?action=update"), &json!({"uuid": new})).await
    }

    /// AddImageIcon.
    pub(crate) async fn add_icon(&self, uuid: &str) -> reqwest::Result<Answer> {
        let request = self.request(Method::PUT, &format!("/images/{uuid}/icon"));
        self.send(request.header("content-type", "image/png").body("icon")).await
    }

    /// DeleteImageIcon.
    pub(crate) async fn delete_icon(&self, uuid: &str) -> reqwest::Result<Answer> {
        self.send(self.request(Method::DELETE, &format!("/images/{uuid}/icon"))).await
    }

    pub(crate) async fn image(&self, uuid: &str) -> reqwest::Result<Answer> {
        self.get(&format!("/images/{uuid}")).await
    }

    /// GetImageFile, which must succeed. Returns the size and the SHA-1 of the received bytes.
    pub(crate) async fn download(&self, uuid: &str) -> (u64, String) {
        let request = self.request(Method::GET, &format!("/images/{uuid}/file"));
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "file of {uuid}");
        let (mut size, mut digest) = (0, Sha1::new());
        while let Some(chunk) = response.chunk().await.unwrap() {
            size += chunk.len() as u64;
            digest.update(&chunk);
        }
        (size, hex::encode(digest.finalize()))
    }

    /// Checks that the image has exactly these bytes, in its manifest and as a download.
    pub(crate) async fn assert_holds(&self, uuid: &str, file: TestFile) {
        let expected = (file.size as u64, file.sha1());
        let image = self.image(uuid).await.unwrap().json();
        let entry = &image["files"][0];
        assert_eq!((entry["size"].as_u64(), entry["sha1"].as_str()), (Some(expected.0), Some(&*expected.1)));
        assert_eq!(self.download(uuid).await, expected, "file of {uuid}");
    }

    /// Checks that the image has no file.
    pub(crate) async fn assert_has_no_file(&self, uuid: &str) {
        let image = self.image(uuid).await.unwrap().json();
        assert_eq!(image["state"], "unactivated", "{image}");
        assert!(image["files"].as_array().is_none_or(Vec::is_empty), "{image}");
    }
}
