//! A thousand malformed requests: each that can be answered is answered with a code, and the server lives on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use coal::Datacenter;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const REQUESTS: usize = 1000;
const MAX_GROWTH_KIB: u64 = 64 << 10;
const UUID: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";

/// Targets of all kinds: right ones, wrong ones, and wrong parameters of right ones.
const TARGETS: [&str; 24] = [
    "/images/%zz",
    "/images/%ff",
    "/images/C58161C0-2547-11E2-A75E-9FDCA1940570",
    "/images/c58161c0-2547-11e2-a75e-9fdca1940570?account=x",
    "/images/c58161c0-2547-11e2-a75e-9fdca1940570?account[]=x",
    "/images/c58161c0-2547-11e2-a75e-9fdca1940570?action=explode",
    "/images/c58161c0-2547-11e2-a75e-9fdca1940570/file?compression=zip",
    "/images/c58161c0-2547-11e2-a75e-9fdca1940570/",
    "/images/..%2f..%2fetc",
    "/images?action=",
    "/images?action=explode",
    "/images?action=create-from-vm",
    "/images?limit=x",
    "/images?limit=-1",
    "/images?limit=1e999",
    "/images?state=confused",
    "/images?public=maybe",
    "/images?sort=name",
    "/images?sort=a&sort=b",
    "/images?marker=yesterday",
    "/images?owner[a]=b",
    "/nowhere",
    "/imagesx",
    "*",
];

/// Bodies of CreateImage that make no image.
const BODIES: [&str; 20] = [
    "",
    "{",
    "null",
    "[]",
    "\"text\"",
    "5",
    "{}",
    "{\"owner\":\"x\"}",
    "{\"owner\":[]}",
    "{\"owner\":null,\"name\":5}",
    "{\"tags\":[1],\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\"}",
    "{\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\",\"requirements\":null}",
    "{\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\",\"disabled\":\"perhaps\"}",
    "{\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\",\"homepage\":{}}",
    "{\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\",\"constructor\":1,\"__proto__\":2}",
    "{\"owner\":\"00000000-0000-4000-8000-000000000000\",\"name\":\"a\"}",
    "{\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\",\"v\":1e400}",
    "{\"state\":\"active\",\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\"}",
    "{\"origin\":\"nobody\",\"owner\":\"930896af-bf8c-48d4-885c-6573a94b1853\"}",
    "{\"name\":\"\\ud800\"}",
];

const HEADERS: [&str; 12] = [
    "Accept-Version: ~99",
    "Accept-Version: garbage",
    "Content-MD5: AAAA",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Type: multipart/form-data",
    "Content-Type: application/xml",
    "If-Match: \"nothing\"",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 6",
    "Bad Header: x",
];

/// Bytes that are no request at all.
const NO_REQUESTS: [&[u8]; 10] = [
    b"\r\n\r\nGET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"G\0T /ping HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost a\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nA: \0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /ping",
    b"PUT /images/x/file HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_request_is_answered_with_a_code() {
    let datacenter = Datacenter::builder().imgapi(env!("CARGO_BIN_EXE_imgapi")).start().await.unwrap();
    let (address, pid) = (datacenter.imgapi_address().unwrap(), datacenter.imgapi_pid().unwrap());
    let before = resident_kib(pid);
    let mut random = StdRng::seed_from_u64(4131);
    let mut codes = BTreeMap::<String, usize>::new();
    for number in 0..REQUESTS {
        let request = malformed(&mut random, number);
        let pieces = if number % 50 == 7 { 1 } else { request.len().max(1) };
        let answer = exchange(address, &request, pieces).await;
        let code = code(&answer).unwrap_or_else(|problem| {
            panic!("{problem}\nto {:?}\ncame {answer:?}", String::from_utf8_lossy(&request))
        });
        *codes.entry(code).or_default() += 1;
        assert_eq!(datacenter.imgapi_pid(), Some(pid), "the server ended");
    }
    assert!(!codes.contains_key("InternalError"), "{codes:?}");
    assert!(codes.len() >= 12, "the requests are not diverse: {codes:?}");
    let growth = resident_kib(pid).saturating_sub(before);
    assert!(growth <= MAX_GROWTH_KIB, "memory grew by {growth} KiB");
    let pong = exchange(address, b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1000).await;
    assert!(pong.starts_with("HTTP/1.1 200 "), "{pong}");
    datacenter.stop().await;
}

