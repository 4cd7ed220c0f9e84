// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use http_signature::{Head, PrivateKey, Signer};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Version};
use serde_json::Value;

use super::Server;

/// A key pair, by the name of its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(pub(crate) &'static str);

impl Key {
    /// The key of the user `user`.
    pub(crate) const KNOWN: Key = Key("ecdsa256");
    /// A key that no user has.
    pub(crate) const UNKNOWN: Key = Key("ed25519");

    /// Returns the file of the private key.
    pub(crate) fn path(self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/http-signature/tests/data/keys"))
            .join(self.0)
    }

    fn private(self) -> PrivateKey {
        PrivateKey::from_pem(&std::fs::read_to_string(self.path()).unwrap()).unwrap()
    }

    /// Returns the line of the public key.
    pub(crate) fn public(self) -> String {
        std::fs::read_to_string(self.path().with_extension("pub")).unwrap()
    }

    fn signer(self, user: &str) -> Signer {
        Signer::new(user, self.private()).unwrap()
    }
}

/// A request to send.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    server: &'a Server,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    body: String,
}

impl<'a> Request<'a> {
    pub(super) fn new(server: &'a Server, method: Method, target: &str) -> Request<'a> {
        Request { server, method, target: target.to_owned(), headers: HeaderMap::new(), body: String::new() }
    }

    /// Sets the body. Its content type is guessed: JSON, or the PNG that `icon` sends.
    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        let content_type = match self.body.as_str() {
            "icon" => "image/png",
            body if body.starts_with(['{', '[']) => "application/json",
            _ => return self,
        };
        self.headers.insert("content-type", HeaderValue::from_static(content_type));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// Signs the request as `user`: the date, the target and the host.
    pub(crate) fn signed_with(self, key: Key) -> Self {
        self.signed_by("user", key, &["date", "(request-target)", "host"])
    }

    /// Signs the request as any user, with these headers.
    pub(crate) fn signed_by(mut self, user: &str, key: Key, names: &[&str]) -> Self {
        if !self.headers.contains_key("date") {
            let date = httpdate::fmt_http_date(SystemTime::now());
            self.headers.insert("date", HeaderValue::try_from(date).unwrap());
        }
        let host = self.server.dc.imgapi_address().unwrap().to_string();
        self.headers.insert("host", HeaderValue::try_from(host).unwrap());
        let head = Head {
            method: self.method.as_str(),
            target: &self.target,
            version: Version::HTTP_11,
            headers: &self.headers,
        };
        let authorization = key.signer(user).sign(&head, names).unwrap();
        self.headers.insert("authorization", authorization);
        self
    }

    /// Sends the request and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.target);
        let url = format!("{}{}", self.server.dc.imgapi_url().unwrap(), self.target);
        let request = self.server.http.request(self.method, url).headers(self.headers).body(self.body);
        let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap(), what }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    /// Method and target of the request.
    pub(crate) what: String,
}

impl Answer {
    /// Returns the JSON of a successful answer.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the code of an error; `None` if there is no body.
    pub(crate) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body["code"].as_str().map(str::to_owned)
    }

    /// Checks that the answer is a 401.
    #[track_caller]
    pub(crate) fn unauthorized(&self) {
        assert_eq!((self.status, self.code().as_deref()), (401, Some("UnauthorizedError")), "{self:?}");
    }
}
