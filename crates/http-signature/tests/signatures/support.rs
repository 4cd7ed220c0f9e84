// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests as data that tests can change.

use std::fs;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_signature::{Head, Policy, PublicKey, Refusal, SignedRequest};

/// The date of every request in these tests.
pub(crate) const DATE: &str = "Tue, 02 Jan 2024 03:04:05 GMT";

/// Returns a time 3 s after [`DATE`].
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_645 + 3)
}

/// Returns the content of a file in the folder of keys.
pub(crate) fn key_file(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/data/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(crate) fn public_key(name: &str) -> PublicKey {
    PublicKey::from_openssh(&key_file(&format!("{name}.pub"))).unwrap()
}

/// The head of a request that can be changed.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

impl Request {
    pub(crate) fn get(headers: &[(&str, &str)]) -> Request {
        let mut request =
            Request { method: "GET".into(), target: "/images?name=x".into(), headers: HeaderMap::new() };
        for (name, value) in headers {
            request.set(name, value);
        }
        request
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    pub(crate) fn head(&self) -> Head<'_> {
        let version = Version::HTTP_11;
        Head { method: &self.method, target: &self.target, version, headers: &self.headers }
    }

    pub(crate) fn read(&self) -> Result<SignedRequest, Refusal> {
        SignedRequest::read(&self.head(), Policy::default(), now())
    }

    /// Returns whether a server accepts the request as signed with this key.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.read().is_ok_and(|request| request.is_signed_by_one_of([key]))
    }
}
