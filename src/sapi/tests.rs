// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

const A: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
const B: &str = "da58c25a-2547-11e2-9b8d-136daa650e8a";

/// The answer to one request.
enum Reply {
    /// An answer with this status, these further headers and this body.
    Answer(u16, &'static str, String),
    /// The connection is closed without an answer.
    Close,
    /// There is never an answer.
    Silence,
}

/// A server that answers requests from a list, one after the other, and closes when the list is empty.
struct Server {
    url: Url,
    requests: Arc<Mutex<Vec<(String, String)>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::<Mutex<Vec<(String, String)>>>::default();
        let (mut replies, seen) = (replies.into_iter().collect::<VecDeque<_>>(), Arc::clone(&requests));
        let serving = tokio::spawn(async move {
            loop {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut head).await.unwrap() == 0 {
                        break;
                    }
                }
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                stream.read_exact(&mut body).await.unwrap();
                seen.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
                match replies.pop_front() {
                    Some(Reply::Answer(status, headers, body)) => {
                        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                        let text = format!("{head}{headers}Connection: close\r\n\r\n{body}");
                        // The client may have stopped reading.
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    Some(Reply::Silence) => std::future::pending().await,
                    Some(Reply::Close) | None => {}
                }
            }
        });
        Server { url, requests, _serving: AbortOnDropHandle::new(serving) }
    }

    fn client(&self) -> Sapi {
        self.client_with(Duration::from_secs(60))
    }

    fn client_with(&self, answer: Duration) -> Sapi {
        let limits = TimeLimits { answer, pause: Duration::from_millis(1), ..TimeLimits::default() };
        Sapi::with_limits(self.url.clone(), "imgapi/1", limits).unwrap()
    }

    fn request_lines(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(head, _)| head.split(" HTTP/").next().unwrap().to_owned()).collect()
    }
}

fn ok(body: impl ToString) -> Reply {
    Reply::Answer(200, "", body.to_string())
}

fn fails(status: u16) -> Reply {
    Reply::Answer(status, "", json!({"code": "SomeError", "message": "two\nlines"}).to_string())
}

fn service(metadata: serde_json::Value) -> serde_json::Value {
    json!({"uuid": B, "name": "imgapi", "application_uuid": A, "type": "vm", "metadata": metadata, "manifests": {}})
}

#[tokio::test]
async fn lists_are_asked_for_by_name_and_uuid() {
    let application =
        json!({"uuid": A, "name": "sdc", "owner_uuid": B, "metadata": {"dns_domain": "x", "n": 1}});
    let instance = json!({"uuid": A, "service_uuid": B, "params": {}});
    let server = Server::start([
        ok(json!([application])),
        ok(json!([service(serde_json::Value::Null)])),
        ok(json!([instance])),
        ok("[]"),
    ])
    .await;
    let sapi = server.client();
    let applications = sapi.applications("sdc").await.unwrap();
    assert_eq!(applications[0].uuid.to_string(), A);
    assert_eq!(
        (applications[0].metadata.text("dns_domain"), applications[0].metadata.text("n")),
        (Some("x"), None)
    );
    let services = sapi.services("imgapi", applications[0].uuid).await.unwrap();
    assert_eq!(services[0].metadata, Metadata::default());
    assert_eq!(sapi.instances(services[0].uuid).await.unwrap()[0].service_uuid.to_string(), B);
    assert!(sapi.applications("a&b=c").await.unwrap().is_empty());
    assert_eq!(
        server.request_lines(),
        [
            "GET /applications?name=sdc".to_owned(),
            format!("GET /services?name=imgapi&application_uuid={A}"),
            format!("GET /instances?service_uuid={B}"),
            "GET /applications?name=a%26b%3Dc".to_owned(),
        ]
    );
    let head = server.requests.lock().unwrap()[0].0.to_lowercase();
    for header in ["accept-version: ~2", "accept: application/json", "user-agent: imgapi/1"] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_update_sets_keys_and_is_sent_once() {
    let server = Server::start([ok(service(json!({"K": "v"}))), fails(503), Reply::Close]).await;
    let sapi = server.client();
    let metadata: Metadata = serde_json::from_value(json!({"K": "v"})).unwrap();
    let updated = sapi.update_service_metadata(B.parse().unwrap(), &metadata).await.unwrap();
    assert_eq!(updated.metadata, metadata);
    let again = async || sapi.update_service_metadata(B.parse().unwrap(), &metadata).await.unwrap_err();
    assert!(matches!(again().await, SapiError::Refused { status: 503, .. }));
    assert!(matches!(again().await, SapiError::OutcomeUnknown(_)));
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].0.starts_with(&format!("PUT /services/{B} ")));
    assert_eq!(requests[0].1, r#"{"action":"update","metadata":{"K":"v"}}"#);
}

