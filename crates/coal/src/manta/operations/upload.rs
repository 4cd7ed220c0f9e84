// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Receives the content of an object into its file.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::manta::call::{Call, Failure};
use crate::manta::error::MantaError;
use crate::manta::faults::HangUp;
use crate::manta::store::Complete;

/// Maximum pause of a sender.
const PAUSE: Duration = Duration::from_secs(45);

/// Receives at most `max_length` bytes; returns the content and its size. An incomplete upload leaves nothing behind.
pub(super) async fn receive(
    call: &Call,
    mut body: Incoming,
    max_length: u64,
) -> Result<(Complete, u64), Failure> {
    let content = call.store.new_content().await?;
    let mut fault = call.faults.content();
    let mut size = 0;
    while let Some(frame) = timeout(PAUSE, body.frame()).await.map_err(|_| MantaError::UploadTimeout)? {
        // If the sender is gone, it gets no answer.
        let Ok(mut piece) = frame.map_err(|_| HangUp)?.into_data() else { continue };
        while !piece.is_empty() {
            let through = piece.split_to(fault.pass(size, piece.len()).await?);
            let through = fault.alter(size, through);
            size += through.len() as u64;
            if size > max_length {
                return Err(MantaError::MaxContentLengthExceeded(max_length).into());
            }
            if content.write(through).await.is_err() {
                // `complete` returns the error of the disk.
                content.complete().await?;
                return Err(std::io::Error::other("the disk ended early").into());
            }
        }
    }
    Ok((content.complete().await?, size))
}
