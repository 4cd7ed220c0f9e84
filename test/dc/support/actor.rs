// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The callers of the API: an operator, or an account on whose behalf a request is made.

use bytes::Bytes;
use reqwest::{Body, Method};
use serde_json::{Value, json};

use super::{Answer, TestApp, merged, within};

/// A caller.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    app: &'a TestApp,
    account: Option<&'static str>,
}

impl<'a> Actor<'a> {
    pub(super) fn new(app: &'a TestApp, account: Option<&'static str>) -> Actor<'a> {
        Actor { app, account }
    }

    /// Builds a request to `target`, a path with or without a query. If the caller has an account, `account` is added.
    pub(crate) fn call(self, method: Method, target: &str) -> Call {
        let account = self.account.map_or(String::new(), |account| {
            format!("{}account={account}", if target.contains('?') { '&' } else { '?' })
        });
        let url = format!("http://{}{target}{account}", self.app.address());
        Call { what: format!("{method} {target}"), request: self.app.http.request(method, url) }
    }

    pub(crate) async fn get(self, target: &str) -> Answer {
        self.call(Method::GET, target).send().await
    }

    /// CreateImage.
    pub(crate) async fn create(self, body: &Value) -> Answer {
        self.call(Method::POST, "/images").json(body).send().await
    }

    /// GetImage.
    pub(crate) async fn get_image(self, uuid: &str) -> Answer {
        self.get(&format!("/images/{uuid}")).await
    }

    /// ListImages. `query` has no leading `?`.
    pub(crate) async fn list(self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/images?{query}")).await;
        let Value::Array(images) = answer.ok() else { panic!("not a list: {answer:?}") };
        images
    }

    /// Returns the UUIDs of ListImages, in its order.
    pub(crate) async fn list_uuids(self, query: &str) -> Vec<String> {
        self.list(query).await.iter().map(|image| image["uuid"].as_str().unwrap().to_owned()).collect()
    }

    /// AddImageFile. `query` has no leading `?` and no `account`.
    pub(crate) async fn upload(self, uuid: &str, query: &str, bytes: impl Into<Body>) -> Answer {
        self.call(Method::PUT, &format!("/images/{uuid}/file?{query}")).body(bytes).send().await
    }

    /// AddImageFileFromUrl. `query` has no leading `?` and no `account`.
    pub(crate) async fn add_file_from_url(self, uuid: &str, query: &str, url: &str) -> Answer {
        let target = format!("/images/{uuid}/file/from-url?{query}");
        self.call(Method::POST, &target).json(&json!({"file_url": url})).send().await
    }

    /// AddImageFileFromSource.
    pub(crate) async fn add_file_from_source(self, uuid: &str, source: &str) -> Answer {
        self.call(Method::PUT, &format!("/images/{uuid}/file?source={}", encoded(source))).send().await
    }

    /// AdminImportImage from a source.
    pub(crate) async fn import_from_source(self, uuid: &str, query: &str, source: &str) -> Answer {
        let target = format!("/images/{uuid}?action=import{query}&source={}", encoded(source));
        self.call(Method::POST, &target).send().await
    }

    /// GetImageFile.
    pub(crate) async fn download(self, uuid: &str) -> Answer {
        self.get(&format!("/images/{uuid}/file")).await
    }

    /// `POST /images/:uuid` with this action and no body.
    pub(crate) async fn act(self, uuid: &str, action: &str) -> Answer {
        self.call(Method::POST, &format!("/images/{uuid}?action={action}")).send().await
    }

    /// ActivateImage.
    pub(crate) async fn activate(self, uuid: &str) -> Answer {
        self.act(uuid, "activate").await
    }

    /// DeleteImage.
    pub(crate) async fn delete(self, uuid: &str) -> Answer {
        self.call(Method::DELETE, &format!("/images/{uuid}")).send().await
    }

    /// Creates an unactivated image from a small valid manifest with `changes`.
    pub(crate) async fn has_image(self, changes: Value) -> String {
        let image = self.create(&merged(super::small_manifest(), changes)).await.ok();
        image["uuid"].as_str().unwrap().to_owned()
    }

    /// Creates an unactivated image with this file.
    pub(crate) async fn has_image_with_file(self, changes: Value, bytes: &'static [u8]) -> String {
        let uuid = self.has_image(changes).await;
        self.upload(&uuid, "compression=none", bytes).await.ok();
        uuid
    }

    /// Creates an activated image with a small file.
    pub(crate) async fn has_active_image(self, changes: Value) -> String {
        let uuid = self.has_image_with_file(changes, b"file").await;
        assert_eq!(self.activate(&uuid).await.ok()["activated"], json!(null));
        uuid
    }
}

/// Encodes a text as part of a query.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A request to send.
pub(crate) struct Call {
    what: String,
    request: reqwest::RequestBuilder,
}

impl Call {
    pub(crate) fn header(self, name: &str, value: &str) -> Call {
        Call { request: self.request.header(name, value), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Call {
        Call { request: self.request.json(body), ..self }
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Call {
        Call { request: self.request.body(body), ..self }
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = self.what.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends the request and reads the answer, which may be cut off.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let what = self.what;
        let exchange = async {
            let response = self.request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            reqwest::Result::Ok((status, headers, response.bytes().await?))
        };
        let (status, headers, body): (_, _, Bytes) = within(&what, exchange).await?;
        Ok(Answer { what, status, headers, body })
    }
}
