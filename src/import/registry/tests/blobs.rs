// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::server::{Answer, Fault, Server, Stored};
use super::*;
use crate::import::FetchError;
use crate::import::registry::Descriptor;

const LENGTH: usize = 100_000;

fn bytes() -> Vec<u8> {
    (0..LENGTH).map(|index| (index % 251) as u8).collect()
}

/// Fetches the bytes as a layer whose descriptor claims this size. `answer` changes what the registry answers to each request.
async fn fetched(
    size: usize,
    answer: impl Fn(Answer, usize) -> Answer + Send + Sync + 'static,
) -> (Result<Vec<u8>, RegistryError>, Vec<Option<usize>>) {
    fetched_by(clients(&json!({}), None), size, answer).await
}

async fn fetched_by(
    clients: Clients,
    size: usize,
    answer: impl Fn(Answer, usize) -> Answer + Send + Sync + 'static,
) -> (Result<Vec<u8>, RegistryError>, Vec<Option<usize>>) {
    let stored = Stored::new(bytes(), &bytes());
    let server = Server::start(move |request, count| answer(stored.answer(request), count)).await;
    let descriptor =
        Descriptor { media_type: String::new(), digest: Digest::of(&bytes()), size: size as u64 };
    let received = async {
        let registry = registry_with(clients, &format!("{}/aa/b", server.address), None, Access::Pull);
        let layer = registry.layer(&descriptor, None).await?;
        Ok(whole(layer).await?.0)
    };
    (received.await, server.requests().iter().map(|request| request.start()).collect())
}

#[tokio::test]
async fn a_broken_blob_goes_on_where_it_broke_off() {
    for (fault, clients) in [(Fault::Cut, clients(&json!({}), None)), (Fault::Stall, impatient())] {
        let (received, starts) = fetched_by(clients, LENGTH, move |answer, count| match count {
            0 => answer.fault(fault, 40_000),
            1 => answer.fault(fault, 10_000),
            _ => answer,
        })
        .await;
        assert!(received.unwrap() == bytes());
        assert_eq!(starts[0], None);
        assert!(fault == Fault::Stall || starts == [None, Some(40_000), Some(50_000)], "{starts:?}");
        // On a slow machine the client may lose patience once more, and earlier.
        assert!(starts.len() >= 3, "{starts:?}");
    }
}

