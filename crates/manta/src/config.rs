// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Settings of a client: the address of Manta, the account, times and limits.

use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use http_signature::PrivateKey;

/// Settings of a [`Client`](crate::Client). [`Config::new`] sets the defaults named here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// URL of Manta: `https://HOST[:PORT]`, or `http` for a Manta on an internal address.
    pub url: String,
    /// Login of the account in whose name requests are signed.
    pub account: String,
    /// Login of a sub-user of the account, if the key belongs to the sub-user. Default: none.
    pub subuser: Option<String>,
    /// The key that signs requests. Manta identifies it by the MD5 fingerprint of its public part.
    pub key: PrivateKey,
    /// Whether to accept any server certificate. Default: `false`.
    pub insecure: bool,
    /// The `user-agent` header. Default: `manta/` and the version of this crate.
    pub user_agent: String,
    /// Maximum number of idle connections to keep. Default: 100.
    pub idle_connections: usize,
    /// Time for which an idle connection is kept. Default: 30 s. Load balancers close idle connections after 60 s.
    pub idle_connection_limit: Duration,
    /// Timeout for name lookup, connection and TLS handshake together. Default: 5 s.
    pub connect_timeout: Duration,
    /// Time without progress, sending or receiving, after which a request fails. Default: 60 s. There is no limit for the total
    /// time.
    pub idle_timeout: Duration,
    /// Time to wait for `100 Continue`. After it, the upload begins without it. Default: 1 s.
    pub continue_timeout: Duration,
    /// Maximum number of attempts at requests that are safe to repeat. Default: 3. For a download, attempts in a row without data
    /// count.
    pub attempts: u32,
    /// First wait between attempts. Default: 200 ms. It doubles with each further attempt. Waits have a jitter of 50 % in both
    /// directions.
    pub backoff_initial: Duration,
    /// Longest wait between attempts. Default: 4 s.
    pub backoff_max: Duration,
    /// Longest `retry-after` that the client waits for. Default: 10 s. If the server asks for more, the call fails at once; the
    /// error contains the requested time.
    pub retry_after_max: Duration,
}

impl Config {
    /// The default settings for a server, an account and its key.
    pub fn new(url: impl Into<String>, account: impl Into<String>, key: PrivateKey) -> Config {
        Config {
            url: url.into(),
            account: account.into(),
            subuser: None,
            key,
            insecure: false,
            user_agent: concat!("manta/", env!("CARGO_PKG_VERSION")).to_owned(),
            idle_connections: 100,
            idle_connection_limit: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            continue_timeout: Duration::from_secs(1),
            attempts: 3,
            backoff_initial: Duration::from_millis(200),
            backoff_max: Duration::from_secs(4),
            retry_after_max: Duration::from_secs(10),
        }
    }

    /// Returns the scheme and host of the URL, which must not contain anything else.
    pub(crate) fn origin(&self) -> Result<(Scheme, Authority), ConfigError> {
        let uri: Uri = self.url.parse().map_err(|_| ConfigError::Url)?;
        let parts = uri.into_parts();
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(host))
                if bare
                    && (scheme == Scheme::HTTP || scheme == Scheme::HTTPS)
                    && !host.as_str().contains('@') =>
            {
                Ok((scheme, host))
            }
            _ => Err(ConfigError::Url),
        }
    }

    /// Returns the name of the key in requests.
    pub(crate) fn key_id(&self) -> Result<String, ConfigError> {
        let fingerprint = self.key.md5_fingerprint();
        let mut names = vec![login(&self.account)?];
        if let Some(subuser) = &self.subuser {
            names.push(login(subuser)?);
        }
        Ok(format!("/{}/keys/{fingerprint}", names.join("/")))
    }
}

fn login(name: &str) -> Result<&str, ConfigError> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '"' | '\\' | ',');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(ConfigError::Login(name.to_owned()));
    }
    Ok(name)
}

/// Why no client can be created with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is not `http` or `https` with a host only. It is not shown, because it may contain a password.
    #[error("the url must be http or https and a host, without user, path and query")]
    Url,
    /// The login of the account or of the sub-user is invalid.
    #[error("{0:?} cannot be a login")]
    Login(String),
    /// The user agent cannot be sent in a header.
    #[error("the user agent cannot stand in a header")]
    UserAgent,
    /// The key cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(String),
    /// No certificates to verify servers with could be read.
    #[error("no certificates to verify servers with: {0}")]
    Certificates(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../../http-signature/tests/data/keys/ed25519");

    fn config(url: &str) -> Config {
        Config::new(url, "admin", PrivateKey::from_pem(KEY).unwrap())
    }

    #[test]
    fn a_url_is_a_scheme_and_a_host() {
        for url in ["http://localhost", "https://manta.example.com/", "https://[::1]:8443"] {
            assert!(config(url).origin().is_ok(), "{url}");
        }
        for url in
            ["", "manta", "/x", "ftp://x", "https://u:p@x", "https://x/path", "https://x/?a", "https://"]
        {
            assert_eq!(config(url).origin(), Err(ConfigError::Url), "{url}");
        }
    }

    #[test]
    fn a_key_is_named_after_its_owner_and_its_md5() {
        let mut config = config("http://x");
        let fingerprint = "6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59";
        assert_eq!(config.key_id().unwrap(), format!("/admin/keys/{fingerprint}"));
        config.subuser = Some("imgapi".into());
        assert_eq!(config.key_id().unwrap(), format!("/admin/imgapi/keys/{fingerprint}"));
        for login in ["", "a/b", "a\"b", "a b"] {
            config.account = login.into();
            assert_eq!(config.key_id(), Err(ConfigError::Login(login.into())));
        }
    }

    #[test]
    fn a_config_does_not_show_the_key() {
        assert!(!format!("{:?}", config("http://x")).contains("PRIVATE"));
    }
}
