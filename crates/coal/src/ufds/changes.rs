// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Changes over LDAP: only the keys of accounts and sub-users can be added and deleted.
//!
//! The rules are those of UFDS. The server computes `pkcs`, and `fingerprint` if it is not given; a wrong one is rejected. The
//! server accepts two keys of the same name, although clients do not.

use std::io;

use http_signature::PublicKey;
use ldap3_proto::LdapResultCode;
use ldap3_proto::proto::LdapAddRequest;

use super::directory::{Directory, Entry, group};
use super::dn::Dn;
use super::live::LiveDirectory;

/// Attributes that a key must have exactly once.
const REQUIRED: [&str; 4] = ["name", "openssh", "fingerprint", "pkcs"];
/// Attributes that a key may also have.
const OPTIONAL: [&str; 2] = ["objectclass", "attestation"];

/// A result code other than success, and the diagnostic message.
#[derive(Debug)]
pub(super) struct Refused(pub(super) LdapResultCode, pub(super) String);

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self(LdapResultCode::Unavailable, error.to_string())
    }
}

fn refuse<T>(code: LdapResultCode, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(code, message.into()))
}

/// Adds a key.
pub(super) fn add(directory: &LiveDirectory, request: LdapAddRequest) -> Result<(), Refused> {
    let dn = name(&request.dn)?;
    let mut pairs = Vec::new();
    for attribute in request.attributes {
        for value in attribute.vals {
            let Ok(value) = String::from_utf8(value) else {
                return refuse(LdapResultCode::InvalidAttributeSyntax, "a value is no text");
            };
            pairs.push((attribute.atype.to_ascii_lowercase(), value));
        }
    }
    let entry = key(Entry { dn, attributes: group(pairs) })?;
    directory.change(|directory| {
        if directory.get(&entry.dn).is_some() {
            return refuse(LdapResultCode::EntryAlreadyExists, entry.dn.to_string());
        }
        let owner = entry.dn.parent().unwrap_or_default();
        match directory.get(&owner) {
            None => refuse(LdapResultCode::NoSuchObject, owner.to_string()),
            Some(owner) if !owner.has_class("sdcperson") => {
                refuse(LdapResultCode::UnwillingToPerform, "only people have keys here")
            }
            Some(_) => {
                directory.add(entry);
                Ok(())
            }
        }
    })
}

/// Checks that the entry is a key, and adds the computed attributes.
fn key(mut entry: Entry) -> Result<Entry, Refused> {
    match entry.values("objectclass") {
        [] => return refuse(LdapResultCode::ObjectClassViolation, "no objectclass"),
        [class] if class == "sdckey" => {}
        _ => return refuse(LdapResultCode::UnwillingToPerform, "this directory takes new keys only"),
    }
    if let [line, ..] = entry.values("openssh") {
        let syntax = |error: &dyn std::fmt::Display| {
            Refused(LdapResultCode::InvalidAttributeSyntax, error.to_string())
        };
        let key = PublicKey::from_openssh(line).map_err(|error| syntax(&error))?;
        let fingerprint = key.md5_fingerprint();
        match entry.values("fingerprint") {
            [] => entry.attributes.push(("fingerprint".to_owned(), vec![fingerprint])),
            [given, ..] if *given != fingerprint => {
                return Err(syntax(&format!("the fingerprint of the key is {fingerprint}, not {given}")));
            }
            _ => {}
        }
        let pkcs = key.to_pem().map_err(|error| syntax(&error))?;
        entry.attributes.retain(|(name, _)| name != "pkcs");
        entry.attributes.push(("pkcs".to_owned(), vec![pkcs]));
    }
    let violation = |message: String| refuse(LdapResultCode::ConstraintViolation, message);
    for name in REQUIRED {
        if entry.values(name).len() != 1 {
            return violation(format!("'{name}' must have one value"));
        }
    }
    let known = |name: &str| REQUIRED.contains(&name) || OPTIONAL.contains(&name);
    if let Some((name, _)) = entry.attributes.iter().find(|(name, _)| !known(name)) {
        return violation(format!("'{name}' is not allowed"));
    }
    Ok(entry)
}

/// Deletes a key.
pub(super) fn delete(directory: &LiveDirectory, dn: &str) -> Result<(), Refused> {
    let dn = name(dn)?;
    directory.change(|directory: &mut Directory| {
        let Some(entry) = directory.get(&dn) else {
            return refuse(LdapResultCode::NoSuchObject, dn.to_string());
        };
        if !entry.has_class("sdckey") {
            return refuse(LdapResultCode::UnwillingToPerform, "only keys can be deleted here");
        }
        directory.retain(|entry| entry.dn != dn);
        Ok(())
    })
}

fn name(text: &str) -> Result<Dn, Refused> {
    text.parse().or_else(|_| refuse(LdapResultCode::InvalidDNSyntax, text))
}
