// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The rules of Manta's front end.

use reqwest::Method;

use super::raw::Raw;
use super::{Manta, code, header, until};
use crate::within;
use coal::Datacenter;
use coal::manta::{MantaFault, MantaFaultRule};

const OBJECT: &str = "/admin/stor/object";

#[tokio::test]
async fn content_is_asked_for_only_when_all_else_is_right() {
    let manta = Manta::start().await;
    let expect = "expect: 100-continue\r\ncontent-length: 5\r\n";
    let mut refused = Raw::put(&manta, "/admin/stor/none/object", expect).await;
    assert!(refused.head().await.starts_with("HTTP/1.1 404 "));
    let mut refused = Raw::put(&manta, OBJECT, &format!("{expect}if-match: x\r\n")).await;
    assert!(refused.head().await.starts_with("HTTP/1.1 412 "));
    let mut refused = Raw::put(&manta, "/imgapitestnobody/stor/object", expect).await;
    assert!(refused.head().await.starts_with("HTTP/1.1 403 "));
    let mut taken = Raw::put(&manta, OBJECT, expect).await;
    assert_eq!(taken.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    taken.send("hello").await;
    assert!(taken.head().await.starts_with("HTTP/1.1 204 "));
    assert_eq!(manta.text(OBJECT).await, "hello");
}

#[tokio::test]
async fn an_upload_that_breaks_leaves_everything_as_it_was() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "old").await;
    for lines in ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"] {
        let mut upload = Raw::put(&manta, OBJECT, lines).await;
        upload.send("5\r\nhello\r\n").await;
        until(|| manta.contents() == 2).await;
        drop(upload);
        until(|| manta.contents() == 1).await;
        assert_eq!(manta.text(OBJECT).await, "old");
    }
}

#[tokio::test]
async fn who_reads_an_object_that_is_replaced_gets_the_old_one() {
    let manta = Manta::start().await;
    let old = "o".repeat(8 << 20);
    manta.put(OBJECT, old.clone()).await;
    let mut reading = manta.get(OBJECT).await;
    let first = within(reading.chunk()).await.unwrap().unwrap();
    assert_eq!(manta.put(OBJECT, "new").await.status(), 204);
    let rest = within(reading.bytes()).await.unwrap();
    assert_eq!([first, rest].concat(), old.as_bytes());
    assert_eq!(manta.text(OBJECT).await, "new");
    assert_eq!(manta.contents(), 1);
}

#[tokio::test]
async fn a_condition_must_still_hold_when_the_content_is_there() {
    let manta = Manta::start().await;
    manta.faults().set(MantaFaultRule::new(MantaFault::StallAfter { bytes: 1 }).times(1));
    let slow = manta.request(Method::PUT, OBJECT).header("if-match", "\"\"").body("slow").send();
    let slow = tokio::spawn(slow);
    within(manta.faults().wait_applied(1)).await;
    assert_eq!(manta.put(OBJECT, "fast").await.status(), 204);
    manta.faults().clear();
    let slow = within(slow).await.unwrap().unwrap();
    assert_eq!(code(slow).await, (409, "ConcurrentRequest".to_owned()));
    assert_eq!((manta.text(OBJECT).await.as_str(), manta.contents()), ("fast", 1));
}

#[tokio::test]
async fn ranges_and_conditions_of_a_read() {
    let manta = Manta::start().await;
    let put = manta.put(OBJECT, "0123456789").await;
    let read = async |name: &str, value: &str| {
        within(manta.request(Method::GET, OBJECT).header(name, value).send()).await.unwrap()
    };
    let part = read("range", "bytes=3-5").await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 3-5/10"));
    assert_eq!((header(&part, "content-md5"), header(&part, "content-length")), ("", "3"));
    assert_eq!(within(part.text()).await.unwrap(), "345");
    let whole = read("accept", "*/*").await;
    assert_eq!(header(&whole, "content-md5"), header(&put, "computed-md5"));
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    let outside = read("range", "bytes=10-").await;
    assert_eq!(header(&outside, "content-range"), "bytes */10");
    assert_eq!(code(outside).await, (416, "RangeNotSatisfiable".to_owned()));
    let known = read("if-none-match", header(&put, "etag")).await;
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, header(&put, "etag")));
    assert_eq!(read("if-modified-since", header(&put, "last-modified")).await.status(), 304);
    let changed = read("if-match", "x").await;
    assert_eq!(code(changed).await, (412, "PreconditionFailed".to_owned()));
}

#[tokio::test]
async fn a_head_has_the_headers_and_no_body() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "hello").await;
    let head = async |path| within(manta.request(Method::HEAD, path).send()).await.unwrap();
    let object = head(OBJECT).await;
    assert_eq!((header(&object, "content-length"), header(&object, "durability-level")), ("5", "2"));
    assert_eq!(header(&object, "server"), "Manta");
    let directory = head("/admin/stor").await;
    assert_eq!(header(&directory, "content-type"), "application/x-json-stream; type=directory");
    assert_eq!(header(&directory, "result-set-size"), "1");
    let missing = head("/admin/stor/none").await;
    assert_eq!(missing.status(), 404);
    assert!(!header(&missing, "x-request-id").is_empty());
}

#[tokio::test]
async fn what_is_always_there_stays() {
    let manta = Manta::start().await;
    for answer in [manta.delete("/admin/stor").await, manta.put("/admin/stor", "x").await] {
        assert_eq!(code(answer).await, (400, "OperationNotAllowedOnRootDirectory".to_owned()));
    }
    assert_eq!(manta.make_directory("/admin/stor").await.status(), 204);
    let areas = manta.text("/admin").await;
    assert_eq!(areas.lines().count(), 2, "{areas}");
    let posted = within(manta.request(Method::POST, OBJECT).send()).await.unwrap();
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn a_directory_takes_the_place_of_an_object() {
    let manta = Manta::start().await;
    manta.put(OBJECT, "hello").await;
    assert_eq!(manta.make_directory(OBJECT).await.status(), 204);
    assert_eq!(manta.contents(), 0);
    let below = format!("{OBJECT}/below");
    assert_eq!(manta.put(&below, "x").await.status(), 204);
    assert_eq!(code(manta.delete(OBJECT).await).await, (400, "DirectoryNotEmpty".to_owned()));
    assert_eq!(manta.delete(&below).await.status(), 204);
    assert_eq!(manta.delete(OBJECT).await.status(), 204);
}

#[tokio::test]
async fn everything_is_there_after_a_new_start() {
    let data = tempfile::tempdir().unwrap();
    let manta = Manta::of(Datacenter::builder().data_dir(data.path())).await;
    manta.put(OBJECT, "kept").await;
    within(manta.datacenter.stop()).await;
    let manta = Manta::of(Datacenter::builder().data_dir(data.path())).await;
    assert_eq!(manta.text(OBJECT).await, "kept");
}
