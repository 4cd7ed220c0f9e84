// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::Fetcher;
use super::body::{RemoteFile, collect};
use super::client::{host, scheme};
use super::error::FetchError;
use crate::manifest::{Record, Uuid};
use crate::telemetry::excerpt;

/// The longest manifest or error in bytes; the same limit as for the bodies of clients.
const MAX_JSON: usize = 4 << 20;

/// How long reading a manifest may take once its answer has begun.
const JSON_TIMEOUT: Duration = Duration::from_secs(60);

const CHANNEL: &str = "channel";

/// Another IMGAPI, as the parameter `source` names it: a URL, optionally with a path before `/images`, and with a `channel`.
#[derive(Debug, Clone)]
pub struct Source {
    text: String,
    base: Url,
    channel: Option<String>,
}

/// The text is not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source is not an http or https URL")]
pub struct InvalidSource;

impl FromStr for Source {
    type Err = InvalidSource;

    /// Only scheme, host, port, path and channel are kept, because other IMGAPIs are called anonymously.
    fn from_str(text: &str) -> Result<Source, InvalidSource> {
        scheme(text).ok_or(InvalidSource)?;
        let mut base: Url = text.parse().map_err(|_| InvalidSource)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(InvalidSource);
        }
        let channel =
            base.query_pairs().find(|(name, _)| name == CHANNEL).map(|(_, value)| value.into_owned());
        base.set_fragment(None);
        base.set_username("").and_then(|()| base.set_password(None)).map_err(|()| InvalidSource)?;
        // The text is kept as written, unless it contains credentials.
        let has_credentials = text.split(['?', '#']).next().is_some_and(|front| front.contains('@'));
        let text = if has_credentials { base.to_string() } else { text.to_owned() };
        base.set_query(None);
        Ok(Source { text, base, channel: channel.filter(|channel| !channel.is_empty()) })
    }
}

impl fmt::Display for Source {
    /// The text from which another server can parse the same source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Source {
    /// Returns the URL of `/images/:uuid`, followed by `more`.
    fn url(&self, uuid: Uuid, more: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/images/{uuid}{more}", self.base.path().trim_end_matches('/')));
        if let Some(channel) = &self.channel {
            url.query_pairs_mut().append_pair(CHANNEL, channel);
        }
        url
    }
}

/// A client of another IMGAPI, for one request.
#[derive(Debug)]
pub struct Imgapi<'a> {
    fetcher: &'a Fetcher,
    source: &'a Source,
    request_id: &'a str,
    account: Option<Uuid>,
}

impl Fetcher {
    /// Returns a client of the IMGAPI at `source`. It sends the id of the request that causes the calls.
    pub fn imgapi<'a>(&'a self, source: &'a Source, request_id: &'a str) -> Imgapi<'a> {
        Imgapi { fetcher: self, source, request_id, account: None }
    }
}

impl Imgapi<'_> {
    /// Makes the calls for this account.
    #[must_use]
    pub fn on_behalf_of(self, account: Uuid) -> Self {
        Imgapi { account: Some(account), ..self }
    }

    /// GetImage: returns a manifest in its newest form. Only its UUID is checked.
    ///
    /// # Errors
    /// The manifest cannot be fetched.
    pub async fn get_image(&self, uuid: Uuid) -> Result<Record, FetchError> {
        let _socket = self.fetcher.socket().await?;
        let url = self.source.url(uuid, "");
        let host = host(&url);
        let response = self.get(url).await?;
        let parsed = parse(json(&host, response).await?).await;
        let unusable = |reason: &str| FetchError::Unusable { host, reason: reason.to_owned() };
        match parsed {
            Some(Value::Object(manifest)) if manifest.get("uuid") == Some(&Value::from(uuid.to_string())) => {
                Ok(manifest)
            }
            Some(Value::Object(_)) => Err(unusable("it is about another image")),
            _ => Err(unusable("it is not a JSON object")),
        }
    }

    /// GetImageFile: returns the first file.
    ///
    /// # Errors
    /// The file cannot be fetched.
    pub async fn get_image_file(&self, uuid: Uuid) -> Result<RemoteFile, FetchError> {
        let socket = self.fetcher.socket().await?;
        let url = self.source.url(uuid, "/file");
        let host = host(&url);
        Ok(RemoteFile::new(host, self.get(url).await?, socket))
    }

    /// Returns the answer if its status is 200.
    async fn get(&self, mut url: Url) -> Result<Response, FetchError> {
        let host = host(&url);
        if let Some(account) = self.account {
            url.query_pairs_mut().append_pair("account", &account.to_string());
        }
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("accept-version"), HeaderValue::from_static("*"));
        if let Ok(id) = HeaderValue::from_str(self.request_id) {
            headers.insert(HeaderName::from_static("request-id"), id);
        }
        let response = self.fetcher.sources.get(url, headers).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(refused(host, status, response).await),
        }
    }
}

