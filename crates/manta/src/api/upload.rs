// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A body that is sent while it is made.

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

/// Greatest piece that is handed over at once, in bytes: within one idle deadline at least as much has to go.
const PIECE: usize = 128 << 10;
/// Pieces that wait to be sent.
const QUEUE: usize = 4;

/// An object that is being stored. Until [`Upload::finish`] nothing of it can be seen; if it is dropped before, the
/// connection is closed in the middle of the body, and Manta keeps what was there.
pub struct Upload {
    /// As it was announced.
    object: NewObject,
    /// What has to be written.
    length: Option<u64>,
    pieces: mpsc::Sender<Piece>,
    /// None while something is being written, and for ever if that failed.
    answering: Option<Answering>,
    sent: u64,
    /// What completes a body of known length: it would be stored as soon as this is sent.
    last: Bytes,
    limit: Duration,
}

enum Piece {
    Data(Bytes),
    End,
}

impl Client {
    /// Begins to store an object. Returns when the server is ready for the body, or has not said so within
    /// [`Config::continue_timeout`](crate::Config::continue_timeout). Until then it is tried again as any other request:
    /// nothing can have been stored.
    ///
    /// # Errors
    /// `DirectoryDoesNotExist`, `ParentNotDirectory`, `OperationNotAllowedOnDirectory`, `PreconditionFailed`,
    /// `NotEnoughSpace`, `AuthorizationFailed`; no byte of the body was sent then.
    pub async fn put(&self, path: &Path, object: &NewObject) -> Result<Upload, Error> {
        let announced = match object.length {
            // With its head such a request would be complete: so the length is not announced.
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
            // The connection asks for the body when it has the head.
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
    /// Sends some more. Waits while the connection takes nothing, and fails if that lasts for the idle deadline. If its
    /// future is dropped, the upload has failed.
    ///
    /// # Errors
    /// What the server answered, if it did; `Length` if it is more than was announced. The upload is over then.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        // It comes back when everything went well.
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

    /// Ends the body, and waits for Manta to say that it is stored; what is on the way still has to arrive within the idle
    /// deadline. If the connection breaks meanwhile, it may be stored.
    ///
    /// # Errors
    /// What the server answered; `Length` if it is less than was announced; `Md5` if Manta stored something else.
    pub async fn finish(mut self) -> Result<Stored, Error> {
        let mut answering = self.answering.take().ok_or(Error::UploadFailed)?;
        if let Some(length) = self.length.filter(|length| self.sent < *length) {
            return Err(Error::Length { expected: length, actual: self.sent });
        }
        let last = std::mem::take(&mut self.last);
        if !last.is_empty() {
            answering = self.hand_over(answering, Piece::Data(last)).await?;
        }
        // A body of known length is complete already, and nobody takes this.
        if self.object.length.is_none() {
            answering = self.hand_over(answering, Piece::End).await?;
        }
        let answer = answering.answer("waiting for an upload to be stored").await?;
        self.object.stored(&answer)
    }

    /// Bytes that were written.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Puts a piece into the queue, unless the answer comes before there is room.
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

/// The answer that ended an upload: it is there, or the connection takes no more of the body because of it.
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

/// The body as the connection sees it.
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
            // Nobody listens any more if the server was quicker.
            let _ = starting.send(());
        }
        Poll::Ready(match ready!(self.queue.poll_recv(context)) {
            Some(Piece::Data(bytes)) => {
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::End) => None,
            // An end without a word must not look like the end of the body.
            None if self.left != Some(0) => Some(Err(io::Error::other("the upload was given up"))),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