#[tokio::test]
async fn a_blob_that_breaks_off_again_and_again_is_given_up() {
    let (received, starts) = fetched(LENGTH, |answer, _| answer.fault(Fault::Cut, 10)).await;
    assert!(matches!(received, Err(RegistryError::Transfer(FetchError::Broken { .. }))), "{received:?}");
    assert_eq!(starts, [None, Some(10), Some(20), Some(30), Some(40)]);
    let (received, starts) =
        fetched_by(impatient(), LENGTH, |answer, _| answer.fault(Fault::Stall, 10)).await;
    assert!(
        matches!(
            received,
            Err(RegistryError::Transfer(FetchError::Timeout { .. })
                | RegistryError::Connection(FetchError::Timeout { .. }))
        ),
        "{received:?}"
    );
    assert_eq!(starts.len(), 5);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_the_beginning_again() {
    let whole = Answer::new(200, bytes());
    let (received, starts) = fetched(LENGTH, move |answer, count| match count {
        0 => answer.fault(Fault::Cut, 40_000),
        1 => whole.clone().fault(Fault::Cut, 50_000),
        _ => whole.clone(),
    })
    .await;
    assert!(received.unwrap() == bytes());
    assert_eq!(starts, [None, Some(40_000), Some(50_000)]);
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_not_used() {
    let (received, _) = fetched(LENGTH, |answer, count| match count {
        0 => answer.fault(Fault::Cut, 40_000),
        _ => Answer::new(206, bytes()).header("content-range", "bytes 0-99999/100000"),
    })
    .await;
    assert!(matches!(received, Err(RegistryError::Transfer(FetchError::Unusable { .. }))), "{received:?}");
}

#[tokio::test]
async fn a_truncated_blob_is_asked_for_the_rest_once_and_is_incomplete() {
    let half = bytes()[..LENGTH / 2].to_vec();
    let stored = Answer::new(200, half);
    let server = Server::start(move |request, _| stored.clone().part(request)).await;
    let descriptor =
        Descriptor { media_type: String::new(), digest: Digest::of(&bytes()), size: LENGTH as u64 };
    let layer = registry(&server).layer(&descriptor, None).await.unwrap();
    let error = whole(layer).await.unwrap_err();
    assert!(matches!(error, RegistryError::Truncated { received: 50_000, expected: 100_000, .. }), "{error}");
    let starts: Vec<_> = server.requests().iter().map(|request| request.start()).collect();
    assert_eq!(starts, [None, Some(LENGTH / 2)]);
}

#[tokio::test]
async fn a_length_that_hides_the_end_is_found_out() {
    // A registry that announces half of the blob, and has all of it.
    let (received, starts) =
        fetched(LENGTH, |answer, count| if count == 0 { answer.shortened() } else { answer }).await;
    assert!(received.unwrap() == bytes());
    assert_eq!(starts, [None, Some(LENGTH / 2)]);
}

#[tokio::test]
async fn a_size_in_the_manifest_is_only_a_claim() {
    for size in [0, 1, LENGTH - 1, LENGTH + 1, usize::MAX] {
        let (received, starts) = fetched(size, |answer, _| answer).await;
        assert!(received.unwrap() == bytes());
        assert_eq!(starts.len(), 1);
    }
}

#[tokio::test]
async fn other_bytes_than_the_digest_names_are_refused_at_once() {
    let (received, starts) = fetched(LENGTH, |answer, _| answer.flip_first_byte()).await;
    assert!(matches!(received, Err(RegistryError::OtherDigest { .. })), "{received:?}");
    assert_eq!(starts.len(), 1);
}

#[tokio::test]
async fn a_failing_registry_is_asked_again() {
    let (received, starts) = fetched(LENGTH, |answer, count| match count {
        0 => Answer::new(503, ""),
        1 => answer.fault(Fault::Closed, 0),
        2 => answer.fault(Fault::Cut, 1000),
        3 => Answer::new(500, ""),
        _ => answer,
    })
    .await;
    assert!(received.unwrap() == bytes());
    assert_eq!(starts, [None, None, None, Some(1000), Some(1000)]);
    let (received, starts) =
        fetched(LENGTH, |_, _| Answer::new(500, r#"{"errors":[{"code":"UNKNOWN","message":"disk full"}]}"#))
            .await;
    let error = received.unwrap_err().to_string();
    assert!(error.ends_with(": UNKNOWN disk full"), "{error}");
    assert_eq!(starts.len(), 5);
}

#[tokio::test]
async fn a_missing_blob_is_final() {
    let (received, starts) = fetched(LENGTH, |_, _| Answer::new(404, "")).await;
    assert!(matches!(received, Err(RegistryError::NotFound { .. })), "{received:?}");
    assert_eq!(starts.len(), 1);
}

#[tokio::test]
async fn a_registry_may_ask_to_wait_but_not_for_long() {
    let (received, starts) = fetched(LENGTH, |answer, count| match count {
        0 => Answer::new(429, "").header("retry-after", 0),
        1 => Answer::new(429, ""),
        _ => answer,
    })
    .await;
    assert!(received.unwrap() == bytes());
    assert_eq!(starts.len(), 3);
    for (wait, requests) in [(0, 5), (3600, 1)] {
        let (received, starts) =
            fetched(LENGTH, move |_, _| Answer::new(429, "").header("retry-after", wait)).await;
        assert!(matches!(received, Err(RegistryError::Refused { status: 429, .. })), "{received:?}");
        assert_eq!(starts.len(), requests);
    }
}

#[tokio::test]
async fn a_blob_has_a_limit() {
    let stored = Stored::new(bytes(), &bytes());
    let server = Server::start(move |request, _| stored.answer(request)).await;
    let descriptor = Descriptor { media_type: String::new(), digest: Digest::of(&bytes()), size: 1 };
    let limited = registry(&server).small_blob(&descriptor, LENGTH as u64 - 1).await;
    assert!(matches!(limited, Err(RegistryError::TooLarge { .. })), "{limited:?}");
    assert!(registry(&server).small_blob(&descriptor, LENGTH as u64).await.unwrap() == bytes());
}
