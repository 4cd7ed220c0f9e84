// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The server: a port, a store, and fault switches.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::answer::{self, Answer};
use super::auth::Authority;
use super::call::{Call, Failure};
use super::error::MantaError;
use super::faults::{HangUp, MantaFault, MantaFaults, RequestFaults, Stage};
use super::operations;
use super::path::ResourcePath;
use super::store::Store;
use crate::net::{Endpoint, Service};
use crate::ufds::LiveDirectory;

/// Settings of a Manta server.
#[derive(Debug, Clone)]
pub struct MantaOptions {
    /// Directory for all data; it is created if it does not exist.
    pub data_dir: PathBuf,
    /// The accounts and their keys.
    pub directory: LiveDirectory,
}

/// A Manta server.
#[derive(Debug)]
pub struct MantaServer {
    endpoint: Endpoint<Manta>,
    store: Store,
    authority: Authority,
    faults: MantaFaults,
}

#[derive(Debug)]
struct Manta {
    store: Store,
    authority: Authority,
    faults: MantaFaults,
}

impl Service for Manta {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.exchange(request));
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a connection to Manta broke");
        }
    }
}

impl Manta {
    /// Answers a request. An error closes the connection.
    async fn exchange(&self, request: Request<Incoming>) -> Result<Answer, HangUp> {
        let began = SystemTime::now();
        let request_id = request.headers().get("x-request-id").cloned();
        let request_id = request_id.or_else(|| HeaderValue::try_from(Uuid::new_v4().to_string()).ok());
        let path = ResourcePath::read(request.uri());
        let decoded = path.as_ref().map_or_else(|_| request.uri().path().to_owned(), ToString::to_string);
        let faults = RequestFaults::new(&self.faults, request.method().as_str(), decoded);
        let is_head = request.method() == Method::HEAD;
        let mut answer = match self.answer(request, path, faults.clone()).await {
            Ok(answer) => answer,
            Err(Failure::HangUp(hang_up)) => return Err(hang_up),
            Err(Failure::Answer(error)) => answer::failure(&error),
        };
        if is_head {
            answer = answer.map(|_| answer::no_body());
        }
        if faults.meet(Stage::Answer).await.is_some() {
            return Err(HangUp);
        }
        if let Some(request_id) = request_id {
            answer::sign_off(answer.headers_mut(), &request_id, began);
        }
        Ok(answer)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        path: Result<ResourcePath, MantaError>,
        faults: RequestFaults,
    ) -> Result<Answer, Failure> {
        match faults.meet(Stage::Head).await {
            Some(MantaFault::HangUp) => return Err(HangUp.into()),
            Some(MantaFault::InternalError) => return Err(io::Error::other("asked for").into()),
            Some(MantaFault::Unavailable { retry_after }) => {
                return Err(MantaError::ServiceUnavailable { retry_after }.into());
            }
            Some(MantaFault::BadGateway) => return Ok(answer::bad_gateway()),
            Some(MantaFault::Forbidden) => {
                let (caller, path) = ("the caller".to_owned(), path?.to_string());
                return Err(MantaError::AuthorizationFailed { caller, path }.into());
            }
            _ => {}
        }
        let path = path?;
        let (head, body) = request.into_parts();
        let access = self.authority.admit(&head, &path).await?;
        let call = Call { store: self.store.clone(), head, path, access, faults };
        operations::carry_out(&call, body).await
    }
}

impl MantaServer {
    /// Opens the store and listens on `address`. Port 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or the port cannot be bound.
    pub async fn bind(address: SocketAddr, options: MantaOptions) -> io::Result<Self> {
        let MantaOptions { data_dir, directory } = options;
        let store =
            tokio::task::spawn_blocking(move || Store::open(&data_dir)).await.map_err(io::Error::other)??;
        let faults = MantaFaults::default();
        let authority = Authority::new(directory);
        let manta = Manta { store: store.clone(), authority: authority.clone(), faults: faults.clone() };
        Ok(Self { endpoint: Endpoint::bind(address, manta).await?, store, authority, faults })
    }

    /// Returns the address that the server listens on, or did before [`stop`](Self::stop).
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Returns the URL, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the fingerprint of the key that signed the latest request, as `ssh-keygen -E md5 -l` prints it.
    pub fn latest_key(&self) -> Option<String> {
        self.authority.latest_key()
    }

    /// Returns the fault switches.
    pub fn faults(&self) -> &MantaFaults {
        &self.faults
    }

    /// Makes entries whose path ends with `end`, without percent-encoding, look as if they had been stored earlier by `by`.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn age(&self, end: &str, by: Duration) -> io::Result<()> {
        self.store.age(end.to_owned(), by).await
    }

    /// Closes the port and all connections. Changes that have begun are finished.
    pub async fn stop(&self) {
        self.endpoint.stop().await;
    }

    /// Listens again on the same port with the same data.
    ///
    /// # Errors
    ///
    /// Fails if the port cannot be bound.
    pub async fn start(&self) -> io::Result<()> {
        self.endpoint.start().await
    }
}
