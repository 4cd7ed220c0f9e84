// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The answer of a streaming import or push: JSON objects, each followed by CR LF, that tell the client how it goes on.
//!
//! The status is 200 by then, so an error is the last message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::running::{self, ImportKind, Imports};
use crate::images::{ApiError, ApiResult, Code};
use crate::manifest::json;
use crate::telemetry::err;

/// How many messages may wait for the client. The server ends a connection whose client reads nothing for too long.
const MOST_WAITING: usize = 64;

/// The messages of an import, as they are sent. Dropping this ends the import, so a client that leaves ends it.
#[derive(Debug)]
pub struct Messages {
    lines: mpsc::Receiver<Bytes>,
    _work: AbortOnDropHandle<()>,
}

impl Stream for Messages {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.lines.poll_recv(cx)
    }
}

/// What an import is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) kind: ImportKind,
    /// What the caller named. Operators see it.
    pub(super) name: String,
    /// A member that every message has.
    pub(super) member: (&'static str, String),
    pub(super) request_id: String,
}

/// Tells the client of an import how it goes on.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    lines: mpsc::Sender<Bytes>,
    subject: Arc<Subject>,
    bytes: running::Bytes,
}

/// Starts an import, and returns its messages. If it fails, the last message is the error.
pub(super) fn tell<F>(imports: &Imports, subject: Subject, work: impl FnOnce(Teller) -> F) -> Messages
where
    F: Future<Output = ApiResult<()>> + Send + 'static,
{
    let (sender, lines) = mpsc::channel(MOST_WAITING);
    let import = imports.begin(subject.kind, &subject.name, &subject.request_id);
    let teller = Teller { lines: sender, subject: Arc::new(subject), bytes: import.bytes() };
    let work = work(teller.clone()).in_current_span();
    let whole = async move {
        // A task of its own, so that even a panic is an error that the client is told.
        let outcome = AbortOnDropHandle::new(tokio::spawn(work)).await.unwrap_or_else(|stopped| {
            Err(ApiError::new(Code::InternalError, "the work was interrupted").because(stopped))
        });
        import.end(outcome.is_ok());
        if let Err(error) = outcome {
            tracing::info!(err.json = %err(&error), "an import or a push failed");
            teller.tell_error(&error).await;
        }
    };
    Messages { lines, _work: AbortOnDropHandle::new(tokio::spawn(whole.in_current_span())) }
}

impl Teller {
    /// Sends a message of this `type` with further members.
    pub(super) async fn tell(&self, kind: &str, members: Value) {
        let line = self.line(kind, self.subject.member.0, members);
        // Without a receiver the import is about to be dropped.
        let _ = self.lines.send(line).await;
    }

    /// Sends a `progress` message about the file `id`. It is left out if the client is slow to read, because a later one
    /// says more.
    pub(super) fn try_progress(&self, payload: Value) {
        let line = self.line("progress", self.subject.member.0, json!({"payload": payload}));
        let _ = self.lines.try_send(line);
    }

    /// Counts bytes of image files, for operators.
    pub(super) fn count(&self, bytes: u64) {
        self.bytes.add(bytes);
    }

    async fn tell_error(&self, error: &ApiError) {
        let (member, value) = &self.subject.member;
        let mut members = Map::new();
        if *member != "id" {
            members.insert((*member).to_owned(), json!(value));
        }
        members.insert("error".to_owned(), json!({"code": error.code_text(), "message": error.message()}));
        let line = self.line("error", "id", Value::Object(members));
        let _ = self.lines.send(line).await;
    }

    fn line(&self, kind: &str, member: &str, members: Value) -> Bytes {
        let mut message = Map::from_iter([
            ("type".to_owned(), json!(kind)),
            (member.to_owned(), json!(self.subject.member.1)),
        ]);
        if let Value::Object(members) = members {
            message.extend(members);
        }
        // Every value can be rendered.
        let mut line = json::compact(&message).unwrap_or_default();
        line.push_str("\r\n");
        line.into()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::telemetry::{Metrics, StaticLabels};

    fn imports() -> Imports {
        Imports::new(Arc::new(Metrics::new(&StaticLabels::default()).unwrap()))
    }

    fn subject(member: &'static str) -> Subject {
        Subject {
            kind: ImportKind::Lxd,
            name: "a:b".into(),
            member: (member, "a:b".into()),
            request_id: "1".into(),
        }
    }

    async fn all(messages: Messages) -> String {
        messages.map(|line| String::from_utf8(line.to_vec()).unwrap()).collect::<Vec<_>>().await.concat()
    }

    #[tokio::test]
    async fn each_message_is_a_line_with_the_name() {
        let messages = tell(&imports(), subject("alias"), |teller| async move {
            teller.tell("progress", json!({"payload": {"status": "x"}})).await;
            Err(ApiError::new(Code::Download, "broken"))
        });
        let expected = concat!(
            r#"{"type":"progress","alias":"a:b","payload":{"status":"x"}}"#,
            "\r\n",
            r#"{"type":"error","id":"a:b","alias":"a:b","error":{"code":"Download","message":"broken"}}"#,
            "\r\n",
        );
        assert_eq!(all(messages).await, expected);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_client_too() {
        let messages = tell(&imports(), subject("id"), |_| async { panic!("a test") });
        let expected = r#"{"type":"error","id":"a:b","error":{"code":"InternalError","message":"the work was interrupted"}}"#;
        assert_eq!(all(messages).await, format!("{expected}\r\n"));
    }

    #[tokio::test]
    async fn progress_does_not_wait_for_a_client_that_does_not_read() {
        let messages = tell(&imports(), subject("id"), |teller| async move {
            (0..1000).for_each(|_| teller.try_progress(json!({})));
            Ok(())
        });
        assert_eq!(messages.count().await, MOST_WAITING);
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_import() {
        let imports = imports();
        let (sender, ended) = tokio::sync::oneshot::channel::<()>();
        let messages = tell(&imports, subject("id"), |_| async move {
            let _held = sender;
            std::future::pending().await
        });
        assert_eq!(imports.list().len(), 1);
        drop(messages);
        assert!(ended.await.is_err());
    }
}
