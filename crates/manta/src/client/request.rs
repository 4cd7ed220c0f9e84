// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A request before it is signed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::Error;
use crate::path::Path;

/// A request that can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Creates a request. `accept` is the value that the Node.js client sends with this method.
    pub(crate) fn new(method: Method, path: &Path, accept: &'static str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, HeaderValue::from_static(accept));
        Request { method, target: path.encoded(), headers, body: Bytes::new() }
    }

    pub(crate) fn set(&mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) {
        self.headers.insert(name.into(), value.into());
    }

    /// Sets a header from a caller's value or an earlier answer. `what` names the value in the error.
    pub(crate) fn set_text(
        &mut self,
        name: impl Into<HeaderName>,
        value: &str,
        what: &'static str,
    ) -> Result<(), Error> {
        let value = HeaderValue::from_str(value).map_err(|_| Error::Unprintable(what))?;
        self.headers.insert(name.into(), value);
        Ok(())
    }
}
