// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UFDS with an LDAP client.

use std::collections::HashSet;

use coal::ufds::{Directory, UfdsFault, UfdsOptions, UfdsServer};
use http_signature::PrivateKey;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry};

use crate::{FREE_PORT, within};

const USERS: &str = "ou=users, o=smartdc";
const VADER: &str = "86055c40-2547-11e2-8a6b-4bb37edc84ba";
const SUBUSER: &str = "b6f7e3a1-0c55-4a5e-9d2f-0d8d3c3f0e11";

async fn server() -> UfdsServer {
    let options = UfdsOptions {
        root_dn: "cn=root".parse().unwrap(),
        root_password: "secret".to_owned(),
        directory: Directory::built_in().unwrap().into(),
    };
    UfdsServer::bind(FREE_PORT, options).await.unwrap()
}

async fn connect(server: &UfdsServer) -> Ldap {
    let settings = LdapConnSettings::new().set_no_tls_verify(true);
    let url = format!("ldaps://{}", server.address());
    let (connection, ldap) = within(LdapConnAsync::with_settings(settings, &url)).await.unwrap();
    tokio::spawn(connection.drive());
    ldap
}

async fn connect_as_root(server: &UfdsServer) -> Ldap {
    let mut ldap = connect(server).await;
    within(ldap.simple_bind("cn=root", "secret")).await.unwrap().success().unwrap();
    ldap
}

/// Returns the result code and the entries of a search.
async fn search(ldap: &mut Ldap, base: &str, scope: Scope, filter: &str) -> (u32, Vec<SearchEntry>) {
    let result = within(ldap.search(base, scope, filter, vec!["*"])).await.unwrap();
    (result.1.rc, result.0.into_iter().map(SearchEntry::construct).collect())
}

#[tokio::test]
async fn an_account_is_one_level_down_and_a_sub_user_is_not() {
    let server = server().await;
    let mut ldap = connect_as_root(&server).await;
    let by_uuid = |uuid: &str| format!("(&(objectclass=sdcperson)(uuid={uuid}))");
    let (code, found) = search(&mut ldap, USERS, Scope::OneLevel, &by_uuid(VADER)).await;
    assert_eq!((code, found.len()), (0, 1));
    assert_eq!(found[0].dn, format!("uuid={VADER}, ou=users, o=smartdc"));
    assert_eq!(found[0].attrs["login"], ["imgapitestvader"]);
    assert!(!found[0].attrs.contains_key("userpassword"));
    for unknown in [SUBUSER.to_owned(), VADER.to_uppercase()] {
        let (code, found) = search(&mut ldap, USERS, Scope::OneLevel, &by_uuid(&unknown)).await;
        assert_eq!((code, found.len()), (0, 0), "{unknown}");
    }
    let account = format!("uuid={VADER},{USERS}");
    let (_, found) = search(&mut ldap, &account, Scope::OneLevel, &by_uuid(SUBUSER)).await;
    assert_eq!(found[0].attrs["login"], ["tarkin"]);
}

#[tokio::test]
async fn a_missing_base_is_no_such_object() {
    let server = server().await;
    let mut ldap = connect_as_root(&server).await;
    for scope in [Scope::Base, Scope::OneLevel, Scope::Subtree] {
        assert_eq!(search(&mut ldap, "ou=none, o=smartdc", scope, "(uuid=*)").await.0, 32);
    }
}

#[tokio::test]
async fn only_the_root_may_search() {
    let server = server().await;
    let mut ldap = connect(&server).await;
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0, 50);
    assert_eq!(within(ldap.simple_bind("cn=root", "wrong")).await.unwrap().rc, 49);
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0, 50);
    let account = format!("uuid={VADER}, {USERS}");
    assert_eq!(within(ldap.simple_bind(&account, "imgadmisawesome123")).await.unwrap().rc, 0);
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0, 50);
    assert_eq!(within(ldap.delete(&account)).await.unwrap().rc, 50);
}

#[tokio::test]
async fn an_unavailable_directory_still_binds_its_root() {
    let server = server().await;
    server.faults().set(UfdsFault::Unavailable);
    let mut ldap = connect_as_root(&server).await;
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0, 52);
    server.faults().clear();
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0, 0);
}

