// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A server whose every answer the test writes.

mod exchange;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use exchange::{Exchange, Io};
use http_signature::{PrivateKey, PublicKey};
use manta::{Client, Config, Path};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

/// Waits for something that must happen. The limit is generous enough for a slow machine.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("not within 60 s")
}

/// Runs both sides of an exchange.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    soon(async { tokio::join!(a, b) }).await
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

/// Returns the content of a key file from the tests of `http-signature`.
pub(crate) fn key_file(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../http-signature/tests/data/keys");
    fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

pub(crate) fn private_key(name: &str) -> PrivateKey {
    PrivateKey::from_pem(&key_file(name)).unwrap()
}

pub(crate) fn public_key(name: &str) -> PublicKey {
    PublicKey::from_openssh(&key_file(&format!("{name}.pub"))).unwrap()
}

/// A listener, and the requests that it received.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    accepted: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Peer {
    pub(crate) async fn start() -> Peer {
        Peer::accepting(None).await
    }

    pub(crate) async fn encrypted(acceptor: TlsAcceptor) -> Peer {
        Peer::accepting(Some(acceptor)).await
    }

    async fn accepting(acceptor: Option<TlsAcceptor>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (back, exchanges) = mpsc::unbounded_channel();
        let stop = tokio_util::sync::CancellationToken::new();
        let (stopped, accepted) = (stop.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&accepted);
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (acceptor, back) = (acceptor.clone(), back.clone());
                tokio::spawn(async move {
                    let io: Box<dyn Io> = match acceptor {
                        None => Box::new(stream),
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(encrypted) => Box::new(encrypted),
                            Err(_) => return,
                        },
                    };
                    Exchange::read(io, back).await;
                });
            }
        }));
        Peer { address, exchanges, accepted, _stop: stop.drop_guard() }
    }

    /// Returns the next request on any connection.
    pub(crate) async fn next(&mut self) -> Exchange {
        soon(self.exchanges.recv()).await.unwrap()
    }

    /// Returns whether another request has arrived.
    pub(crate) fn has_more(&mut self) -> bool {
        self.exchanges.try_recv().is_ok()
    }

    /// Returns the number of accepted connections.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Returns settings that do not make a test wait.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(format!("http://{}", self.address), "admin", private_key("ed25519"));
        config.backoff_initial = Duration::from_millis(1);
        config.continue_timeout = Duration::from_secs(30);
        config
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    /// Returns a client with a short timeout, for tests in which nothing else can happen.
    pub(crate) fn impatient(&self) -> Client {
        let mut config = self.config();
        config.idle_timeout = Duration::from_millis(200);
        config.attempts = 1;
        Client::new(config).unwrap()
    }
}

/// Returns reproducible bytes, no two parts of which are equal.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&numbers.next_number().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A xorshift generator, which yields the same numbers every time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next_number() % limit as u64).unwrap()
    }
}
