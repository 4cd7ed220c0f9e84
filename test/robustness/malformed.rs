// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Malformed and invalid requests. Each gets an answer whose code does not blame the server, and the process continues
//! undisturbed.

mod bodies;
mod framing;
mod heads;
mod mixture;
mod mutation;
mod queries;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use coal::Datacenter;
use futures_util::StreamExt;
use futures_util::stream;

use crate::support::raw::{Exchange, Response};
use crate::support::{Client, TestFile, resident_bytes, start_datacenter, wait_until_swept};

/// Minimum number of requests that must be rejected.
const REFUSED: usize = 1000;
/// Maximum growth of the memory, in bytes.
const GROWTH: u64 = 64 << 20;
/// Number of concurrent requests.
const AT_ONCE: usize = 8;

/// One request.
#[derive(Debug)]
struct Case {
    /// The error in the request.
    name: String,
    exchange: Exchange,
    /// Whether it must not succeed. A random request may happen to be valid.
    must_fail: bool,
}

impl Case {
    fn new(name: impl Into<String>, exchange: Exchange) -> Case {
        Case { name: name.into(), exchange, must_fail: true }
    }
}

/// The images in requests: one that accepts a file, and one that is active.
#[derive(Debug)]
struct Images {
    open: String,
    active: String,
}

/// Returns the method and target of a request for every route.
fn routes(images: &Images) -> Vec<(&'static str, String)> {
    let Images { open, active } = images;
    vec![
        ("GET", "/ping".into()),
        ("GET", "/images".into()),
        ("GET", format!("/images/{active}")),
        ("POST", "/images".into()),
        ("PUT", format!("/images/{open}/file?compression=gzip")),
        ("GET", format!("/images/{active}/file")),
        ("HEAD", format!("/images/{active}/file")),
        ("POST", format!("/images/{open}?action=activate")),
        ("DELETE", format!("/images/{open}")),
    ]
}

/// A running datacenter, and the state that must be the same afterwards.
struct Stage {
    datacenter: Datacenter,
    client: Client,
    images: Images,
    pid: Option<u32>,
    memory: u64,
}

const FILE: TestFile = TestFile { seed: 5, size: 100_000 };

impl Stage {
    async fn set() -> Stage {
        let datacenter = start_datacenter().await;
        let client = Client::new(&datacenter);
        let (open, active) = (client.created().await, client.uploaded(FILE).await);
        assert_eq!(client.activate(&active).await.unwrap().status, 200);
        client.assert_holds(&active, FILE).await;
        let (pid, memory) = (datacenter.imgapi_pid(), resident_bytes(&datacenter));
        Stage { datacenter, client, images: Images { open, active }, pid, memory }
    }

    /// Runs all cases and returns the number of rejected requests.
    async fn run(&self, cases: Vec<Case>) -> usize {
        let address = self.datacenter.imgapi_address().unwrap();
        let judged = stream::iter(cases).map(|case| judge(address, case)).buffer_unordered(AT_ONCE);
        let judged: Vec<_> = judged.collect().await;
        let mut codes = BTreeMap::new();
        for code in judged.iter().flat_map(|verdict| &verdict.codes) {
            *codes.entry(code.clone()).or_insert(0) += 1;
        }
        let problems: Vec<_> = judged.iter().filter_map(|verdict| verdict.problem.as_deref()).collect();
        let listed = &problems[..problems.len().min(40)];
        assert!(problems.is_empty(), "{} problems:\n{}\n{codes:#?}", problems.len(), listed.join("\n"));
        println!("{} requests: {codes:?}", judged.len());
        codes.iter().filter(|((status, _), _)| *status >= 400).map(|(_, count)| *count).sum()
    }

    /// Checks that the process is the same, has not grown, and still works.
    async fn assert_undisturbed(&self) {
        let growth = resident_bytes(&self.datacenter).saturating_sub(self.memory);
        assert!(growth <= GROWTH, "memory grew by {growth} bytes");
        let file = TestFile { seed: 6, size: 50_000 };
        let uuid = self.client.uploaded(file).await;
        assert_eq!(self.client.activate(&uuid).await.unwrap().status, 200);
        self.client.assert_holds(&uuid, file).await;
        self.client.assert_holds(&self.images.active, FILE).await;
        assert_eq!(self.datacenter.imgapi_pid(), self.pid);
        wait_until_swept(&self.datacenter).await;
    }
}

/// The result of a case.
struct Verdict {
    codes: Vec<(u16, String)>,
    problem: Option<String>,
}

async fn judge(address: SocketAddr, case: Case) -> Verdict {
    let (codes, outcome) = match case.exchange.run(address).await {
        Ok(responses) => {
            let codes = responses.iter().map(|got| (got.status, got.code().unwrap_or_default())).collect();
            (codes, assess(&case, &responses))
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let sent = case.exchange.pieces.concat();
    let sent = String::from_utf8_lossy(&sent[..sent.len().min(300)]).into_owned();
    let problem = outcome.err().map(|problem| format!("{}: {problem}: {sent:?}", case.name));
    Verdict { codes, problem }
}

/// Checks the answers: there must be one, and every error must have a code and blame the client.
fn assess(case: &Case, responses: &[Response]) -> Result<(), String> {
    if responses.is_empty() && !is_blank(&case.exchange) {
        return Err("no answer".to_owned());
    }
    for response in responses {
        let is_error = response.status >= 400;
        if response.status == 500 {
            return Err(format!("a mistake of the client's is an internal error: {response:?}"));
        }
        if is_error && !case.exchange.head && response.code().is_none() {
            return Err(format!("an error without a code: {response:?}"));
        }
        if !is_error && case.must_fail {
            return Err(format!("it succeeds: {}", response.status));
        }
    }
    Ok(())
}

/// Returns whether only line ends were sent, to which there is no answer.
fn is_blank(exchange: &Exchange) -> bool {
    exchange.pieces.iter().flatten().all(|byte| matches!(byte, b'\r' | b'\n'))
}

#[tokio::test]
async fn a_thousand_malformed_requests_are_refused_one_by_one() {
    let stage = Stage::set().await;
    let images = &stage.images;
    let mut cases = heads::cases(images);
    cases.extend(framing::cases(images));
    cases.extend(queries::cases(images));
    cases.extend(bodies::cases(images));
    let table = cases.len();
    cases.extend(mixture::cases(images, 600));
    let refused = stage.run(cases).await;
    println!("{table} cases by hand; {refused} requests refused");
    assert!(refused >= REFUSED, "only {refused} requests were refused");
    stage.assert_undisturbed().await;
}

#[tokio::test]
async fn valid_requests_with_bytes_changed_at_random_are_answered() {
    let stage = Stage::set().await;
    stage.run(mutation::cases(&stage.images, 1500)).await;
    stage.assert_undisturbed().await;
}
