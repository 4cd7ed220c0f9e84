// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One FAST connection: many requests at once, answered in the order in which they finish.
//!
//! Frames are sent as node-fast's server sends them: each in a write of its own, on a socket without `TCP_NODELAY`. So a client
//! that delays the acknowledgement of a frame also delays the next frame.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moray::fast::{Envelope, ErrorPayload, Frame, FrameCodec, FrameError, Status, Version};
use serde_json::{Value, json};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::CancellationToken;

use super::error::MorayError;
use super::faults::{Fault, Faults};
use super::rpc::{Method, call};
use super::store::Store;

/// Maximum size of a request, in bytes.
const MAX_PAYLOAD: usize = 16 << 20;
/// Maximum number of requests of one connection at a time. Beyond it, no more are read.
const MAX_PENDING: usize = 256;
/// Maximum number of frames that wait for the socket.
const QUEUE: usize = 64;
/// Time for a peer to accept a frame. After that the connection is closed.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// Serves a connection until it ends or violates the protocol.
pub(super) async fn serve(stream: TcpStream, store: Store, faults: Faults) {
    let (reader, writer) = stream.into_split();
    let (frames, queue) = mpsc::channel(QUEUE);
    let hangup = CancellationToken::new();
    let shared = ConnectionContext { store, faults, frames, pending: Arc::default(), hangup: hangup.clone() };
    tokio::join!(
        async {
            if hangup.run_until_cancelled(read(reader, shared)).await.is_some_and(|outcome| outcome.is_err())
            {
                hangup.cancel();
            }
        },
        async {
            if hangup.run_until_cancelled(write(writer, queue)).await == Some(false) {
                hangup.cancel();
            }
        },
    );
}

/// State shared by the requests of a connection.
#[derive(Clone)]
struct ConnectionContext {
    store: Store,
    faults: Faults,
    frames: mpsc::Sender<Frame>,
    pending: Arc<Mutex<HashSet<u32>>>,
    hangup: CancellationToken,
}

/// The peer violated the protocol, so the connection must be closed.
struct Broken;

/// Reads requests until the peer stops sending, then waits for the requests that still run.
async fn read(reader: OwnedReadHalf, shared: ConnectionContext) -> Result<(), Broken> {
    let mut incoming = FramedRead::new(reader, FrameCodec::new(MAX_PAYLOAD));
    // If the connection breaks, dropping the set drops the requests.
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = requests.join_next() => {}
            frame = incoming.next(), if requests.len() < MAX_PENDING => match frame {
                None => break,
                Some(Ok(frame)) => {
                    if let Some(request) = accept(frame, &shared)? {
                        requests.spawn(answer(request, shared.clone()));
                    }
                }
                Some(Err(error)) => {
                    if let FrameError::Protocol(error) = error {
                        tracing::warn!(%error, "connection closed: the peer broke the protocol");
                    }
                    return Err(Broken);
                }
            },
        }
    }
    while requests.join_next().await.is_some() {}
    Ok(())
}

