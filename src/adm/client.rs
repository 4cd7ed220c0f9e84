// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http_signature::{Head, PrivateKey, Signer};
use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client as HttpClient, Method, Request, StatusCode, Url, Version};
use serde_json::Value;

use super::Adm;
use crate::answers::{self, AnswerError};
use crate::config::{Auth, Config};
use crate::platform::processors;

/// How long an answer may take, unless it is known to take longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The time limit of a question that has a fallback.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The tool's name in the User-Agent, as in 4.13.1.
const NAME: &str = concat!("imgapiadm/", env!("CARGO_PKG_VERSION"));
/// The parts of a request that a signature covers.
const SIGNED: [&str; 2] = ["date", "(request-target)"];

/// A client of the service of a configuration.
pub(super) struct Client {
    base: Url,
    credentials: Credentials,
    http: HttpClient,
}

/// What a service reports as its directory of local data.
pub(super) enum BaseDir {
    /// The path of the directory.
    Is(PathBuf),
    /// The service reports it to authenticated callers only.
    Secret,
    /// No service answers, or it does not report the directory.
    Unknown,
}

/// The answer to a request: its status, and its body, which should be JSON.
struct Answer {
    status: StatusCode,
    body: serde_json::Result<Value>,
}

/// How a request authenticates its caller.
enum Credentials {
    None,
    Signature(Signer),
    Basic { user: String, password: String },
}

impl Client {
    pub(super) fn new(config: &Config, adm: &Adm) -> Result<Client, String> {
        Client::with(config, adm, Credentials::new(config, adm)?)
    }

    /// Makes a client that does not authenticate.
    pub(super) fn anonymous(config: &Config, adm: &Adm) -> Result<Client, String> {
        Client::with(config, adm, Credentials::None)
    }

    fn with(config: &Config, adm: &Adm, credentials: Credentials) -> Result<Client, String> {
        let base = match &adm.url {
            Some(url) => Url::parse(url).map_err(|error| format!("--url: {error}"))?,
            None => url_of(config)?,
        };
        let http = answers::client_builder(base.scheme() != "http").map_err(|error| error.to_string())?;
        let http = http.build().map_err(|error| error.to_string())?;
        Ok(Client { base, credentials, http })
    }

    /// Returns the service's JSON answer to a GET.
    pub(super) fn get(&self, path: &str) -> Result<Value, String> {
        run(self.ask(Method::GET, path, PATIENCE))?
    }

    /// Asks the service for its directory of local data.
    pub(super) fn base_dir(&self) -> BaseDir {
        let answer = run(self.exchange(Method::GET, "/state", SHORT_PATIENCE));
        let Ok(Ok(Answer { status, body: Ok(body) })) = answer else { return BaseDir::Unknown };
        match body.get("localBaseDir").and_then(Value::as_str) {
            Some(directory) => BaseDir::Is(directory.into()),
            None if status == StatusCode::UNAUTHORIZED => BaseDir::Secret,
            // 4.13.1 does not report it either.
            None => BaseDir::Unknown,
        }
    }

    /// Returns the URL of the service.
    pub(super) fn url(&self) -> &Url {
        &self.base
    }

    /// Returns whether the service and its backends work, and the service's answer to a deep ping.
    pub(super) fn deep_ping(&self) -> Result<(bool, Value), String> {
        let answer = run(self.exchange(Method::GET, "/ping?deep=true", PATIENCE))??;
        match (answer.status, &answer.body) {
            (StatusCode::OK, Ok(body)) => Ok((true, body.clone())),
            (StatusCode::SERVICE_UNAVAILABLE, Ok(body)) if body.get("backends").is_some() => {
                Ok((false, body.clone()))
            }
            _ => Err(answer.success().err().unwrap_or_default()),
        }
    }

    /// Returns the service's JSON answer, within this time.
    pub(super) async fn ask(&self, method: Method, path: &str, limits: Duration) -> Result<Value, String> {
        self.exchange(method, path, limits).await?.success()
    }

