// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::str::FromStr;

use reqwest::Response;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use super::Fetcher;
use super::body::RemoteFile;
use super::client::{host, scheme};
use super::error::FetchError;

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// The URL of a file: a text that begins with `https://`. `None` if the rest is not a valid URL. As in 4.13.1, that is
/// reported only when the file is fetched.
#[derive(Debug, Clone)]
pub struct FileUrl(Option<Url>);

/// The text does not begin with `https://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an https URL")]
pub struct InvalidFileUrl;

impl FromStr for FileUrl {
    type Err = InvalidFileUrl;

    /// The user name and the password are dropped, as in 4.13.1.
    fn from_str(text: &str) -> Result<FileUrl, InvalidFileUrl> {
        if !scheme(text).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
            return Err(InvalidFileUrl);
        }
        Ok(FileUrl(text.parse().ok().and_then(cleaned)))
    }
}

/// Returns the URL as it is requested; `None` if it cannot be fetched.
fn cleaned(mut url: Url) -> Option<Url> {
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_fragment(None);
    (url.scheme() == "https").then_some(url)
}

impl Fetcher {
    /// Starts to fetch a file. Redirects are followed, but only to https URLs, and every address on the way is checked.
    ///
    /// # Errors
    /// There is no answer with status 200 in the end.
    pub async fn file(&self, url: &FileUrl) -> Result<RemoteFile, FetchError> {
        let mut url = url.0.clone().ok_or(FetchError::NoUrl)?;
        let socket = self.socket().await?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.file_urls.get(url.clone(), HeaderMap::new()).await?;
            let host = host(&url);
            match response.status().as_u16() {
                200 => return Ok(RemoteFile::new(host, response, socket)),
                301 | 302 | 303 | 307 | 308 => url = redirected(&url, &response)?,
                status => return Err(FetchError::Status { host, status }),
            }
        }
        Err(FetchError::Redirect { host: host(&url), problem: "once too often" })
    }
}

fn redirected(from: &Url, response: &Response) -> Result<Url, FetchError> {
    let refused = |problem| FetchError::Redirect { host: host(from), problem };
    let location = location(from, response).ok_or_else(|| refused("to nowhere"))?;
    cleaned(location).ok_or_else(|| refused("to what is no https URL"))
}

/// Returns the URL that a redirect names, without credentials; `None` if it names none.
pub(super) fn location(from: &Url, response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?;
    let mut url = from.join(std::str::from_utf8(location.as_bytes()).ok()?).ok()?;
    // A URL without a host has no credentials either.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_fragment(None);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<String>, InvalidFileUrl> {
        text.parse().map(|FileUrl(url)| url.map(String::from))
    }

    #[test]
    fn a_file_url_is_an_https_url() {
        assert_eq!(parsed("https://h/a%20b?c=d"), Ok(Some("https://h/a%20b?c=d".to_owned())));
        assert_eq!(parsed("https://h:444"), Ok(Some("https://h:444/".to_owned())));
        assert_eq!(parsed("HTTPS://H/A"), Ok(Some("https://h/A".to_owned())));
        for other in ["", "h", "http://h/", " https://h/", "https", "https:", "ftp://h/", "file:///x"] {
            assert_eq!(parsed(other), Err(InvalidFileUrl), "{other:?}");
        }
        // Browsers would accept these, but they do not name a server.
        for other in ["https:h/", "https:/h/", "https:///h/", "https:\\\\h/", "https://\\h/", "https://h\n/"]
        {
            assert_eq!(parsed(other), Err(InvalidFileUrl), "{other:?}");
        }
        for none in ["https://", "https://:80/", "https://h:x/", "https://[/"] {
            assert_eq!(parsed(none), Ok(None), "{none:?}");
        }
    }

    #[test]
    fn credentials_and_fragments_are_not_sent() {
        assert_eq!(parsed("https://u:p@h/x#y"), Ok(Some("https://h/x".to_owned())));
    }
}
