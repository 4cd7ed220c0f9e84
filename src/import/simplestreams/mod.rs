// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A client of simplestreams servers, from which LXD and Incus get their images.

mod index;
mod members;
mod products;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::Response;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, timeout};
use url::Url;

use super::Fetcher;
use super::body::RemoteFile;
use super::client::host;
use super::error::FetchError;
use super::file_url::location;
use crate::config::Pace;

use products::Found;
pub use products::{LxdFile, LxdFiles, LxdImage};

/// Most bytes of an index and of a list of products.
const MAX_INDEX: usize = 4 << 20;
const MAX_PRODUCTS: usize = 32 << 20;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// A simplestreams server, for one request. The operator has configured it, so its address is not checked. Every other
/// server that it redirects to is checked like that of a `file_url`.
#[derive(Debug, Clone, Copy)]
pub struct Simplestreams<'a> {
    fetcher: &'a Fetcher,
    base: &'a Url,
}

impl Fetcher {
    /// Returns a client of the server whose `streams` are below `base`.
    pub fn simplestreams<'a>(&'a self, base: &'a Url) -> Simplestreams<'a> {
        Simplestreams { fetcher: self, base }
    }
}

impl Simplestreams<'_> {
    /// Returns the image that an alias names; `None` if there is none.
    ///
    /// # Errors
    /// The server cannot be reached, or what it says cannot be used.
    pub async fn find(&self, alias: &str) -> Result<Option<LxdImage>, FetchError> {
        let index = self.json("streams/v1/index.json", MAX_INDEX).await?;
        let lists = self.parse(index, index::product_lists).await?;
        let mut unusable = None;
        for path in lists {
            let list = self.json(&path, MAX_PRODUCTS).await?;
            let alias = alias.to_owned();
            match self.parse(list, move |text| products::find(text, &alias)).await? {
                Found::Image(image) => return Ok(Some(*image)),
                Found::Unusable(reason) => unusable = unusable.or(Some(reason)),
                Found::Nothing => {}
            }
        }
        unusable.map_or(Ok(None), |reason| Err(self.unusable(reason)))
    }

    /// Starts to fetch a file of an image.
    ///
    /// # Errors
    /// There is no answer with status 200 in the end.
    pub async fn file(&self, file: &LxdFile) -> Result<RemoteFile, FetchError> {
        let socket = self.fetcher.socket().await?;
        let (host, response) = self.get(&file.path).await?;
        Ok(RemoteFile::new(host, response, socket))
    }

    async fn json(&self, path: &str, limit: usize) -> Result<Bytes, FetchError> {
        let _socket = self.fetcher.socket().await?;
        let (host, response) = self.get(path).await?;
        self.collect(host, response, limit).await
    }

    async fn get(&self, path: &str) -> Result<(String, Response), FetchError> {
        let mut url = below(self.base, path);
        for _ in 0..=MAX_REDIRECTS {
            let client = match url.origin() == self.base.origin() {
                true => &self.fetcher.registries,
                false => &self.fetcher.file_urls,
            };
            let response = client.get(url.clone(), HeaderMap::new()).await?;
            match response.status().as_u16() {
                200 => return Ok((host(&url), response)),
                301..=303 | 307 | 308 => url = redirected(&url, &response)?,
                status => return Err(FetchError::Status { host: host(&url), status }),
            }
        }
        Err(FetchError::Redirect { host: host(&url), problem: "once too often" })
    }

    /// Returns a whole body that keeps to the limits of transfers.
    async fn collect(&self, host: String, response: Response, limit: usize) -> Result<Bytes, FetchError> {
        let limits = self.fetcher.transfer;
        let (mut pace, mut whole) = (Pace::new(limits), BytesMut::new());
        let mut chunks = response.bytes_stream();
        loop {
            let asked = Instant::now();
            let next = timeout(limits.idle, chunks.next()).await;
            let Some(chunk) = next.map_err(|_| limits.idle_for_too_long())? else {
                return Ok(whole.freeze());
            };
            let chunk = chunk.map_err(|error| FetchError::broken(host.clone(), error))?;
            pace.advance(asked.elapsed(), chunk.len() as u64)?;
            if whole.len() + chunk.len() > limit {
                return Err(FetchError::Unusable { host, reason: format!("it has more than {limit} bytes") });
            }
            whole.extend_from_slice(&chunk);
        }
    }

    /// Parses on a blocking thread, because a long list takes a while.
    async fn parse<T: Send + 'static>(
        &self,
        body: Bytes,
        parse: impl FnOnce(&str) -> Result<T, serde_json::Error> + Send + 'static,
    ) -> Result<T, FetchError> {
        let parsed = tokio::task::spawn_blocking(move || match std::str::from_utf8(&body) {
            Ok(text) => parse(text).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        });
        let parsed = parsed.await.unwrap_or_else(|stopped| Err(stopped.to_string()));
        parsed.map_err(|reason| self.unusable(reason))
    }

    fn unusable(&self, reason: String) -> FetchError {
        FetchError::Unusable { host: host(self.base), reason: crate::telemetry::excerpt(&reason) }
    }
}

/// Returns the URL of a path that the server has named. Whatever the path contains, the URL is one of the same server.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url
}

/// Returns where a redirect leads. TLS is not given up on the way.
fn redirected(from: &Url, response: &Response) -> Result<Url, FetchError> {
    let refused = |problem| FetchError::Redirect { host: host(from), problem };
    let to = location(from, response).ok_or_else(|| refused("to nowhere"))?;
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        ("https", "http") => Err(refused("from https to http")),
        _ => Err(refused("to what is no http or https URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_path_contains_it_is_one_of_the_server() {
        let below = |base: &str, path: &str| below(&base.parse().unwrap(), path).to_string();
        assert_eq!(
            below("https://h/releases", "streams/v1/index.json"),
            "https://h/releases/streams/v1/index.json"
        );
        assert_eq!(below("https://h/", "/a/b c"), "https://h/a/b%20c");
        for path in ["https://x/y", "//x/y", "../../x", "a?b#c", "\\\\x\\y", "a\r\nb"] {
            assert!(below("https://h/r", path).starts_with("https://h/"), "{path}");
        }
        assert_eq!(below("https://h", "a?b#c"), "https://h/a%3Fb%23c");
    }
}