fn malformed(random: &mut StdRng, number: usize) -> Vec<u8> {
    match number % 10 {
        0 => NO_REQUESTS.choose(random).unwrap().to_vec(),
        1 => with_a_huge_head(random),
        2 | 3 => {
            let body = BODIES.choose(random).unwrap();
            create(random, body.as_bytes())
        }
        4 => {
            let mut noise = vec![0; random.random_range(1..200)];
            random.fill(&mut noise[..]);
            create(random, &noise)
        }
        5 => {
            let nested = "[".repeat(random.random_range(200..20_000));
            create(random, nested.as_bytes())
        }
        6 => head(&format!("PUT /images/{UUID}/file"), &format!("Content-Length: {}", (20u64 << 30) + 1)),
        7 => {
            let method = ["PATCH", "DELETE", "OPTIONS", "PUT", "BREW"].choose(random).unwrap();
            head(&format!("{method} /images"), "X: y")
        }
        8 => head(&format!("POST {}", TARGETS.choose(random).unwrap()), "X: y"),
        _ => {
            let target = TARGETS.choose(random).unwrap();
            // A GET ignores the action.
            let methods =
                if target.contains("action=") { &["POST"][..] } else { &["GET", "POST", "PUT", "DELETE"] };
            let method = methods.choose(random).unwrap();
            head(&format!("{method} {target}"), HEADERS.choose(random).unwrap())
        }
    }
}

fn head(line: &str, header: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n").into_bytes()
}

fn create(random: &mut StdRng, body: &[u8]) -> Vec<u8> {
    let line = "POST /images";
    if random.random_bool(0.5) {
        let header = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
        return [head(line, &header), body.to_vec()].concat();
    }
    let mut request = head(line, "Content-Type: application/json\r\nTransfer-Encoding: chunked");
    // One byte a chunk.
    for byte in body.iter().take(2000) {
        request.extend([b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat());
    }
    request.extend(b"0\r\n\r\n");
    request
}

fn with_a_huge_head(random: &mut StdRng) -> Vec<u8> {
    if random.random_bool(0.5) {
        return head("GET /ping", &format!("X: {}", "x".repeat(random.random_range(70_000..200_000))));
    }
    let headers: Vec<String> = (0..random.random_range(120..500)).map(|n| format!("X{n}: y")).collect();
    head("GET /ping", &headers.join("\r\n"))
}

/// Sends the bytes, `piece` at a time, closes the sending side and reads until the server closes.
async fn exchange(address: SocketAddr, request: &[u8], piece: usize) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut reader, mut writer) = stream.split();
        // The server may answer and close before everything is sent.
        let send = async {
            for piece in request.chunks(piece) {
                if writer.write_all(piece).await.is_err() {
                    return;
                }
            }
            let _ = writer.shutdown().await;
        };
        let mut answer = Vec::new();
        let (_, _) = tokio::join!(send, reader.read_to_end(&mut answer));
        answer
    };
    let answer = timeout(PATIENCE, exchange).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The code of the last answer, which must be an error with a body as clients know it.
fn code(answer: &str) -> Result<String, String> {
    let last = answer.rfind("HTTP/1.1 ").map(|start| &answer[start..]).ok_or("no answer")?;
    let status: u16 =
        last["HTTP/1.1 ".len()..].get(..3).and_then(|text| text.parse().ok()).ok_or("no status")?;
    if !(400..600).contains(&status) {
        return Err(format!("status {status}"));
    }
    let body = last.split_once("\r\n\r\n").ok_or("no end of the head")?.1;
    let body: Value = serde_json::from_str(body).map_err(|error| format!("no JSON: {error}"))?;
    let message = body["message"].as_str().ok_or("no message")?;
    assert!(!message.is_empty());
    body["code"].as_str().map(str::to_owned).ok_or_else(|| "no code".to_owned())
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
