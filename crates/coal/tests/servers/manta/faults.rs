// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The faults of Manta.

use coal::manta::{MantaFault, MantaFaultRule};
use reqwest::Method;

use super::{Manta, code, header};
use crate::within;

const OBJECT: &str = "/admin/stor/object";

fn once(fault: MantaFault) -> MantaFaultRule {
    MantaFaultRule::new(fault).times(1)
}

/// Returns whether a PUT of this text gets an answer.
async fn put_is_answered(manta: &Manta, text: &'static str) -> bool {
    within(manta.request(Method::PUT, OBJECT).body(text).send()).await.is_ok()
}

#[tokio::test]
async fn a_request_may_be_refused_before_anything_is_done() {
    let manta = Manta::start().await;
    manta.faults().set(once(MantaFault::InternalError));
    manta.faults().set(once(MantaFault::Unavailable { retry_after: 7 }));
    manta.faults().set(once(MantaFault::HangUp));
    assert_eq!(code(manta.put(OBJECT, "x").await).await, (500, "InternalError".to_owned()));
    let unavailable = manta.put(OBJECT, "x").await;
    assert_eq!(header(&unavailable, "retry-after"), "7");
    assert_eq!(code(unavailable).await, (503, "ServiceUnavailable".to_owned()));
    assert!(!put_is_answered(&manta, "x").await);
    assert_eq!(code(manta.get(OBJECT).await).await, (404, "ResourceNotFound".to_owned()));
    assert_eq!(manta.faults().applied(), 3);
}

#[tokio::test]
async fn a_request_may_be_refused_by_others_and_an_upload_for_itself() {
    let manta = Manta::start().await;
    manta.faults().set(once(MantaFault::BadGateway));
    let answer = manta.put(OBJECT, "x").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (502, "text/html"));
    for (fault, expected) in [
        (MantaFault::Forbidden, (403, "AuthorizationFailed".to_owned())),
        (MantaFault::NotEnoughSpace, (507, "NotEnoughSpace".to_owned())),
        (MantaFault::UploadTimeout, (408, "UploadTimeout".to_owned())),
    ] {
        manta.faults().set(once(fault));
        assert_eq!(code(manta.put(OBJECT, "x").await).await, expected);
    }
    assert_eq!((manta.get(OBJECT).await.status().as_u16(), manta.contents()), (404, 0));
}

#[tokio::test]
async fn content_is_altered_on_its_way() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "abc").await;
    manta.faults().set(once(MantaFault::Corrupt));
    assert_eq!(manta.text(OBJECT).await, "`bc");
    assert_eq!(manta.text(OBJECT).await, "abc");
    manta.faults().set(once(MantaFault::Corrupt));
    manta.put(OBJECT, "bcd").await;
    assert_eq!(manta.text(OBJECT).await, "ccd");
}

#[tokio::test]
async fn a_change_may_be_lost_to_another_or_its_answer_to_the_network() {
    let manta = Manta::start().await;
    manta.faults().set(once(MantaFault::ConcurrentRequest));
    assert_eq!(code(manta.put(OBJECT, "x").await).await, (409, "ConcurrentRequest".to_owned()));
    assert_eq!((manta.get(OBJECT).await.status().as_u16(), manta.contents()), (404, 0));
    manta.faults().set(once(MantaFault::LostAnswer).method("PUT"));
    assert!(!put_is_answered(&manta, "stored").await);
    assert_eq!(manta.text(OBJECT).await, "stored");
}

#[tokio::test]
async fn a_download_is_cut_or_stalls() {
    let manta = Manta::start().await;
    let text = "0123456789".repeat(100_000);
    manta.put(OBJECT, text.clone()).await;
    manta.faults().set(once(MantaFault::CutAfter { bytes: 15 }));
    let mut answer = manta.get(OBJECT).await;
    let (mut got, mut broke) = (Vec::new(), false);
    while !broke {
        match within(answer.chunk()).await {
            Ok(Some(piece)) => got.extend_from_slice(&piece),
            Ok(None) => panic!("all of it came"),
            Err(_) => broke = true,
        }
    }
    assert_eq!(got, b"012345678901234");
    manta.faults().set(once(MantaFault::StallAfter { bytes: 15 }));
    let mut answer = manta.get(OBJECT).await;
    let first = within(answer.chunk()).await.unwrap().unwrap();
    assert_eq!(&first[..], b"012345678901234");
    manta.faults().clear();
    assert_eq!(within(answer.bytes()).await.unwrap().len(), text.len() - 15);
}

#[tokio::test]
async fn an_upload_is_cut_or_stalls() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "old").await;
    manta.faults().set(once(MantaFault::CutAfter { bytes: 2 }));
    assert!(!put_is_answered(&manta, "new").await);
    assert_eq!((manta.text(OBJECT).await.as_str(), manta.contents()), ("old", 1));
    manta.faults().set(once(MantaFault::StallAfter { bytes: 2 }).path(OBJECT));
    let upload = tokio::spawn(manta.request(Method::PUT, OBJECT).body("new").send());
    within(manta.faults().wait_applied(2)).await;
    assert_eq!(manta.text(OBJECT).await, "old");
    manta.faults().clear();
    assert_eq!(within(upload).await.unwrap().unwrap().status(), 204);
    assert_eq!(manta.text(OBJECT).await, "new");
}

#[tokio::test]
async fn digests_are_wrong_on_purpose() {
    let manta = Manta::start().await;
    let right = manta.put(OBJECT, "text").await;
    manta.faults().set(once(MantaFault::WrongComputedMd5));
    manta.faults().set(once(MantaFault::WrongContentMd5));
    let wrong = manta.put(OBJECT, "text").await;
    assert_eq!(wrong.status(), 204);
    assert_ne!(header(&wrong, "computed-md5"), header(&right, "computed-md5"));
    assert_ne!(header(&manta.get(OBJECT).await, "content-md5"), header(&right, "computed-md5"));
    assert_eq!(header(&manta.get(OBJECT).await, "content-md5"), header(&right, "computed-md5"));
}

#[tokio::test]
async fn a_stalled_request_goes_on_when_the_fault_is_cleared() {
    let manta = Manta::start().await;
    manta.faults().set(MantaFaultRule::new(MantaFault::Stall).method("PUT"));
    let stalled = tokio::spawn(manta.request(Method::PUT, OBJECT).body("x").send());
    within(manta.faults().wait_applied(1)).await;
    assert_eq!(manta.get(OBJECT).await.status(), 404);
    manta.faults().clear();
    assert_eq!(within(stalled).await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_with_its_data() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "x").await;
    within(manta.server().stop()).await;
    let refused = within(manta.request(Method::GET, OBJECT).send()).await.unwrap_err();
    assert!(refused.is_connect(), "{refused}");
    manta.server().start().await.unwrap();
    assert_eq!(manta.text(OBJECT).await, "x");
}
