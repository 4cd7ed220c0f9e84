// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Manta, with requests signed by the crate `http-signature`.

mod auth;
mod faults;
mod raw;
mod rules;

use std::time::{Duration, SystemTime};

use coal::Datacenter;
use coal::datacenter::{DatacenterBuilder, MantaMode};
use coal::manta::{MantaFaults, MantaServer};
use http_signature::{Head, PrivateKey, Signer};
use hyper::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response, Version};
use serde_json::Value;

use crate::within;

/// A datacenter with a Manta, and a client of it.
struct Manta {
    datacenter: Datacenter,
    http: Client,
    signer: Signer,
}

impl Manta {
    /// Starts a Manta with the admin as the client.
    async fn start() -> Self {
        Self::of(Datacenter::builder()).await
    }

    async fn of(builder: DatacenterBuilder) -> Self {
        let datacenter = within(builder.manta(MantaMode::Local).start()).await.unwrap();
        let signer = account_signer(&datacenter, "admin");
        // Built together with imgapi, reqwest has TLS but does not choose a cryptography provider.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { datacenter, http, signer }
    }

    fn server(&self) -> &MantaServer {
        self.datacenter.manta().unwrap()
    }

    fn faults(&self) -> &MantaFaults {
        self.server().faults()
    }

    /// Returns the headers of a signature with the current date.
    fn signature(&self) -> HeaderMap {
        sign(&self.signer, SystemTime::now())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.server().url() + path).headers(self.signature())
    }

    async fn put(&self, path: &str, body: impl Into<Body>) -> Response {
        within(self.request(Method::PUT, path).body(body).send()).await.unwrap()
    }

    async fn make_directory(&self, path: &str) -> Response {
        let request = self.request(Method::PUT, path);
        within(request.header("content-type", "application/json; type=directory").send()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        within(self.request(Method::GET, path).send()).await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        within(answer.text()).await.unwrap()
    }

    async fn delete(&self, path: &str) -> Response {
        within(self.request(Method::DELETE, path).send()).await.unwrap()
    }

    /// Returns the number of content files, complete or not.
    fn contents(&self) -> usize {
        std::fs::read_dir(self.datacenter.data_dir().join("manta/objects")).unwrap().count()
    }
}

/// Returns a signer with the key that coal created for the account.
fn account_signer(datacenter: &Datacenter, login: &str) -> Signer {
    let pem = std::fs::read_to_string(datacenter.key_file(login)).unwrap();
    signer(&format!("/{login}"), &pem)
}

/// Returns a signer for `/ACCOUNT` or `/ACCOUNT/USER` with a private key in PEM.
fn signer(name: &str, pem: &str) -> Signer {
    let key = PrivateKey::from_pem(pem).unwrap();
    Signer::new(format!("{name}/keys/{}", key.md5_fingerprint()), key).unwrap()
}

fn sign(signer: &Signer, at: SystemTime) -> HeaderMap {
    let date = HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap();
    let mut headers = HeaderMap::from_iter([(DATE, date)]);
    let head = Head { method: "GET", target: "/", version: Version::HTTP_11, headers: &headers };
    let authorization = signer.sign(&head, &["date"]).unwrap();
    headers.insert(AUTHORIZATION, authorization);
    headers
}

/// Returns the status and the code of an error.
async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = within(answer.json()).await.unwrap();
    assert!(body["message"].is_string(), "{body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Polls until the condition holds.
async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