#[tokio::test]
async fn a_stalled_search_is_answered_when_the_fault_is_cleared() {
    let server = server().await;
    let mut ldap = connect_as_root(&server).await;
    server.faults().set(UfdsFault::Stall);
    let mut stalled =
        tokio::spawn(async move { search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.0 });
    // Nothing observable happens during the wait, so only a short look is possible.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut stalled).await.is_err());
    server.faults().clear();
    assert_eq!(within(stalled).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stopped_server_comes_back_on_its_port() {
    let server = server().await;
    let mut ldap = connect_as_root(&server).await;
    within(server.stop()).await;
    assert!(within(ldap.search(USERS, Scope::OneLevel, "(uuid=*)", vec!["uuid"])).await.is_err());
    server.start().await.unwrap();
    let mut ldap = connect_as_root(&server).await;
    assert_eq!(search(&mut ldap, USERS, Scope::OneLevel, "(uuid=*)").await.1.len(), 5);
}

/// Adds a key with these attributes below `owner`; returns the result code.
async fn add(ldap: &mut Ldap, rdn: &str, owner: &str, attributes: &[(&str, &str)]) -> u32 {
    let attributes = attributes.iter().map(|(name, value)| (*name, HashSet::from([*value]))).collect();
    within(ldap.add(&format!("fingerprint={rdn}, {owner}"), attributes)).await.unwrap().rc
}

#[tokio::test]
async fn a_key_comes_and_goes_and_nothing_else_does() {
    let server = server().await;
    let mut ldap = connect_as_root(&server).await;
    let key = PrivateKey::generate().unwrap();
    let (line, fingerprint) = (key.public_openssh("mine"), key.md5_fingerprint());
    let vader = format!("uuid={VADER}, {USERS}");
    let whole = [("objectclass", "sdcKey"), ("name", "mine"), ("openssh", line.as_str())];
    let given = |name, value| [&whole[..], &[(name, value)]].concat();
    // In order: without a class; with another class; without a name; not a key; with a wrong fingerprint; with another attribute.
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &whole[1..]).await, 65);
    let person = [("objectclass", "sdcperson"), ("login", "x")];
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &person).await, 53);
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &[whole[0], whole[2]]).await, 19);
    let nonsense = [whole[0], whole[1], ("openssh", "ssh-rsa x")];
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &nonsense).await, 21);
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &given("fingerprint", "aa:bb")).await, 21);
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &given("colour", "red")).await, 19);
    assert_eq!(add(&mut ldap, &fingerprint, &format!("uuid=nobody, {USERS}"), &whole).await, 32);
    assert_eq!(add(&mut ldap, &fingerprint, USERS, &whole).await, 53);
    assert_eq!(within(ldap.delete(&vader)).await.unwrap().rc, 53);
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &whole).await, 0);
    assert_eq!(add(&mut ldap, &fingerprint, &vader, &whole).await, 68);
    let (_, found) = search(&mut ldap, &vader, Scope::OneLevel, "(&(objectclass=sdckey)(name=mine))").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].attrs["fingerprint"], [fingerprint.as_str()]);
    assert!(found[0].attrs["pkcs"][0].starts_with("-----BEGIN PUBLIC KEY-----"));
    let keys = server.directory().keys("imgapitestvader");
    assert_eq!((keys.len(), keys[0].openssh.as_str()), (1, line.as_str()));

    let mut nobody = connect(&server).await;
    let dn = format!("fingerprint={fingerprint},{vader}");
    assert_eq!(within(nobody.delete(&dn)).await.unwrap().rc, 50);
    assert_eq!(add(&mut nobody, &fingerprint, &vader, &whole).await, 50);
    server.faults().set(UfdsFault::Unavailable);
    assert_eq!(within(ldap.delete(&dn)).await.unwrap().rc, 52);
    server.faults().clear();
    assert_eq!(within(ldap.delete(&dn)).await.unwrap().rc, 0);
    assert_eq!(within(ldap.delete(&dn)).await.unwrap().rc, 32);
    assert!(server.directory().keys("imgapitestvader").is_empty());
}
