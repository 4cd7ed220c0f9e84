// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::*;
use crate::telemetry::bunyan::tests::one;
use crate::telemetry::err;
use serde_json::json;

struct Case {
    method: &'static str,
    url: &'static str,
    query: Option<Vec<(String, String)>>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
    status: u16,
    response_body: Option<Vec<u8>>,
}

impl Default for Case {
    fn default() -> Case {
        Case {
            method: "POST",
            url: "/images/x?action=update",
            query: Some(vec![("action".into(), "update".into())]),
            headers: vec![("host", "h"), ("X-Request-Id", "RID")],
            body: Some(b"{\"b\": 2}".to_vec()),
            status: 409,
            response_body: Some(br#"{"code":"InvalidArgument","message":"nope"}"#.to_vec()),
        }
    }
}

impl Case {
    fn log(&self) -> (String, Value) {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let mut response_headers = HeaderMap::new();
        response_headers.insert("content-length", "43".parse().unwrap());
        let error = err(&std::io::Error::other("nope")).named("InvalidArgumentError");
        one(|| {
            let audit = Audit {
                req_id: "RID",
                route: self.query.as_ref().map(|_| "updateimage"),
                action: self.query.as_ref().map(|_| "update"),
                remote_user: None,
                peer: Some("[::ffff:127.0.0.1]:54696".parse().unwrap()),
                request: AuditRequest {
                    query: self.query.as_deref(),
                    method: self.method,
                    url: self.url,
                    headers: &headers,
                    http_version: Version::HTTP_11,
                    api_version: "~1",
                    body: self.body.as_deref(),
                    timers: &[("upd", Duration::from_micros(2088))],
                },
                response: AuditResponse {
                    status: self.status,
                    headers: &response_headers,
                    body: self.response_body.as_deref(),
                },
                err: (self.status >= 400).then_some(&error),
                latency: Duration::from_micros(5900),
            };
            let span = tracing::info_span!("request", req_id = "RID");
            let _in = span.enter();
            audit.write();
        })
    }
}

#[test]
fn a_record_has_the_fields_of_restifys_audit_logger() {
    let (line, mut value) = Case::default().log();
    assert!(line.contains(r#""route":"updateimage""#) && line.contains(r#""level":30"#), "{line}");
    assert!(line.ends_with(r#","v":0}"#));
    assert_eq!(line.matches("\"req_id\":").count(), 1);
    let map = value.as_object_mut().unwrap();
    for core in ["hostname", "pid", "time"] {
        map.shift_remove(core).unwrap();
    }
    let expected = json!({
        "name": "imgapi", "level": 30, "req_id": "RID", "route": "updateimage", "action": "update",
        "audit": true, "remoteAddress": "127.0.0.1", "remotePort": 54696,
        "req": {"query": {"action": "update"}, "method": "POST", "url": "/images/x?action=update",
            "headers": {"host": "h", "x-request-id": "RID"}, "httpVersion": "1.1", "trailers": {},
            "version": "~1", "body": {"b": 2}, "timers": {"upd": 2088}},
        "res": {"statusCode": 409, "headers": {"content-length": 43}, "trailer": false,
            "body": {"code": "InvalidArgument", "message": "nope"}},
        "err": {"message": "nope", "name": "InvalidArgumentError", "stack": "InvalidArgumentError: nope"},
        "latency": 5, "_audit": true, "msg": "handled: 409", "v": 0,
    });
    assert_eq!(value, expected);
}

#[test]
fn an_unmatched_request_has_a_null_route_and_an_empty_query() {
    let (_, value) = Case { query: None, status: 200, ..Case::default() }.log();
    assert_eq!(value["route"], Value::Null);
    assert!(value.as_object().unwrap().contains_key("route"));
    assert_eq!(value["req"]["query"], "");
    assert!(value.get("action").is_none() && value.get("err").is_none() && value.get("remoteUser").is_none());
}

#[test]
fn a_successful_get_has_no_bodies() {
    let (_, value) = Case { method: "GET", status: 200, ..Case::default() }.log();
    assert!(value["req"].get("body").is_none() && value["res"].get("body").is_none());
    let (_, value) = Case { method: "GET", status: 404, ..Case::default() }.log();
    assert!(value["res"].get("body").is_some());
}

#[test]
fn long_bodies_become_a_marker_and_broken_ones_text() {
    let long = format!("[\"{}\"]", "x".repeat(MAX_BODY)).into_bytes();
    let case = Case { body: Some(long), response_body: Some(b"{oops\n".to_vec()), ..Case::default() };
    let (line, value) = case.log();
    assert_eq!(value["req"]["body"], format!("body of {} bytes left out", MAX_BODY + 4));
    assert_eq!(value["res"]["body"], "{oops\n");
    assert!(line.len() < 4096);
}

#[test]
fn no_credential_reaches_the_log() {
    let case = Case {
        url: "/images/x?source=https%3A%2F%2Fu%3AS3CRET%40h%2Fx&token=S3CRET",
        query: Some(vec![
            ("source".into(), "https://u:S3CRET@h/x".into()),
            ("token".into(), "S3CRET".into()),
            ("a".into(), "1".into()),
            ("a".into(), "2".into()),
            ("https://u:S3CRET@h/".into(), String::new()),
            ("url".into(), "https://u:S3C&S3CRET d@h/".into()),
        ]),
        headers: vec![
            ("authorization", "Basic S3CRET"),
            ("x-registry-auth", "S3CRET"),
            ("x-registry-config", "S3CRET"),
            ("cookie", "a=S3CRET"),
            ("set-cookie", "a=S3CRET"),
            ("proxy-authorization", "Basic S3CRET"),
            ("x-api-key", "S3CRET"),
            ("x-amz-security-token", "S3CRET"),
            ("x-client-secret", "S3CRET"),
            ("host", "S3CRET:S3CRET@h:80"),
            ("x-forwarded-host", "S3CRET@h"),
            ("forwarded", "for=192.0.2.1;host=\"u:S3CRET@h\""),
            ("referer", "http://a:S3CRET@b/"),
            ("accept", "a"),
            ("accept", "b"),
        ],
        body: Some(
            br#"{"url": "https://h/o?signature=S3CRET", "password": "S3CRET", "passwords": {"root": "S3CRET"},
                "tokens": ["S3CRET"], "generate_passwords": true, "text": "u:S3CRET@h"}"#
                .to_vec(),
        ),
        ..Case::default()
    };
    let (line, value) = case.log();
    assert!(!line.contains("S3CRET"), "{line}");
    assert_eq!(value["req"]["headers"]["authorization"], MASK);
    assert_eq!(value["req"]["headers"]["accept"], "a, b");
    assert_eq!(value["req"]["query"]["a"], json!(["1", "2"]));
    assert_eq!(value["req"]["query"]["source"], "https://***@h/x");
    assert_eq!(value["req"]["headers"]["host"], "***@h:80");
    assert_eq!(value["req"]["body"]["generate_passwords"], true);
}

#[test]
fn repeated_parameters_stay_in_their_order() {
    let pairs = |number: usize| (format!("p{}", number % 5000), number.to_string());
    let (_, value) = Case { query: Some((0..10_000).map(pairs).collect()), ..Case::default() }.log();
    let query = value["req"]["query"].as_object().unwrap();
    assert_eq!(query.len(), 5000);
    assert_eq!(query.iter().next_back().unwrap(), (&"p4999".to_owned(), &json!(["4999", "9999"])));
}
