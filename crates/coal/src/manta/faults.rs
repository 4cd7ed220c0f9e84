// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults that can be injected while the server runs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::faults::{FaultRule, Faults, Met};

/// A failure to inject into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum MantaFault {
    /// The connection is closed without an answer; nothing is done.
    HangUp,
    /// The request waits until [`MantaFaults::clear`] is called, and is then served.
    Stall,
    /// The answer is 500 `InternalError`; nothing is done.
    InternalError,
    /// The answer is 503 `ServiceUnavailable`; nothing is done.
    Unavailable {
        /// Seconds in `retry-after`.
        retry_after: u32,
    },
    /// The answer is 502 with HTML, as from a load balancer whose servers are unavailable. Nothing is done.
    BadGateway,
    /// The answer is 403 `AuthorizationFailed`; nothing is done.
    Forbidden,
    /// The upload of an object is rejected with 507 `NotEnoughSpace` before its content.
    NotEnoughSpace,
    /// An object is not stored, and the answer is 408 `UploadTimeout`.
    UploadTimeout,
    /// The content of an object, in either direction, stops at this byte until [`MantaFaults::clear`] is called.
    StallAfter {
        /// Number of bytes that are let through.
        bytes: u64,
    },
    /// The connection is closed at this byte of an object's content, in either direction. In a download, some of the bytes before
    /// may be lost as well.
    CutAfter {
        /// Number of bytes that are let through.
        bytes: u64,
    },
    /// The first byte of an object's content, in either direction, is changed.
    Corrupt,
    /// An object is stored, and the answer has a wrong `computed-md5`.
    WrongComputedMd5,
    /// An object is sent with a wrong `content-md5`.
    WrongContentMd5,
    /// An object is sent without a `content-md5`, as a cache in between might do.
    NoContentMd5,
    /// A change is not made, and the answer is 409 `ConcurrentRequest`.
    ConcurrentRequest,
    /// The request is done, and the connection is closed without an answer.
    LostAnswer,
}

/// The stage of a request at which a fault applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The head of the request was received.
    Head,
    /// The content of an object is about to be received.
    Accept,
    /// The content of an object is received or sent.
    Content,
    /// A change is about to be made.
    Commit,
    /// The answer to an upload was built.
    Uploaded,
    /// The head of the answer to a download was built.
    Download,
    /// The answer is complete.
    Answer,
}

impl MantaFault {
    fn stage(&self) -> Stage {
        match self {
            Self::HangUp
            | Self::Stall
            | Self::InternalError
            | Self::Unavailable { .. }
            | Self::BadGateway
            | Self::Forbidden => Stage::Head,
            Self::NotEnoughSpace => Stage::Accept,
            Self::StallAfter { .. } | Self::CutAfter { .. } | Self::Corrupt => Stage::Content,
            Self::ConcurrentRequest => Stage::Commit,
            Self::WrongComputedMd5 | Self::UploadTimeout => Stage::Uploaded,
            Self::WrongContentMd5 | Self::NoContentMd5 => Stage::Download,
            Self::LostAnswer => Stage::Answer,
        }
    }
}

/// The requests that a fault applies to. By default it applies to all requests that it fits, until it is cleared.
pub type MantaFaultRule = FaultRule<MantaFault>;

/// The fault switches of one server. Clones share them. Of several faults that apply to a request at the same stage, the oldest
/// is used.
pub type MantaFaults = Faults<MantaFault>;

/// The faults that apply to one request.
#[derive(Debug, Clone)]
pub(super) struct RequestFaults {
    switches: MantaFaults,
    method: String,
    path: String,
}

impl RequestFaults {
    /// Returns the faults for a request with this method and path.
    pub(super) fn new(faults: &MantaFaults, method: &str, path: String) -> Self {
        Self { switches: faults.clone(), method: method.to_owned(), path }
    }

    /// Returns the fault that applies at this stage. If it is a [`MantaFault::Stall`], it first waits until it is cleared.
    pub(super) async fn meet(&self, stage: Stage) -> Option<MantaFault> {
        self.take(stage)?.unless_cleared(MantaFault::Stall).await
    }

    /// Returns the fault that applies to the content of the object.
    pub(super) fn content(&self) -> ContentFault {
        ContentFault(self.take(Stage::Content))
    }

    fn take(&self, stage: Stage) -> Option<Met<MantaFault>> {
        self.switches
            .take(|fault, condition| fault.stage() == stage && condition.meets(&self.method, &self.path))
    }
}

/// The fault that applies to the content of an object.
#[derive(Debug)]
pub(super) struct ContentFault(Option<Met<MantaFault>>);

/// The connection must be closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(super) struct HangUp;

impl ContentFault {
    /// Returns how many of `length` bytes may pass after `done` bytes have passed. Waits while none may pass.
    pub(super) async fn pass(&mut self, done: u64, length: usize) -> Result<usize, HangUp> {
        let Some(met) = &mut self.0 else { return Ok(length) };
        let (MantaFault::StallAfter { bytes } | MantaFault::CutAfter { bytes }) = met.fault else {
            return Ok(length);
        };
        let left = usize::try_from(bytes.saturating_sub(done)).unwrap_or(usize::MAX);
        if left > 0 {
            return Ok(length.min(left));
        }
        if met.fault == (MantaFault::CutAfter { bytes }) {
            return Err(HangUp);
        }
        met.until_cleared().await;
        self.0 = None;
        Ok(length)
    }

    /// Returns the piece that begins at byte `done`, possibly altered.
    pub(super) fn alter(&self, done: u64, piece: Bytes) -> Bytes {
        if done > 0 || self.0.as_ref().is_none_or(|met| met.fault != MantaFault::Corrupt) {
            return piece;
        }
        let mut altered = Vec::from(piece);
        if let Some(first) = altered.first_mut() {
            *first ^= 1;
        }
        altered.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_a_form_for_people() {
        let text = r#"{"fault":"cut_after","bytes":5,"method":"GET","times":2}"#;
        let rule: MantaFaultRule = serde_json::from_str(text).unwrap();
        assert_eq!(rule, MantaFaultRule::new(MantaFault::CutAfter { bytes: 5 }).method("GET").times(2));
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        assert!(serde_json::from_str::<MantaFaultRule>(r#"{"fault":"nothing"}"#).is_err());
    }

    #[tokio::test]
    async fn rules_meet_what_they_name_and_as_often_as_they_say() {
        let faults = MantaFaults::default();
        let request = |path: &str| RequestFaults::new(&faults, "PUT", path.to_owned());
        faults.set(MantaFaultRule::new(MantaFault::ConcurrentRequest).path("/b").times(1));
        assert_eq!(request("/a/c").meet(Stage::Commit).await, None);
        assert_eq!(request("/a/b").meet(Stage::Head).await, None);
        assert_eq!(request("/a/b").meet(Stage::Commit).await, Some(MantaFault::ConcurrentRequest));
        assert_eq!(request("/a/b").meet(Stage::Commit).await, None);
        assert!(faults.list().is_empty());
        assert_eq!(faults.applied(), 1);
    }

    #[tokio::test]
    async fn content_passes_up_to_the_fault() {
        let faults = MantaFaults::default();
        faults.set(MantaFault::CutAfter { bytes: 10 });
        let mut content = RequestFaults::new(&faults, "GET", "/a".to_owned()).content();
        assert_eq!(content.pass(0, 4).await.unwrap(), 4);
        assert_eq!(content.pass(4, 100).await.unwrap(), 6);
        assert!(content.pass(10, 1).await.is_err());
    }
}
