// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Downloads of parts of files.

use reqwest::Method;
use serde_json::json;

use super::support::{Answer, TestApp, sha1_of, tests};

tests! {
    a_part_is_sent_and_described,
    the_parts_of_a_large_file_are_the_whole,
    a_part_that_is_not_there_is_refused,
    what_is_no_single_range_gets_all_of_it,
    a_part_of_another_version_is_not_sent,
    conditions_come_before_ranges,
    head_has_no_parts,
}

const BYTES: &[u8] = b"0123456789";

async fn image(app: &TestApp) -> String {
    app.luke().has_image_with_file(json!({}), BYTES).await
}

/// Downloads the file with these headers.
async fn get(app: &TestApp, uuid: &str, headers: &[(&str, &str)]) -> Answer {
    let call = app.luke().call(Method::GET, &format!("/images/{uuid}/file"));
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

#[track_caller]
fn assert_whole(answer: &Answer) {
    assert_eq!((answer.status, answer.text()), (200, "0123456789"), "{answer:?}");
    assert_eq!((answer.header("content-length"), answer.header("content-range")), (Some("10"), None));
    assert!(answer.header("content-md5").is_some());
}

#[track_caller]
fn assert_part(answer: &Answer, range: &str, text: &str) {
    assert_eq!((answer.status, answer.text()), (206, text), "{answer:?}");
    assert_eq!(answer.header("content-range"), Some(range));
    assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()));
}

async fn a_part_is_sent_and_described(app: &TestApp) {
    let uuid = image(app).await;
    let whole = get(app, &uuid, &[]).await;
    assert_whole(&whole);
    let cases = [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-4", "bytes 6-9/10", "6789"),
        ("bytes=5-99", "bytes 5-9/10", "56789"),
        ("bytes=0-9", "bytes 0-9/10", "0123456789"),
    ];
    for (asked, range, text) in cases {
        let part = get(app, &uuid, &[("range", asked)]).await;
        assert_part(&part, range, text);
        for name in ["etag", "last-modified", "content-type", "accept-ranges"] {
            assert_eq!(part.header(name), whole.header(name), "{name}");
        }
        // The header would contain the MD5 of the whole file, and clients compare it with the bytes that they got.
        assert_eq!(part.header("content-md5"), None);
    }
}

async fn the_parts_of_a_large_file_are_the_whole(app: &TestApp) {
    let bytes: Vec<u8> = (0..3_000_001u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let uuid = app.luke().has_image(json!({})).await;
    app.luke().upload(&uuid, "compression=none", bytes.clone()).await.ok();
    let mut joined = Vec::new();
    for (first, last) in
        [(0, 0), (1, 4095), (4096, 1_500_000), (1_500_001, 2_999_999), (3_000_000, 5_000_000)]
    {
        let part = get(app, &uuid, &[("range", &format!("bytes={first}-{last}"))]).await;
        assert_eq!(part.status, 206);
        joined.extend_from_slice(&part.body);
    }
    assert_eq!(sha1_of(&joined), sha1_of(&bytes));
}

async fn a_part_that_is_not_there_is_refused(app: &TestApp) {
    let uuid = image(app).await;
    for asked in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let answer = get(app, &uuid, &[("range", asked)]).await;
        answer.refused(416, "RequestedRangeNotSatisfiableError");
        assert_eq!(answer.header("content-range"), Some("bytes */10"), "{asked}");
        assert_eq!(answer.header("etag"), None);
    }
}

async fn what_is_no_single_range_gets_all_of_it(app: &TestApp) {
    let uuid = image(app).await;
    for asked in ["bytes=0-1,3-4", "items=0-1", "bytes=3-1", "bytes=x", "0-1"] {
        assert_whole(&get(app, &uuid, &[("range", asked)]).await);
    }
    assert_whole(&get(app, &uuid, &[("range", "bytes=0-1"), ("range", "bytes=2-3")]).await);
}

async fn a_part_of_another_version_is_not_sent(app: &TestApp) {
    let uuid = image(app).await;
    let whole = get(app, &uuid, &[]).await;
    let (tag, modified) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
    for same in [tag, &format!("\"{tag}\""), modified] {
        let part = get(app, &uuid, &[("range", "bytes=2-3"), ("if-range", same)]).await;
        assert_part(&part, "bytes 2-3/10", "23");
    }
    for other in ["\"x\"", &format!("W/\"{tag}\""), "Sun, 06 Nov 1994 08:49:37 GMT", "*"] {
        assert_whole(&get(app, &uuid, &[("range", "bytes=2-3"), ("if-range", other)]).await);
        assert_whole(&get(app, &uuid, &[("range", "bytes=99-"), ("if-range", other)]).await);
    }
}

async fn conditions_come_before_ranges(app: &TestApp) {
    let uuid = image(app).await;
    let tag = sha1_of(BYTES);
    for asked in ["bytes=2-3", "bytes=99-"] {
        assert_eq!(get(app, &uuid, &[("range", asked), ("if-none-match", &tag)]).await.status, 304);
        let refused = get(app, &uuid, &[("range", asked), ("if-match", "x")]).await;
        refused.refused(412, "PreconditionFailed");
    }
}

async fn head_has_no_parts(app: &TestApp) {
    let uuid = image(app).await;
    for asked in ["bytes=2-3", "bytes=99-"] {
        let head = app.luke().call(Method::HEAD, &format!("/images/{uuid}/file")).header("range", asked);
        let head = head.send().await;
        assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
        assert_eq!((head.header("accept-ranges"), head.header("content-range")), (Some("bytes"), None));
    }
}
