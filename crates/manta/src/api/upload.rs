// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Uploads whose body is sent while it is produced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::put::{NewObject, Stored};
use crate::client::{Answer, Answering, Client, Request};
use crate::error::Error;
use crate::path::Path;

/// Maximum size of a piece that is passed to the connection at once, in bytes. The connection must accept at least this much
/// within one idle timeout.
const PIECE: usize = 128 << 10;
/// Maximum number of pieces that wait to be sent.
const QUEUE: usize = 4;

/// An object that is being stored. Nothing of it is visible before [`Upload::finish`]. If the upload is dropped earlier, the
/// connection is closed in the middle of the body, and Manta keeps the old object.
pub struct Upload {
    /// The object as it was announced.
    object: NewObject,
    /// Number of bytes that must be written, if known.
    length: Option<u64>,
    pieces: mpsc::Sender<Piece>,
    /// The pending answer. `None` during a write, and permanently after a failed one.
    answering: Option<Answering>,
    sent: u64,
    /// The last byte of a body of known length. It is held back because Manta stores the object as soon as the body is complete.
    last: Bytes,
    limit: Duration,
}

enum Piece {
    Data(Bytes),
    End,
}

impl Client {
    /// Begins to store an object. Returns when the server is ready for the body, or when
    /// [`Config::continue_timeout`](crate::Config::continue_timeout) has passed. Until then the request is retried like any
    /// other, because nothing can have been stored.
    ///
    /// # Errors
    /// `DirectoryDoesNotExist`, `ParentNotDirectory`, `OperationNotAllowedOnDirectory`, `PreconditionFailed`, `NotEnoughSpace`,
    /// `AuthorizationFailed`. In these cases no byte of the body was sent.
    pub async fn put(&self, path: &Path, object: &NewObject) -> Result<Upload, Error> {
        let announced = match object.length {
            // A request of length 0 would be complete with its head, so the length is not announced.
            Some(0) => &NewObject { length: None, max_length: Some(1), ..object.clone() },
            _ => object,
        };
        let mut request = announced.request(path)?;
        request.set(header::EXPECT, HeaderValue::from_static("100-continue"));
        let begun = self.in_directories(path, object, || self.begin_repeatedly(&request, announced));
        Ok(Upload { length: object.length, ..begun.await? })
    }

    async fn begin_repeatedly(&self, request: &Request, object: &NewObject) -> Result<Upload, Error> {
        let mut retry = self.retry();
        loop {
            match self.begin(request, object).await {
                Ok(upload) => return Ok(upload),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    async fn begin(&self, request: &Request, object: &NewObject) -> Result<Upload, Error> {
        let (pieces, queue) = mpsc::channel(QUEUE);
        let (starting, started) = oneshot::channel();
        let body = Pieces { queue, starting: Some(starting), left: object.length };
        let may_continue = Arc::new(Notify::new());
        let answering = self.start(request, body.boxed_unsync(), Some(Arc::clone(&may_continue)));
        let mut answering = answering.await?;
        let (patience, limit) = (self.config().continue_timeout, self.config().idle_timeout);
        let ready = async {
            // The connection polls the body as soon as it has sent the head.
            let _ = started.await;
            sleep(patience).await;
        };
        tokio::select! {
            biased;
            head = answering.head() => {
                answering.judge(head?).await?;
                return Err(ANSWERED_EARLY);
            }
            () = may_continue.notified() => {}
            () = ready => {}
            () = sleep(limit) => return Err(Error::Stalled { doing: "beginning an upload", limit }),
        }
        let object = object.clone();
        let (answering, last) = (Some(answering), Bytes::new());
        Ok(Upload { length: object.length, object, pieces, answering, sent: 0, last, limit })
    }
}

const ANSWERED_EARLY: Error = Error::Protocol("success before the end of the body");

impl Upload {
    /// Sends the next bytes. Waits while the connection accepts no data; fails if that lasts longer than
    /// [`Config::idle_timeout`](crate::Config::idle_timeout). If the future is dropped, the upload has failed.
    ///
    /// # Errors
    /// The server's error if it answered early; [`Error::Length`] if the body exceeds the announced length. Then the upload has
    /// failed.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        // `answering` is put back only after success.
        let mut answering = self.answering.take().ok_or(Error::UploadFailed)?;
        self.sent += bytes.len() as u64;
        if let Some(length) = self.length.filter(|length| self.sent > *length) {
            return Err(Error::Length { expected: length, actual: self.sent });
        }
        if self.length == Some(self.sent) && !bytes.is_empty() {
            self.last = bytes.split_off(bytes.len() - 1);
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            answering = self.hand_over(answering, Piece::Data(piece)).await?;
        }
        self.answering = Some(answering);
        Ok(())
    }

    /// Ends the body and waits until Manta reports that the object is stored. Bytes in transit must still arrive within the idle
    /// timeout. If the connection breaks meanwhile, the object may have been stored.
    ///
    /// # Errors
    /// The server's error; [`Error::Length`] if the body is shorter than announced; [`Error::Md5`] if Manta stored other bytes.
    pub async fn finish(mut self) -> Result<Stored, Error> {
        let mut answering = self.answering.take().ok_or(Error::UploadFailed)?;
        if let Some(length) = self.length.filter(|length| self.sent < *length) {
            return Err(Error::Length { expected: length, actual: self.sent });
        }
        let last = std::mem::take(&mut self.last);
        if !last.is_empty() {
            answering = self.hand_over(answering, Piece::Data(last)).await?;
        }
        // A body of known length is complete already, and the connection takes no further piece.
        if self.object.length.is_none() {
            answering = self.hand_over(answering, Piece::End).await?;
        }
        let answer = answering.answer("waiting for an upload to be stored").await?;
        self.object.stored(&answer)
    }

    /// Returns the number of bytes written so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Queues a piece for sending. Fails if the answer arrives before there is space in the queue.
    async fn hand_over(&mut self, mut answering: Answering, piece: Piece) -> Result<Answering, Error> {
        let limit = self.limit;
        let early = tokio::select! {
            biased;
            head = answering.head() => Some(head),
            taken = timeout(limit, self.pieces.send(piece)) => match taken {
                Ok(Ok(())) => return Ok(answering),
                Ok(Err(_)) => None,
                Err(_) => return Err(Error::Stalled { doing: "sending an upload", limit }),
            },
        };
        Err(refusal(answering, early).await.err().unwrap_or(ANSWERED_EARLY))
    }
}

/// Reads the answer that ended an upload. Either its head is here, or the connection stopped taking the body because of it.
async fn refusal(
    answering: Answering,
    early: Option<Result<http::Response<hyper::body::Incoming>, Error>>,
) -> Result<Answer, Error> {
    match early {
        Some(head) => answering.judge(head?).await,
        None => answering.answer("sending an upload").await,
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("object", &self.object)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// The upload's body as hyper reads it.
struct Pieces {
    queue: mpsc::Receiver<Piece>,
    starting: Option<oneshot::Sender<()>>,
    left: Option<u64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(starting) = self.starting.take() {
            // If the server was quicker, the receiver is gone.
            let _ = starting.send(());
        }
        Poll::Ready(match ready!(self.queue.poll_recv(context)) {
            Some(Piece::Data(bytes)) => {
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::End) => None,
            // A dropped upload must not look like the end of the body.
            None if self.left != Some(0) => Some(Err(io::Error::other("the upload was given up"))),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
