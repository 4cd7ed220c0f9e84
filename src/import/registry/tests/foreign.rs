// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which servers the client is led to.

use super::server::{Answer, Server, Stored};
use super::*;
use crate::import::FetchError;

fn image() -> Stored {
    Stored::new(b"layer".to_vec(), b"layer")
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_credentials() {
    let stored = image();
    let store = Server::start(move |request, _| stored.answer(request)).await;
    let (address, stored) = (store.address.clone(), image());
    let server = Server::start(move |request, _| match request.header("authorization") {
        None => Answer::new(401, "").header("www-authenticate", "Basic realm=x"),
        Some(_) if request.target.contains("/blobs/") => {
            Answer::new(307, "").header("location", format!("http://u:p@{address}{}?signed", request.target))
        }
        Some(_) => stored.answer(request),
    })
    .await;
    // The store does not know the query, so its blobs are found by their end.
    let text = format!("{}/aa/b", server.address);
    let registry = registry_with(clients(&json!({}), None), &text, Some(("u", "p")), Access::Pull);
    let error = pull(&registry).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
    let requests = store.requests();
    assert!(requests[0].target.ends_with("?signed"));
    assert_eq!((requests[0].header("authorization"), requests[0].header("request-id")), (None, None));
}

#[tokio::test]
async fn a_relative_redirect_and_one_at_home_are_followed() {
    let stored = image();
    let server = Server::start(move |request, _| match request.target.strip_prefix("/v2/aa/b/") {
        Some(rest) => Answer::new(302, "").header("location", format!("/v2/c/{rest}")),
        None => stored.answer(request),
    })
    .await;
    assert_eq!(pull(&registry(&server)).await.unwrap(), [b"layer".to_vec()]);
}

#[tokio::test]
async fn redirects_end() {
    let locations = ["/v2/aa/b/again", "", "http://", "ftp://h/", "\u{ff}://"];
    for location in locations {
        let server = Server::start(move |_, _| Answer::new(302, "").header("location", location)).await;
        let error = pull(&registry(&server)).await.unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::Connection(FetchError::Redirect { .. } | FetchError::Denied { .. })
            ),
            "{location}: {error:?}"
        );
        assert!(server.requests().len() <= 6);
    }
}

#[tokio::test]
async fn encryption_is_not_lost_on_the_way() {
    let answer = |location: &str| {
        let answer = redirect_to(location);
        let registry = registry_with(clients(&json!({}), None), "h.x/a", None, Access::Pull);
        registry.location(&"https://h.x/v2/".parse().unwrap(), &answer).map(|url| url.to_string())
    };
    assert_eq!(answer("https://u:p@h.y/x#y").unwrap(), "https://h.y/x");
    assert!(answer("http://h.x/").is_err());
    let registry =
        registry_with(clients(&json!({"dockerRegistryInsecure": true}), None), "h.x/a", None, Access::Pull);
    let answer = redirect_to("http://h.y/");
    registry.location(&"https://h.x/v2/".parse().unwrap(), &answer).unwrap();
}

/// Returns an answer with this header.
fn redirect_to(location: &str) -> reqwest::Response {
    let mut response = hyper::Response::new("");
    response.headers_mut().insert("location", location.parse().unwrap());
    response.into()
}

#[tokio::test]
async fn addresses_are_checked_unless_the_host_is_allowed() {
    let stored = image();
    let server = Server::start(move |request, _| stored.answer(request)).await;
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    let cases = [
        (json!([]), "127.0.0.1", false),
        (json!([]), "localhost", false),
        (json!(["localhost"]), "127.0.0.1", false),
        (json!(["localhost"]), "localhost", true),
        (json!(["127.0.0.1"]), "127.0.0.1", true),
    ];
    for (allowed, host, is_right) in cases {
        let clients = clients(&json!({"registryAllow": allowed}), None);
        let registry = registry_with(clients, &format!("http://{host}:{port}/aa/b"), None, Access::Pull);
        match pull(&registry).await {
            Ok(_) => assert!(is_right, "{host}"),
            Err(RegistryError::Connection(FetchError::Denied { .. })) => assert!(!is_right, "{host}"),
            Err(error) => panic!("{host}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_registry_does_not_lead_to_a_denied_address() {
    let stored = image();
    let server = Server::start(move |request, _| match request.target.contains("/blobs/") {
        true => Answer::new(307, "").header("location", "http://127.0.0.2/latest/meta-data"),
        false => stored.answer(request),
    })
    .await;
    let error = pull(&registry(&server)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connection(FetchError::Denied { .. })), "{error}");
    let server = Server::start(|_, _| {
        Answer::new(401, "").header("www-authenticate", "Bearer realm=\"http://127.0.0.2/token\"")
    })
    .await;
    let error = pull(&registry(&server)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connection(FetchError::Denied { .. })), "{error}");
}

#[tokio::test]
async fn a_proxy_is_used_but_for_the_hosts_that_need_none() {
    let stored = image();
    let proxy = Server::start(move |request, _| {
        let path = request.target.trim_start_matches("http://registry.example");
        stored.answer(&super::server::Request { target: path.to_owned(), ..request.clone() })
    })
    .await;
    let stored = image();
    let server = Server::start(move |request, _| stored.answer(request)).await;
    let settings = json!({"httpProxy": format!("http://u:p@{}", proxy.address)});
    let registry =
        |text: &str, no_proxy| registry_with(clients(&settings, no_proxy), text, None, Access::Pull);
    pull(&registry("http://registry.example/aa/b", None)).await.unwrap();
    let requests = proxy.requests();
    assert_eq!(requests[0].target, "http://registry.example/v2/aa/b/manifests/latest");
    assert_eq!(requests[0].header("proxy-authorization"), Some("Basic dTpw"));
    let direct = format!("http://{}/aa/b", server.address);
    pull(&registry(&direct, Some("other.example,127.0.0.0/8"))).await.unwrap();
    assert_eq!((proxy.requests().len(), server.requests().len()), (3, 3));
    // Addresses that stand in URLs are checked nevertheless.
    let error = pull(&registry("http://169.254.169.254/aa/b", None)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connection(FetchError::Denied { .. })), "{error}");
}
