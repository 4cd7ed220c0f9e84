// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Answers to the challenges of a registry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Request, Response};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::{Registry, collect};
use crate::import::client::host;
use crate::import::registry::challenge::{Challenge, choose};
use crate::import::registry::credentials::Credentials;
use crate::import::registry::error::RegistryError;

/// The longest answer of a token server in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// The most scopes of a challenge that are passed on to the token server.
const MAX_SCOPES: usize = 8;

/// What is done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Images are fetched.
    Pull,
    /// Images are fetched and sent.
    Push,
}

/// The header `Authorization` of a registry's requests. None is sent until the registry asks for it.
#[derive(Default)]
pub(super) struct Authorization(Mutex<Option<HeaderValue>>);

#[derive(Deserialize)]
struct Token {
    /// The Docker form.
    token: Option<String>,
    /// The OAuth 2 form.
    access_token: Option<String>,
}

impl Authorization {
    pub(super) async fn current(&self) -> Option<HeaderValue> {
        self.0.lock().await.clone()
    }

    /// Replaces the header after an answer 401 to a request that had the header `used`. Requests that fail at the same
    /// time, because a token expired, get the same new one.
    pub(super) async fn renew(
        &self,
        registry: &Registry,
        response: &Response,
        used: Option<&HeaderValue>,
        what: &str,
    ) -> Result<(), RegistryError> {
        let mut current = self.0.lock().await;
        if current.as_ref() != used {
            return Ok(());
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = choose(headers.filter_map(|header| header.to_str().ok()));
        let value = match challenge {
            Some(Challenge::Bearer { realm, service, scopes }) => {
                registry.token(&realm, service.as_deref(), scopes, what).await?
            }
            Some(Challenge::Basic) => {
                registry.credentials().map(basic).ok_or_else(|| registry.unauthorized(what))?
            }
            None => return Err(registry.unauthorized(what)),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| registry.unauthorized(what))?;
        value.set_sensitive(true);
        *current = Some(value);
        Ok(())
    }
}

/// Returns the header value of a name and a password.
fn basic(credentials: &Credentials) -> String {
    let text = format!("{}:{}", credentials.username, credentials.password.expose());
    format!("Basic {}", STANDARD.encode(text))
}

impl Registry {
    /// Gets a token from the server that the registry names. Name and password are sent there, so that the connection
    /// must be as safe as the one to the registry.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: Vec<String>,
        what: &str,
    ) -> Result<String, RegistryError> {
        let unusable = |problem: &str| {
            RegistryError::Invalid(format!("{} asks for a token {problem}", host(self.server())))
        };
        let mut url: Url = realm.parse().map_err(|_| unusable("of a server whose URL is wrong"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.server().scheme() == "http" || self.clients().insecure => {}
            _ => return Err(unusable("that would be fetched without encryption")),
        }
        url.set_fragment(None);
        let own_scope = self.scope();
        let more = (!scopes.contains(&own_scope)).then_some(own_scope);
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(scopes.into_iter().take(MAX_SCOPES).chain(more).map(|scope| ("scope", scope)))
            .extend_pairs(self.credentials().map(|credentials| ("account", credentials.username.as_str())));
        let response = self
            .patiently(|| {
                let mut request = Request::new(Method::GET, url.clone());
                let value = self.credentials().and_then(|credentials| basic(credentials).parse().ok());
                if let Some(mut value) = value {
                    HeaderValue::set_sensitive(&mut value, true);
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
                request
            })
            .await?;
        match response.status().as_u16() {
            200 => {}
            400 | 401 | 403 => return Err(self.unauthorized(what)),
            status => {
                let (host, what) = (host(&url), "a token".to_owned());
                return Err(RegistryError::Refused { host, what, status, told: None });
            }
        }
        let body = collect(&host(&url), response, MAX_ANSWER).await?;
        let token: Option<Token> = serde_json::from_slice(&body).ok();
        let token =
            token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| unusable("of a server that sends none"))
    }
}
