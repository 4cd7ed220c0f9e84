// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Authentication and authorization.

use std::time::{Duration, SystemTime};

use coal::Datacenter;
use http_signature::{PublicKey, Signer};
use hyper::header::AUTHORIZATION;
use reqwest::{Method, Response};

use super::{Manta, account_signer, code, sign, signer};
use crate::within;

const VADER: &str = "uuid=86055c40-2547-11e2-8a6b-4bb37edc84ba, ou=users, o=smartdc";
const TARKIN: &str = "uuid=b6f7e3a1-0c55-4a5e-9d2f-0d8d3c3f0e11";

/// Private and public keys of the usual kinds.
const KEYS: [(&str, &str); 3] = [
    (
        include_str!("../../../../http-signature/tests/data/keys/rsa"),
        include_str!("../../../../http-signature/tests/data/keys/rsa.pub"),
    ),
    (
        include_str!("../../../../http-signature/tests/data/keys/ed25519"),
        include_str!("../../../../http-signature/tests/data/keys/ed25519.pub"),
    ),
    (
        include_str!("../../../../http-signature/tests/data/keys/ecdsa521"),
        include_str!("../../../../http-signature/tests/data/keys/ecdsa521.pub"),
    ),
];

/// Returns the entry of a key below its owner, and a signer with this key.
fn key(owner: &str, name: &str, (private, public): (&str, &str)) -> (String, Signer) {
    let public = public.trim();
    let fingerprint = PublicKey::from_openssh(public).unwrap().md5_fingerprint();
    let entry = format!(
        "\ndn: fingerprint={fingerprint}, {owner}\nfingerprint: {fingerprint}\nname: k\nopenssh: {public}\nobjectclass: sdcKey\n"
    );
    (entry, signer(name, private))
}

/// Starts a Manta whose directory has more entries.
async fn with_entries(entries: &str) -> Manta {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounts.ldif");
    let built_in = include_str!("../../../data/accounts.ldif");
    std::fs::write(&file, format!("{built_in}{entries}")).unwrap();
    Manta::of(Datacenter::builder().ufds_ldif(&file)).await
}

async fn list(manta: &Manta, signer: &Signer, path: &str) -> Response {
    let request = manta.http.get(manta.server().url() + path).headers(sign(signer, SystemTime::now()));
    within(request.send()).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_key_opens_its_account() {
    let keys = KEYS.map(|pair| key(VADER, "/imgapitestvader", pair));
    let manta = with_entries(&keys.each_ref().map(|(entry, _)| entry.as_str()).concat()).await;
    for (_, signer) in &keys {
        assert_eq!(list(&manta, signer, "/imgapitestvader/stor").await.status(), 200);
        let elsewhere = list(&manta, signer, "/imgapitestluke/stor").await;
        assert_eq!(code(elsewhere).await, (403, "AuthorizationFailed".to_owned()));
    }
}

#[tokio::test]
async fn a_sub_user_acts_for_its_account_when_it_has_a_role() {
    let tarkin = format!("{TARKIN}, {VADER}");
    let (entry, signer) = key(&tarkin, "/imgapitestvader/tarkin", KEYS[1]);
    let role = format!(
        "\ndn: role-uuid=r, {VADER}\nname: admiral\nuniquemember: {tarkin}\nobjectclass: sdcAccountRole\n"
    );
    let without = with_entries(&entry).await;
    let answer = list(&without, &signer, "/imgapitestvader/stor").await;
    assert_eq!(code(answer).await, (403, "AuthorizationFailed".to_owned()));
    let with = with_entries(&(entry + &role)).await;
    assert_eq!(list(&with, &signer, "/imgapitestvader/stor").await.status(), 200);
    let (_, stranger) = key(&tarkin, "/imgapitestvader/jerjerrod", KEYS[1]);
    let answer = list(&with, &stranger, "/imgapitestvader/stor").await;
    assert_eq!(code(answer).await, (403, "UserDoesNotExist".to_owned()));
}

#[tokio::test]
async fn a_signature_is_of_now_and_of_its_key() {
    let manta = Manta::start().await;
    let get = async |change: &dyn Fn(String) -> String, age: u64| {
        let mut headers = sign(&manta.signer, SystemTime::now() - Duration::from_secs(age));
        let text = headers[AUTHORIZATION].to_str().unwrap().to_owned();
        headers.insert(AUTHORIZATION, change(text).parse().unwrap());
        let request = manta.http.request(Method::GET, manta.server().url() + "/admin/stor").headers(headers);
        let answer = within(request.send()).await.unwrap();
        if answer.status() == 200 { (200, String::new()) } else { code(answer).await }
    };
    let refused = |status, code: &str| (status, code.to_owned());
    let same = |text: String| text;
    assert_eq!(get(&same, 0).await.0, 200);
    assert_eq!(get(&same, 200).await.0, 200);
    assert_eq!(get(&same, 400).await, refused(400, "InvalidHeader"));
    let luke = account_signer(&manta.datacenter, "imgapitestluke");
    let of_luke = sign(&luke, SystemTime::now())[AUTHORIZATION].to_str().unwrap().to_owned();
    let signature = |text: &str| text.split_once("signature=").unwrap().1.to_owned();
    let forged = |text: String| text.replace(&signature(&text), &signature(&of_luke));
    assert_eq!(get(&forged, 0).await, refused(403, "InvalidSignature"));
    let cases = [
        ("ecdsa-sha256", "hmac-sha256", 401, "InvalidAlgorithm"),
        ("/keys/", "/key/", 403, "InvalidKeyId"),
        ("/admin/keys/", "/admin/keys/00:", 403, "KeyDoesNotExist"),
        ("Signature ", "Basic ", 403, "AuthorizationSchemeNotAllowed"),
        ("signature=", "sign=", 400, "InvalidHeader"),
    ];
    for (from, to, status, code) in cases {
        assert_eq!(get(&|text: String| text.replace(from, to), 0).await, refused(status, code), "{to}");
    }
}
