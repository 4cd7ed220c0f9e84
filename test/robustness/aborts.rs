// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Aborted uploads: nothing of them is visible, and nothing of them remains.

mod disk_full;

use coal::Datacenter;

use crate::support::raw::{Exchange, Response};
use crate::support::{
    Client, PATIENCE, TestFile, files_below, incoming, start_datacenter, wait_for, wait_until_swept,
};

const FILE: TestFile = TestFile { seed: 1, size: 300_000 };
const OTHER: TestFile = TestFile { seed: 2, size: 500_000 };

/// A datacenter with an image without a file, and an image with `FILE` that may get another one.
struct Stage {
    datacenter: Datacenter,
    client: Client,
    empty: String,
    full: String,
}

impl Stage {
    async fn set() -> Stage {
        let datacenter = start_datacenter().await;
        let client = Client::new(&datacenter);
        let (empty, full) = (client.created().await, client.uploaded(FILE).await);
        Stage { datacenter, client, empty, full }
    }

    /// Sends the head of an upload with `headers` and then `body` to each of the two images, and closes the sending side. The two
    /// answers must be equal.
    async fn upload(&self, headers: &str, body: &[u8]) -> Response {
        let mut answers = Vec::new();
        for uuid in [&self.empty, &self.full] {
            let mut bytes = head(uuid, headers).into_bytes();
            bytes.extend_from_slice(body);
            let mut got = Exchange::of(bytes).run(self.datacenter.imgapi_address().unwrap()).await.unwrap();
            assert_eq!(got.len(), 1, "{got:?}");
            answers.push(got.remove(0));
        }
        assert_eq!(answers[0], answers[1]);
        answers.remove(0)
    }

    /// Checks that both images and the disk are unchanged.
    async fn assert_unchanged(&self) {
        self.client.assert_has_no_file(&self.empty).await;
        self.client.assert_holds(&self.full, FILE).await;
        wait_until_swept(&self.datacenter).await;
        assert_eq!(files_below(&self.datacenter.local_dir().join("images")).len(), 1);
    }
}

fn head(uuid: &str, headers: &str) -> String {
    format!("PUT /images/{uuid}/file?compression=gzip HTTP/1.1\r\nHost: imgapi\r\n{headers}\r\n")
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut body = format!("{:x}\r\n", bytes.len()).into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
    body
}

fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_deref()), (status, Some(code)), "{response:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    use tokio::io::AsyncWriteExt;

    let stage = Stage::set().await;
    let address = stage.datacenter.imgapi_address().unwrap();
    let incoming = incoming(&stage.datacenter);
    for uuid in [&stage.empty, &stage.full] {
        for headers in ["Content-Length: 500000\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(head(uuid, headers).as_bytes()).await.unwrap();
            stream.write_all(b"200\r\n").await.unwrap();
            wait_for("the upload has begun", PATIENCE, async || match files_below(&incoming).len() {
                1 => Ok(()),
                other => Err(other),
            })
            .await;
            drop(stream);
            wait_until_swept(&stage.datacenter).await;
        }
    }
    stage.assert_unchanged().await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_refused() {
    let stage = Stage::set().await;
    for sent in [0, 1, 1000, OTHER.size - 1] {
        let body = &OTHER.bytes()[..sent];
        let response = stage.upload(&format!("Content-Length: {}\r\n", OTHER.size), body).await;
        assert_refused(&response, 400, "BadRequestError");
    }
    stage.assert_unchanged().await;
}

#[tokio::test]
async fn a_chunked_body_that_breaks_off_or_is_malformed_is_refused() {
    let stage = Stage::set().await;
    let whole = chunked(&OTHER.bytes());
    let endings: [&[u8]; 6] =
        [b"", b"5\r\nab", b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"3\r\nabcdef\r\n"];
    for ending in endings {
        let body = [&whole, ending].concat();
        let response = stage.upload("Transfer-Encoding: chunked\r\n", &body).await;
        assert_refused(&response, 400, "BadRequestError");
    }
    stage.assert_unchanged().await;
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused() {
    let stage = Stage::set().await;
    for uuid in [&stage.empty, &stage.full] {
        for sha1 in [FILE.sha1(), FILE.sha1().to_uppercase(), "x".to_owned()] {
            let answer = stage.client.upload_with(uuid, OTHER, &format!("&sha1={sha1}")).await.unwrap();
            assert_eq!(answer.outcome(), (400, "Download".to_owned()));
        }
    }
    stage.assert_unchanged().await;

    let right = format!("&sha1={}", OTHER.sha1());
    assert_eq!(stage.client.upload_with(&stage.full, OTHER, &right).await.unwrap().status, 200);
    stage.client.assert_holds(&stage.full, OTHER).await;
}

#[tokio::test]
async fn an_empty_file_is_refused() {
    let stage = Stage::set().await;
    assert_refused(&stage.upload("Content-Length: 0\r\n", b"").await, 400, "Download");
    assert_refused(&stage.upload("", b"").await, 400, "Download");
    assert_refused(&stage.upload("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n").await, 400, "Download");
    stage.assert_unchanged().await;
}

#[tokio::test]
async fn a_file_announced_as_too_large_is_refused_before_it_is_sent() {
    let stage = Stage::set().await;
    let address = stage.datacenter.imgapi_address().unwrap();
    for length in [(20_u64 << 30) + 1, u64::MAX / 2] {
        for uuid in [&stage.empty, &stage.full] {
            // The client waits for the answer before it sends its body, so without an answer it would wait for ever.
            let request = head(uuid, &format!("Content-Length: {length}\r\n"));
            let got = Exchange::of(request).kept_open().run(address).await.unwrap();
            assert_refused(&got[0], 400, "Upload");
        }
    }
    stage.assert_unchanged().await;
}

#[tokio::test]
async fn an_upload_without_a_valid_compression_is_refused_before_it_is_sent() {
    let stage = Stage::set().await;
    let address = stage.datacenter.imgapi_address().unwrap();
    for query in ["", "?compression=", "?compression=zip", "?compression=gzip&compression=gzip"] {
        let uuid = &stage.full;
        let request =
            format!("PUT /images/{uuid}/file{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
        let got = Exchange::of(request).kept_open().run(address).await.unwrap();
        assert_refused(&got[0], 422, "InvalidParameter");
    }
    stage.assert_unchanged().await;
}