    async fn exchange(&self, method: Method, path: &str, limits: Duration) -> Result<Answer, String> {
        let url = self.base.join(path).map_err(|error| error.to_string())?;
        let mut request = Request::new(method, url);
        *request.timeout_mut() = Some(limits);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.credentials.add_to(&mut request)?;
        let failed = |error: reqwest::Error| {
            format!("no answer from {}: {}", self.base, crate::telemetry::err(&error.without_url()).message())
        };
        let answer = self.http.execute(request).await.map_err(failed)?;
        let status = answer.status();
        let body = answers::whole(answer, MAX_ANSWER).await.map_err(|error| match error {
            AnswerError::Broken(error) => failed(error),
            error @ AnswerError::TooLong(_) => format!("the answer cannot be used: {error}"),
        })?;
        Ok(Answer { status, body: serde_json::from_slice(&body) })
    }
}

impl Answer {
    fn success(self) -> Result<Value, String> {
        if self.status.is_success() {
            return self.body.map_err(|error| format!("the answer is no JSON: {error}"));
        }
        let text = |value: &Value, key| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.body {
            Ok(refusal) => Err(format!("error ({}): {}", text(&refusal, "code"), text(&refusal, "message"))),
            Err(_) => Err(format!("the answer is {}", self.status)),
        }
    }
}

/// Runs a future to its end.
pub(super) fn run<F: Future>(work: F) -> Result<F::Output, String> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(processors()).enable_all().build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(work))
}

/// Returns the URL at which a client on the same host reaches the service.
fn url_of(config: &Config) -> Result<Url, String> {
    let address = match config.address {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    if config.port == 0 {
        return Err("the configuration lets the system choose the port: --url is needed".to_owned());
    }
    Url::parse(&format!("http://{}", SocketAddr::new(address, config.port)))
        .map_err(|error| error.to_string())
}

impl Credentials {
    fn new(config: &Config, adm: &Adm) -> Result<Credentials, String> {
        match (&config.auth, &adm.user) {
            (Auth::None, _) => Ok(Credentials::None),
            (_, None) => Err("the service knows its users: --user is needed".to_owned()),
            (Auth::Basic(_), Some(user)) => {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line);
                read.map_err(|error| format!("cannot read the password: {error}"))?;
                let password = line.trim_end_matches(['\r', '\n']).to_owned();
                Ok(Credentials::Basic { user: user.clone(), password })
            }
            (Auth::Signature(_), Some(user)) => {
                let file = adm
                    .identity
                    .as_ref()
                    .ok_or("the service knows its users by keys: --identity is needed")?;
                let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
                let pem = fs::read_to_string(file).map_err(|error| failed(&error))?;
                let key = PrivateKey::from_pem(&pem).map_err(|error| failed(&error))?;
                Signer::new(user, key).map(Credentials::Signature).map_err(|error| format!("--user: {error}"))
            }
        }
    }

    fn add_to(&self, request: &mut Request) -> Result<(), String> {
        match self {
            Credentials::None => {}
            Credentials::Basic { user, password } => {
                let mut value = basic(user, password)?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            Credentials::Signature(signer) => {
                let date = httpdate::fmt_http_date(SystemTime::now());
                let date = HeaderValue::try_from(date).map_err(|error| error.to_string())?;
                let target = match request.url().query() {
                    Some(query) => format!("{}?{query}", request.url().path()),
                    None => request.url().path().to_owned(),
                };
                let headers: HeaderMap = [(DATE, date)].into_iter().collect();
                let head = Head {
                    method: request.method().as_str(),
                    target: &target,
                    version: Version::HTTP_11,
                    headers: &headers,
                };
                let authorization = signer.sign(&head, &SIGNED).map_err(|error| error.to_string())?;
                request.headers_mut().extend(headers);
                request.headers_mut().insert(AUTHORIZATION, authorization);
            }
        }
        Ok(())
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, String> {
    use base64::Engine;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    HeaderValue::try_from(format!("Basic {credentials}")).map_err(|error| error.to_string())
}
