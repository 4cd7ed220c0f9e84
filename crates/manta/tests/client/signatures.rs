// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Signatures with every kind of key, verified as a server does.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_signature::{Head, Policy, SignedRequest};
use manta::{Client, Config};

use crate::support::{Exchange, Peer, both, path, private_key, public_key};

fn read(request: &Exchange) -> SignedRequest {
    let headers: HeaderMap = request
        .headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()))
        .collect();
    let head = Head {
        method: &request.method,
        target: &request.target,
        version: Version::HTTP_11,
        headers: &headers,
    };
    SignedRequest::read(&head, Policy::default(), SystemTime::now()).unwrap()
}

async fn request_with(config: Config, peer: &mut Peer) -> Exchange {
    let client = Client::new(config).unwrap();
    let target = path("/admin/stor/x");
    tokio::select! {
        never = client.head(&target) => panic!("{never:?}"),
        request = peer.next() => request,
    }
}

#[tokio::test]
async fn every_kind_of_key_signs_the_date() {
    let mut peer = Peer::start().await;
    for (name, algorithm, fingerprint) in [
        ("rsa", "rsa-sha256", "f3:39:35:9b:af:1f:10:8f:1f:30:8c:3d:03:7e:55:92"),
        ("ecdsa256", "ecdsa-sha256", "57:ee:04:c8:34:ac:41:2b:c5:87:05:d9:4a:d1:ae:dd"),
        ("ecdsa384", "ecdsa-sha512", "a7:19:2a:b2:2f:c3:d1:01:24:f4:4f:68:d2:24:6c:29"),
        ("ecdsa521", "ecdsa-sha512", "95:a5:5a:ec:66:05:f2:c3:f6:8d:22:b8:f9:bd:d6:9e"),
        ("ed25519", "ed25519-sha512", "6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59"),
    ] {
        let mut config = peer.config();
        config.key = private_key(name);
        let request = request_with(config, &mut peer).await;
        let start = format!(
            "Signature keyId=\"/admin/keys/{fingerprint}\",algorithm=\"{algorithm}\",headers=\"date\",signature=\""
        );
        let authorization = request.header("authorization").unwrap();
        assert!(authorization.starts_with(&start), "{authorization}");
        assert!(read(&request).is_signed_by_one_of([&public_key(name)]), "{name}");
        let other = if name == "rsa" { "rsa1024" } else { "rsa" };
        assert!(!read(&request).is_signed_by_one_of([&public_key(other)]), "{name}");
    }
}

#[tokio::test]
async fn a_sub_user_signs_with_the_account_before_the_own_name() {
    let mut peer = Peer::start().await;
    let mut config = peer.config();
    config.subuser = Some("imgapi".into());
    let request = request_with(config, &mut peer).await;
    let key_id = "/admin/imgapi/keys/6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59";
    assert_eq!(read(&request).key_id(), key_id);
}

#[tokio::test]
async fn nothing_shows_the_signature() {
    let mut peer = Peer::start().await;
    let client = peer.client();
    let target = path("/admin/stor/x");
    let (refused, authorization) = both(client.head(&target), async {
        let request = peer.next().await;
        let authorization = request.header("authorization").unwrap().to_owned();
        request.reply("403 Forbidden", &[], "").await;
        authorization
    })
    .await;
    let (_, signature) = authorization.split_once("signature=\"").unwrap();
    let shown = format!("{client:?} {refused:?} {}", refused.as_ref().unwrap_err());
    assert!(!shown.contains(&signature[..20]), "{shown}");
}
