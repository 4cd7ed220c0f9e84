// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Every fault at every step: an error, no hang, and the next import succeeds.

use std::sync::atomic::{AtomicBool, Ordering};

use super::server::{Answer, Fault, Server, Stored};
use super::*;

type Spoil = fn(Answer) -> Answer;

/// What is wrong with an answer.
const FAULTS: [(&str, Spoil); 13] = [
    ("closed", |answer| answer.fault(Fault::Closed, 0)),
    ("silent", |answer| answer.fault(Fault::Silent, 0)),
    ("cut in the head", |answer| answer.fault(Fault::Cut, 0)),
    ("cut", |answer| answer.fault(Fault::Cut, 3)),
    ("other bytes", Answer::flip_first_byte),
    ("too short", Answer::shortened),
    ("400", |_| Answer::new(400, "")),
    ("401", |_| Answer::new(401, "")),
    ("403", |_| Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#)),
    ("404", |_| Answer::new(404, "")),
    ("429", |_| Answer::new(429, "").header("retry-after", 3600)),
    ("500", |_| Answer::new(500, "not json")),
    ("503", |_| Answer::new(503, "")),
];

/// The steps of an import: what the request for it contains.
fn steps(image: &Stored) -> [(&'static str, String); 4] {
    [
        ("token", "/token".to_owned()),
        ("manifest", "/manifests/".to_owned()),
        ("config", Digest::of(image.config.as_bytes()).to_string()),
        ("layer", Digest::of(&image.layer).to_string()),
    ]
}

fn stored() -> Stored {
    Stored::new(b"layer with some bytes".to_vec(), b"layer with some bytes")
}

/// A registry with a token server. One step is spoilt for as long as `is_ill`.
async fn server(step: String, spoil: Spoil, is_ill: Arc<AtomicBool>) -> Server {
    let image = stored();
    Server::start(move |request, _| {
        let right = if request.target.starts_with("/token") {
            Answer::new(200, r#"{"access_token":"t"}"#)
        } else if request.header("authorization") == Some("Bearer t") {
            image.answer(request)
        } else {
            let host = request.header("host").unwrap();
            return Answer::new(401, "")
                .header("www-authenticate", format!("Bearer realm=\"http://{host}/token\""));
        };
        let is_spoilt = is_ill.load(Ordering::Relaxed) && request.target.contains(&step);
        if is_spoilt { spoil(right) } else { right }
    })
    .await
}

#[tokio::test]
async fn each_fault_at_each_step_is_an_error_and_no_more() {
    let mut cases = Vec::new();
    for (step, target) in steps(&stored()) {
        for (fault, spoil) in FAULTS {
            cases.push((step, target.clone(), fault, spoil));
        }
    }
    let runs = cases.into_iter().map(|(step, target, fault, spoil)| async move {
        let is_ill = Arc::new(AtomicBool::new(true));
        let server = server(target, spoil, Arc::clone(&is_ill)).await;
        let text = format!("{}/aa/b", server.address);
        let import = |clients| {
            let registry = registry_with(clients, &text, None, Access::Pull);
            async move { pull(&registry).await }
        };
        let clients_of_ill = if fault == "silent" { impatient() } else { clients(&json!({}), None) };
        let error = import(clients_of_ill).await.expect_err(&format!("{fault} at {step}"));
        assert_eq!(kind(&error), expected(step, fault), "{fault} at {step}: {error:?}");
        assert!(!error.to_string().contains("/v2/"), "{error}");
        is_ill.store(false, Ordering::Relaxed);
        assert_eq!(
            import(clients(&json!({}), None)).await.unwrap(),
            [stored().layer],
            "after {fault} at {step}"
        );
    });
    futures_util::future::join_all(runs).await;
}

fn kind(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::Connection(_) => "connection",
        RegistryError::Transfer(_) => "transfer",
        RegistryError::Unauthorized { .. } => "unauthorized",
        RegistryError::NotFound { .. } => "not found",
        RegistryError::OtherDigest { .. } | RegistryError::Truncated { .. } => "digest",
        RegistryError::Invalid(_) => "invalid",
        RegistryError::Refused { .. } => "refused",
        _ => "other",
    }
}

fn expected(step: &str, fault: &str) -> &'static str {
    match (step, fault) {
        (_, "closed" | "silent") => "connection",
        (_, "cut" | "cut in the head") => "transfer",
        ("token", "other bytes" | "too short") => "invalid",
        ("manifest", "other bytes" | "too short") => "invalid",
        (_, "other bytes" | "too short") => "digest",
        ("token", "404") => "refused",
        ("token", "400") => "unauthorized",
        ("manifest", "401") => "not found",
        (_, "401" | "403") => "unauthorized",
        (_, "404") => "not found",
        _ => "refused",
    }
}
