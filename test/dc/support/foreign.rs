// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Servers outside the datacenter, which answer as a test wants.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_util::task::AbortOnDropHandle;

/// The answer of a server to a request.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    bytes: Vec<u8>,
    then: Then,
}

/// The action after the bytes of the script.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// Closes the connection properly.
    Close,
    /// Breaks the connection off.
    Cut,
    /// Sends nothing more.
    Hang,
    /// Repeats the last bytes for as long as the client reads.
    Repeat,
}

impl Script {
    /// A complete answer with these header lines.
    pub(crate) fn answer(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Script {
        let length = format!("Content-Length: {}", body.as_ref().len());
        Script::raw(status, &[headers, &[&length]].concat(), body)
    }

    /// A complete JSON answer.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Script {
        Script::answer(status, &["Content-Type: application/json"], body.to_string())
    }

    /// An answer with only these header lines, and any body.
    pub(crate) fn raw(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Script {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} X\r\n{lines}Connection: close\r\n\r\n");
        Script { bytes: [head.as_bytes(), body.as_ref()].concat(), then: Then::Close }
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, location: &str) -> Script {
        Script::answer(status, &[&format!("Location: {location}")], "")
    }

    pub(crate) fn and_cut(self) -> Script {
        Script { then: Then::Cut, ..self }
    }

    pub(crate) fn and_hang(self) -> Script {
        Script { then: Then::Hang, ..self }
    }

    pub(crate) fn repeated(self) -> Script {
        Script { then: Then::Repeat, ..self }
    }

    /// No answer.
    pub(crate) fn silence() -> Script {
        Script { bytes: Vec::new(), then: Then::Hang }
    }
}

/// A certificate authority that is not trusted by default.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, issuer.pem().as_bytes()).unwrap();
        Authority { issuer, file }
    }

    /// Returns the path of the authority's certificate.
    pub(crate) fn path(&self) -> String {
        self.file.path().to_str().unwrap().to_owned()
    }

    fn acceptor(&self, address: SocketAddr) -> TlsAcceptor {
        let names = vec![address.ip().to_string(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A server outside the datacenter. The method and target of a request select the script; without one the answer is a 404.
pub(crate) struct Foreign {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    log: Arc<Log>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Log {
    scripts: Mutex<HashMap<String, Script>>,
    connections: Mutex<usize>,
    heads: Mutex<Vec<String>>,
}

impl Foreign {
    /// Starts a server without TLS, on a free port of this address.
    pub(crate) async fn http(ip: &str) -> Foreign {
        Foreign::start(ip, None).await
    }

    /// Starts a server with a certificate of `authority`.
    pub(crate) async fn https(ip: &str, authority: &Authority) -> Foreign {
        Foreign::start(ip, Some(authority)).await
    }

    async fn start(ip: &str, authority: Option<&Authority>) -> Foreign {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = authority.map(|authority| authority.acceptor(address));
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let log = Arc::<Log>::default();
        let serving = tokio::spawn(serve(listener, acceptor, Arc::clone(&log)));
        Foreign { address, scheme, log, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Sets the answer to a `GET` of this target.
    pub(crate) fn on(&self, target: &str, script: Script) {
        self.log.scripts.lock().unwrap().insert(format!("GET {target}"), script);
    }

    /// Returns the answer to a `GET` of this target.
    pub(crate) fn script(&self, target: &str) -> Script {
        self.log.scripts.lock().unwrap()[&format!("GET {target}")].clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Returns the number of connections, including failed ones.
    pub(crate) fn connections(&self) -> usize {
        *self.log.connections.lock().unwrap()
    }

    /// Returns the heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.log.heads.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, log: Arc<Log>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        *log.connections.lock().unwrap() += 1;
        tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&log)));
    }
}

/// Serves a connection. An error means that the client has gone, which is allowed.
async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, log: Arc<Log>) -> io::Result<()> {
    match acceptor {
        None => perform(stream, &log).await,
        Some(acceptor) => perform(acceptor.accept(stream).await?, &log).await,
    }
}

async fn perform<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, log: &Log) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let asked = head.split(" HTTP/").next().unwrap().to_owned();
    log.heads.lock().unwrap().push(head);
    let script = log.scripts.lock().unwrap().get(&asked).cloned();
    let script = script.unwrap_or_else(|| Script::answer(404, &[], "what?"));
    script.play(stream).await
}

impl Script {
    /// Sends the answer.
    pub(super) async fn play<S: AsyncWrite + Unpin>(&self, mut stream: S) -> io::Result<()> {
        stream.write_all(&self.bytes).await?;
        stream.flush().await?;
        match self.then {
            Then::Close => stream.shutdown().await,
            Then::Cut => Ok(()),
            Then::Hang => std::future::pending().await,
            Then::Repeat => loop {
                stream.write_all(&self.bytes[self.bytes.len().saturating_sub(1)..]).await?;
            },
        }
    }
}