/// Returns the error in the other server's answer, if that has the form of an IMGAPI error.
async fn refused(host: String, status: u16, response: Response) -> FetchError {
    let body = match json(&host, response).await {
        Ok(body) => parse(body).await,
        Err(_) => None,
    };
    let text = |name: &str| body.as_ref().and_then(|body| body.get(name)?.as_str()).map(excerpt);
    match (text("code"), text("message")) {
        (Some(code), Some(message)) => FetchError::Remote { host, status, code, message },
        _ => FetchError::Status { host, status },
    }
}

async fn json(host: &str, response: Response) -> Result<Bytes, FetchError> {
    match timeout(JSON_TIMEOUT, collect(host, response, MAX_JSON)).await {
        Ok(collected) => collected,
        Err(_) => Err(FetchError::Timeout { host: host.to_owned(), patience: JSON_TIMEOUT }),
    }
}

/// Parses on a blocking thread, because the longest manifest takes milliseconds.
async fn parse(body: Bytes) -> Option<Value> {
    tokio::task::spawn_blocking(move || serde_json::from_slice(&body).ok()).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";

    fn url(source: &str) -> Option<String> {
        let source: Source = source.parse().ok()?;
        Some(source.url(UUID.parse().unwrap(), "/file").to_string())
    }

    #[test]
    fn a_source_may_have_a_path_and_a_channel() {
        let cases = [
            ("http://h", "http://h/images/UUID/file"),
            ("https://h:8443/", "https://h:8443/images/UUID/file"),
            ("https://h/a/b/", "https://h/a/b/images/UUID/file"),
            ("https://h?channel=dev", "https://h/images/UUID/file?channel=dev"),
            ("https://h/?x=y&channel=*#z", "https://h/images/UUID/file?channel=*"),
            ("https://h?channel=", "https://h/images/UUID/file"),
            ("https://h?channel=a%26b", "https://h/images/UUID/file?channel=a%26b"),
        ];
        for (source, expected) in cases {
            assert_eq!(url(source), Some(expected.replace("UUID", UUID)), "{source}");
        }
    }

    #[test]
    fn a_source_is_told_to_others_as_it_was_written_but_for_a_password() {
        let told = |source: &str| source.parse::<Source>().unwrap().to_string();
        for text in ["http://h", "https://h/a?channel=dev", "http://h?channel=a@b"] {
            assert_eq!(told(text), text);
        }
        assert_eq!(told("https://u:p@h/?channel=dev#x"), "https://h/?channel=dev");
    }

    #[test]
    fn a_source_is_called_anonymously() {
        assert_eq!(url("https://u:p@h/").unwrap(), format!("https://h/images/{UUID}/file"));
    }

    #[test]
    fn what_is_no_url_of_a_server_is_no_source() {
        for text in [
            "",
            "h",
            "h:80",
            "http:h",
            "http:/h",
            "http:///h",
            "http:\\\\h",
            "http://h\n",
            "/images",
            "ftp://h",
            "file:///etc/passwd",
            "http://",
            "data:,x",
        ] {
            assert_eq!(text.parse::<Source>().map(drop), Err(InvalidSource), "{text:?}");
        }
    }
}