/// Sends the queued frames one by one. Returns `false` if the peer does not accept them.
async fn write(writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Frame>) -> bool {
    let mut outgoing = FramedWrite::new(writer, FrameCodec::default());
    while let Some(frame) = queue.recv().await {
        match tokio::time::timeout(SEND_DEADLINE, outgoing.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    tokio::time::timeout(SEND_DEADLINE, outgoing.close()).await.is_ok_and(|closed| closed.is_ok())
}

/// A request to answer.
struct Request {
    version: Version,
    msgid: u32,
    envelope: Envelope,
}

/// Checks a frame. An ERROR frame from a client is ignored, as in node-fast; an END frame violates the protocol.
fn accept(frame: Frame, shared: &ConnectionContext) -> Result<Option<Request>, Broken> {
    match frame.status {
        Status::Error => return Ok(None),
        Status::End => return Err(Broken),
        Status::Data => {}
    }
    let envelope = Envelope::parse(&frame.payload).map_err(|error| {
        tracing::warn!(%error, "connection closed: the peer broke the protocol");
        Broken
    })?;
    if !shared.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(frame.msgid) {
        tracing::warn!(msgid = frame.msgid, "connection closed: the message id is in use");
        return Err(Broken);
    }
    Ok(Some(Request { version: frame.version, msgid: frame.msgid, envelope }))
}

async fn answer(request: Request, shared: ConnectionContext) {
    let Request { version, msgid, envelope } = request;
    let name = envelope.method.clone().unwrap_or_default();
    let reply = Reply { shared: &shared, version, msgid, name: &name };
    let Some(method) = Method::from_name(&name) else {
        return reply.fail(&fast_error(&envelope, msgid)).await;
    };
    let fault = shared.faults.meet(&name, method.is_write()).await;
    if let Some(error) = fault.and_then(|fault| refusal(fault, &name)) {
        return reply.fail(&error.to_payload()).await;
    }
    let arguments: Result<Vec<Value>, _> =
        envelope.items.iter().map(|item| serde_json::from_str(item.get())).collect();
    let outcome = match arguments {
        Ok(arguments) => call(&shared.store, method, arguments).await,
        Err(error) => Err(MorayError::Invocation(format!("{name} arguments: {error}"))),
    };
    if fault == Some(Fault::HangUpAfterWrite) {
        return shared.hangup.cancel();
    }
    match outcome {
        Ok(_) if fault == Some(Fault::DatabaseLostAfterWrite) => {
            reply.fail(&MorayError::DatabaseLost.to_payload()).await;
        }
        Ok(rows) if fault == Some(Fault::ErrorAfterData) => {
            reply.data(&rows[..rows.len().min(1)]).await;
            reply.fail(&MorayError::connection_refused().to_payload()).await;
        }
        Ok(rows) if fault == Some(Fault::RowsInEnd) => reply.end(&rows).await,
        Ok(rows) => {
            for row in rows.chunks(1) {
                reply.data(row).await;
            }
            reply.end(&[]).await;
        }
        Err(error) => {
            tracing::debug!(method = name, %error, "request failed");
            reply.fail(&error.to_payload()).await;
        }
    }
}

/// Returns the error with which a fault replaces the operation.
fn refusal(fault: Fault, method: &str) -> Option<MorayError> {
    Some(match fault {
        Fault::Refuse => MorayError::connection_refused(),
        Fault::NoDatabasePeers => MorayError::NoDatabasePeers,
        Fault::DatabaseLost => MorayError::DatabaseLost,
        // The statement named is the first one by which the method would change something.
        Fault::ReadOnly if method.starts_with("del") => MorayError::ReadOnly("DELETE"),
        Fault::ReadOnly => MorayError::ReadOnly("SELECT FOR UPDATE"),
        _ => return None,
    })
}

/// Returns node-fast's error for an unknown method, or for a request without a method.
fn fast_error(envelope: &Envelope, msgid: u32) -> ErrorPayload {
    let (message, info) = match &envelope.method {
        Some(name) => (
            format!("unsupported RPC method: {}", Value::from(name.as_str())),
            json!({"fastReason": "bad_method", "rpcMethod": name, "rpcMsgid": msgid}),
        ),
        None => ("RPC request is not well-formed".to_owned(), json!({"fastReason": "bad_data"})),
    };
    ErrorPayload { context: Some(json!({})), info: Some(info), ..ErrorPayload::new("FastError", message) }
}

/// Writes the frames of one reply.
struct Reply<'a> {
    shared: &'a ConnectionContext,
    version: Version,
    msgid: u32,
    name: &'a str,
}

impl Reply<'_> {
    async fn data(&self, rows: &[Value]) {
        if !rows.is_empty() {
            self.send(Frame::data(self.version, self.msgid, self.name, rows)).await;
        }
    }

    async fn end(&self, rows: &[Value]) {
        let frame = Frame::data(self.version, self.msgid, self.name, rows)
            .map(|frame| Frame { status: Status::End, ..frame });
        self.finish(frame).await;
    }

    async fn fail(&self, error: &ErrorPayload) {
        self.finish(Frame::error(self.version, self.msgid, self.name, error)).await;
    }

    /// Frees the message id before the last frame is sent, because the client may use the id again at once.
    async fn finish(&self, frame: serde_json::Result<Frame>) {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.msgid);
        self.send(frame).await;
    }

    async fn send(&self, frame: serde_json::Result<Frame>) {
        match frame {
            // The queue is closed with the connection, and then the frame has no receiver.
            Ok(frame) => drop(self.shared.frames.send(frame).await),
            Err(error) => {
                tracing::error!(%error, "cannot write a reply");
                self.shared.hangup.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::net::TcpListener;

    use super::*;
    use crate::moray::Location;

    /// Records each write separately.
    #[derive(Default)]
    struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

    impl AsyncWrite for Writes {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn each_frame_is_a_write_of_its_own_even_if_others_wait() {
        let (frames, queue) = mpsc::channel(QUEUE);
        let frame = Frame::data(Version::V2, 1, "findObjects", &[json!({})]).unwrap();
        for _ in 0..3 {
            frames.send(frame.clone()).await.unwrap();
        }
        drop(frames);
        let writes = Writes::default();
        let written = Arc::clone(&writes.0);
        assert!(write(writes, queue).await);
        let written = written.lock().unwrap();
        assert_eq!(written.len(), 3);
        assert!(written.iter().all(|bytes| *bytes == written[0]));
    }

    #[tokio::test]
    async fn the_system_may_hold_a_frame_back_until_the_one_before_it_was_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let stream = stream.into_std().unwrap();
        let socket = stream.try_clone().unwrap();
        let store = Store::open(&Location::Memory).unwrap();
        let serving = tokio::spawn(serve(TcpStream::from_std(stream).unwrap(), store, Faults::default()));
        let mut client = tokio_util::codec::Framed::new(client, FrameCodec::default());
        let request = Frame::data(Version::V2, 1, "version", &[json!({})]).unwrap();
        client.send(request).await.unwrap();
        for status in [Status::Data, Status::End] {
            assert_eq!(client.next().await.unwrap().unwrap().status, status);
        }
        assert!(!socket.nodelay().unwrap());
        drop(client);
        serving.await.unwrap();
    }
}