#[tokio::test]
async fn a_config_comes_again_only_when_it_has_changed() {
    let manifest = json!({"uuid": A, "name": "m", "path": "/p", "template": "t", "post_cmd": "true"});
    let body = json!({"manifests": [manifest], "metadata": {"K": [1]}});
    let server = Server::start([
        Reply::Answer(200, "ETag: abc\r\n", body.to_string()),
        Reply::Answer(304, "ETag: abc\r\n", String::new()),
        fails(404),
    ])
    .await;
    let sapi = server.client();
    let instance = A.parse().unwrap();
    let ConfigAnswer::Config(config) = sapi.config(instance, None).await.unwrap() else { panic!() };
    assert_eq!((config.etag.as_deref(), config.metadata.0["K"][0].as_i64()), (Some("abc"), Some(1)));
    assert_eq!(config.manifests[0].post_cmd.as_deref(), Some("true"));
    let again = sapi.config(instance, config.etag.as_deref()).await.unwrap();
    assert!(matches!(again, ConfigAnswer::NotModified));
    let unknown = sapi.config(instance, Some("not\na header")).await.unwrap_err();
    assert!(!unknown.is_of_the_service());
    let requests = server.requests.lock().unwrap();
    let conditional = |at: usize| requests[at].0.contains("if-none-match: abc\r\n");
    assert_eq!([conditional(0), conditional(1)], [false, true]);
    assert!(!requests[2].0.contains("if-none-match"));
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let full = r#"{"mode":"full","storType":"MorayStorage","storAvailable":true}"#;
    let server = Server::start([Reply::Close, fails(500), ok(full)]).await;
    let ping = server.client().ping().await.unwrap();
    assert_eq!(ping, Ping { mode: Mode::Full, stor_available: true });
    assert_eq!(server.request_lines().len(), 3);

    let server = Server::start([fails(500), fails(503), fails(500), ok("\"proto\"")]).await;
    let error = server.client().mode().await.unwrap_err();
    assert_eq!(error.to_string(), "SAPI answered 500 SomeError: two lines");
    assert!(error.is_of_the_service());
    assert_eq!(server.client().mode().await.unwrap(), Mode::Proto);

    let server = Server::start([fails(409)]).await;
    assert!(matches!(server.client().mode().await, Err(SapiError::Refused { status: 409, .. })));
    assert_eq!(server.request_lines().len(), 1);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let limits = TimeLimits { tries: 2, pause: Duration::from_millis(1), ..TimeLimits::default() };
    let url = Url::parse(&format!("http://{address}")).unwrap();
    let away = Sapi::with_limits(url, "imgapi/1", limits).unwrap();
    assert!(matches!(away.mode().await, Err(SapiError::Down(_))));
}

#[tokio::test]
async fn unusable_answers_are_refused_without_showing_them() {
    let secret = "hunter2";
    let cases = [
        ok(format!("{{\"mode\": \"{secret}\"}}")),
        ok(format!("\"{secret}\"")),
        ok(format!("<p>{secret}")),
        Reply::Answer(304, "", String::new()),
        Reply::Answer(302, "Location: /other\r\n", secret.to_owned()),
    ];
    for (case, reply) in cases.into_iter().enumerate() {
        let server = Server::start([reply]).await;
        let error = server.client().mode().await.unwrap_err();
        assert_eq!(server.request_lines().len(), 1, "{case}");
        match &error {
            SapiError::Refused { status, .. } => assert!(matches!(status, 302 | 304), "{case}"),
            error => assert!(matches!(error, SapiError::Malformed(_)), "{case}: {error}"),
        }
        assert!(!error.to_string().contains(secret), "{error}");
    }
    let long = format!("\"{}\"", "x".repeat(call::MAX_ANSWER));
    let server = Server::start([ok(long)]).await;
    assert!(matches!(server.client().mode().await, Err(SapiError::TooLarge(_))));
}

#[tokio::test]
async fn a_silent_sapi_is_not_waited_for_for_ever() {
    let server = Server::start([Reply::Silence]).await;
    let error = server.client_with(Duration::from_millis(50)).mode().await.unwrap_err();
    assert!(matches!(error, SapiError::Deadline(_)), "{error}");
}

#[test]
fn nothing_shows_the_values_of_metadata() {
    let service: Service = serde_json::from_value(service(json!({"IMGAPI_PRIVATE_KEY": "hunter2"}))).unwrap();
    let shown = format!("{service:?}");
    assert!(shown.contains("IMGAPI_PRIVATE_KEY") && !shown.contains("hunter2"), "{shown}");
}
