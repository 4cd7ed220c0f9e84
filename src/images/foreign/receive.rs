// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Receives files from servers of other kinds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use crate::images::files::receive::MAX_FILE_SIZE;
use crate::images::{ApiError, ApiResult, App, Code};
use crate::storage::{Expected, ReceiveError, Target, Upload};

/// Progress is told for so many bytes, as in 4.13.1.
const STEP: u64 = 512 << 10;

/// Progress is told so often even if no byte comes. A client that has left is noticed only when something is sent to it.
const PULSE: Duration = Duration::from_secs(1);

/// What is known about a file before it comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeclaredContent<'a> {
    /// Its number of bytes, as the answer says.
    pub(super) length: Option<u64>,
    /// Its SHA-256 in lower-case hex.
    pub(super) sha256: &'a str,
}

/// Receives a file that has a known SHA-256. If this fails or is dropped, nothing remains.
pub(super) async fn receive(
    app: &App,
    target: Target,
    declared: DeclaredContent<'_>,
    body: impl Stream<Item = ApiResult<Bytes>>,
) -> ApiResult<Upload> {
    refuse_too_big(declared.length)?;
    let limit = declared.length.unwrap_or(MAX_FILE_SIZE);
    let expected = Expected { length: declared.length, limit, digests: None };
    let received = async {
        app.storage.receive(target, expected, body).await.map_err(|error| match error {
            ReceiveError::Body(error) => error,
            ReceiveError::TooLarge { .. } => too_big(),
            ReceiveError::Storage(error) => error.into(),
        })
    };
    let upload = app.uploads.unless_deleted(target.uuid, received).await?;
    app.metrics.file_bytes_in(upload.digests.size);
    let failed = |message: String| Err(ApiError::new(Code::Download, message));
    if upload.digests.sha256 != declared.sha256 {
        return failed(format!("the SHA-256 is {}, not {}", upload.digests.sha256, declared.sha256));
    }
    if upload.digests.size == 0 {
        return failed("the file is empty".to_owned());
    }
    Ok(upload)
}

/// Fails with `ImageFileTooBig` if a file has more bytes than a file of an image may have.
pub(super) fn refuse_too_big(length: Option<u64>) -> ApiResult<()> {
    if length.is_some_and(|length| length > MAX_FILE_SIZE) { Err(too_big()) } else { Ok(()) }
}

fn too_big() -> ApiError {
    ApiError::new(Code::ImageFileTooBig, format!("a file may have at most {MAX_FILE_SIZE} bytes"))
}

/// Passes on the chunks of `body`, and calls `tell` with the number of bytes so far: after the first of every [`STEP`], and
/// every [`PULSE`] while none comes.
pub(super) fn with_progress<S, E>(body: S, tell: impl FnMut(u64)) -> impl Stream<Item = Result<Bytes, E>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    futures_util::stream::unfold((body, tell, 0u64), |(mut body, mut tell, mut count)| async move {
        let chunk = loop {
            match timeout(PULSE, body.next()).await {
                Ok(chunk) => break chunk?,
                Err(_) => tell(count),
            }
        };
        if let Ok(chunk) = &chunk {
            let before = count;
            count += chunk.len() as u64;
            if before == 0 || before / STEP != count / STEP {
                tell(count);
            }
        }
        Some((chunk, (body, tell, count)))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn told(wait: Duration, chunk: usize, chunks: usize) -> Vec<u64> {
        let body = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(wait).await;
            (sent < chunks).then(|| (Ok::<_, Infallible>(Bytes::from(vec![0; chunk])), sent + 1))
        });
        let mut told = Vec::new();
        {
            let mut watched = Box::pin(with_progress(Box::pin(body), |count| told.push(count)));
            while watched.next().await.is_some() {}
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_for_every_step() {
        assert_eq!(told(Duration::ZERO, 300_000, 4).await, [300_000, 600_000, 1_200_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_while_nothing_comes() {
        assert_eq!(told(Duration::from_millis(2500), 10, 1).await, [0, 0, 10, 10, 10]);
    }
}
