// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::server::{Answer, Request, Server, Stored};
use super::*;

/// A token server and a registry in one: tokens are good for `uses` requests, if the user is the right one.
async fn server(uses: usize, user: Option<&'static str>) -> Server {
    let image = Stored::new(b"layer".to_vec(), b"layer");
    Server::start(move |request, count| {
        if request.target.starts_with("/token") {
            let is_known = request.header("authorization") == user;
            let token = format!(r#"{{"token":"t{count}"}}"#);
            return if is_known { Answer::new(200, token) } else { Answer::new(401, "") };
        }
        let issued =
            request.header("authorization").and_then(|value| value.strip_prefix("Bearer t")?.parse().ok());
        if issued.is_some_and(|issued: usize| count - issued <= uses) {
            return image.answer(request);
        }
        challenge(request)
    })
    .await
}

fn challenge(request: &Request) -> Answer {
    let host = request.header("host").unwrap();
    let scope = "repository:aa/b:pull,push repository:other:pull";
    let challenge = format!(r#"Bearer realm="http://{host}/token?x=y",service="reg istry",scope="{scope}""#);
    Answer::new(401, "").header("www-authenticate", challenge)
}

#[tokio::test]
async fn a_token_is_got_when_the_registry_asks_for_one_and_used_from_then_on() {
    let server = server(usize::MAX, None).await;
    assert_eq!(pull(&registry(&server)).await.unwrap(), [b"layer".to_vec()]);
    let seen = server.seen();
    assert_eq!(seen.len(), 5, "{seen:?}");
    // Scopes are split at blanks; a comma is part of one. The scope that is needed is asked for, too.
    let scopes = "scope=repository%3Aaa%2Fb%3Apull%2Cpush&scope=repository%3Aother%3Apull&scope=repository%3Aaa%2Fb%3Apull";
    assert_eq!(seen[1], format!("GET /token?x=y&service=reg+istry&{scopes}"));
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(sent, [None, None, Some("Bearer t1"), Some("Bearer t1"), Some("Bearer t1")]);
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_renewed() {
    let server = server(1, None).await;
    assert_eq!(pull(&registry(&server)).await.unwrap(), [b"layer".to_vec()]);
    let tokens = server.seen().iter().filter(|seen| seen.contains("/token")).count();
    assert_eq!(tokens, 3, "{:?}", server.seen());
}

#[tokio::test]
async fn requests_that_fail_together_get_one_new_token() {
    let server = server(usize::MAX, None).await;
    let registry = registry(&server);
    let image = Stored::new(b"layer".to_vec(), b"layer");
    let digest = Digest::of(&image.layer);
    let all = futures_util::future::join_all((0..6).map(|_| registry.has_blob(digest))).await;
    assert!(all.into_iter().all(|found| found.unwrap()));
    let tokens = server.seen().iter().filter(|seen| seen.contains("/token")).count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn name_and_password_go_to_the_token_server() {
    // u:p in Base64.
    let server = server(usize::MAX, Some("Basic dTpw")).await;
    let text = format!("{}/aa/b", server.address);
    for (user, is_right) in [(Some(("u", "p")), true), (Some(("u", "q")), false), (None, false)] {
        let registry = registry_with(clients(&json!({}), None), &text, user, Access::Pull);
        match pull(&registry).await {
            Ok(_) => assert!(is_right, "{user:?}"),
            Err(error) => {
                assert!(!is_right && matches!(error, RegistryError::Unauthorized { .. }), "{error}")
            }
        }
    }
    let requests = server.requests();
    let with_account = requests.iter().find(|request| request.target.contains("/token")).unwrap();
    assert!(with_account.target.ends_with("&account=u"), "{}", with_account.target);
    let passwords = requests.iter().filter(|request| request.header("authorization") == Some("Basic dTpw"));
    assert!(passwords.into_iter().all(|request| request.target.contains("/token")));
}

#[tokio::test]
async fn a_registry_may_want_the_password_itself() {
    let image = Stored::new(b"layer".to_vec(), b"layer");
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Basic dTpw") => image.answer(request),
        _ => Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let text = format!("{}/aa/b", server.address);
    let registry = |user| registry_with(clients(&json!({}), None), &text, user, Access::Pull);
    pull(&registry(Some(("u", "p")))).await.unwrap();
    for user in [Some(("u", "q")), None] {
        let error = pull(&registry(user)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    }
    // The password is sent from the second request on, and no request is sent more than twice.
    assert_eq!(server.requests().len(), 4 + 2 + 1);
}

#[tokio::test]
async fn a_repository_that_is_hidden_in_spite_of_a_token_does_not_exist() {
    let server = server(0, None).await;
    let error = pull(&registry(&server)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
    let error = registry(&server).has_blob(Digest::of(b"")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn a_token_server_may_be_unusable() {
    let answers = [
        ("http://HOST/token", Answer::new(500, "")),
        ("http://HOST/token", Answer::new(200, "{}")),
        ("http://HOST/token", Answer::new(200, "[")),
        ("http://HOST/token", Answer::new(200, r#"{"token":""}"#)),
        ("http://HOST/token", Answer::new(200, r#"{"token":"a\nb"}"#)),
        ("http://HOST/token", Answer::new(200, vec![b' '; (1 << 20) + 1])),
        ("http://HOST/token", Answer::new(302, "").header("location", "/other")),
        ("ftp://HOST/token", Answer::new(200, r#"{"token":"t"}"#)),
        ("token", Answer::new(200, r#"{"token":"t"}"#)),
    ];
    for (realm, answer) in answers {
        let sent = answer.clone();
        let server = Server::start(move |request, _| {
            if request.target.starts_with("/token") {
                return sent.clone();
            }
            let realm = realm.replace("HOST", request.header("host").unwrap());
            Answer::new(401, "").header("www-authenticate", format!("Bearer realm=\"{realm}\""))
        })
        .await;
        pull(&registry(&server)).await.map(drop).expect_err(&format!("{realm} {answer:?}"));
        assert!(server.requests().len() <= 2, "{:?}", server.seen());
    }
}

#[tokio::test]
async fn an_answer_401_without_a_known_challenge_is_final() {
    let server =
        Server::start(|_, _| Answer::new(401, "").header("www-authenticate", "Digest realm=x")).await;
    assert!(matches!(pull(&registry(&server)).await, Err(RegistryError::Unauthorized { .. })));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn no_secret_is_shown() {
    let registry = registry_with(clients(&json!({}), None), "h.x/a", Some(("u", "hunter2")), Access::Pull);
    assert!(!format!("{registry:?}").contains("hunter2"));
}
