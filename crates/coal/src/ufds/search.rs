// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Searches: from a request to the entries of its answer.

use ldap3_proto::proto::LdapSearchRequest;
use ldap3_proto::{LdapPartialAttribute, LdapResultCode, LdapSearchResultEntry, LdapSearchScope};

use super::directory::{Directory, Entry};
use super::dn::Dn;
use super::filter::matches;

/// Default maximum number of entries: the default of Moray, in which UFDS searches.
const DEFAULT_LIMIT: usize = 1000;

/// Returns the entries that match the request. A size limit truncates the answer without an error, as in UFDS, where it is passed
/// to Moray as a limit.
pub(super) fn search(
    directory: &Directory,
    request: &LdapSearchRequest,
) -> Result<Vec<LdapSearchResultEntry>, LdapResultCode> {
    let base: Dn = request.base.parse().map_err(|_| LdapResultCode::InvalidDNSyntax)?;
    if is_root_dse(request) {
        return Ok(vec![root_dse(directory, request)]);
    }
    directory.get(&base).ok_or(LdapResultCode::NoSuchObject)?;
    let in_scope = |entry: &&Entry| match request.scope {
        LdapSearchScope::Base => entry.dn == base,
        LdapSearchScope::OneLevel => entry.dn.parent().as_ref() == Some(&base),
        LdapSearchScope::Subtree => entry.dn.is_within(&base),
        LdapSearchScope::Children => entry.dn != base && entry.dn.is_within(&base),
    };
    let limit = usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT);
    Ok(directory
        .entries()
        .iter()
        .filter(in_scope)
        .filter(|entry| matches(&request.filter, entry))
        .take(limit)
        .map(|entry| present(entry, request))
        .collect())
}

/// Returns whether the request is for the server's own description, which may be read without authentication.
pub(super) fn is_root_dse(request: &LdapSearchRequest) -> bool {
    request.base.trim().is_empty() && request.scope == LdapSearchScope::Base
}

fn root_dse(directory: &Directory, request: &LdapSearchRequest) -> LdapSearchResultEntry {
    let suffix = directory.suffix().map(ToString::to_string);
    let attributes = vec![
        ("objectclass".to_owned(), vec!["top".to_owned()]),
        ("namingcontexts".to_owned(), suffix.into_iter().collect()),
        ("supportedldapversion".to_owned(), vec!["3".to_owned()]),
        ("vendorname".to_owned(), vec!["coal".to_owned()]),
    ];
    present(&Entry { dn: Dn::default(), attributes }, request)
}

/// Returns the entry as a client sees it: without hidden attributes, with the short login of a sub-user, and with only the
/// requested attributes.
fn present(entry: &Entry, request: &LdapSearchRequest) -> LdapSearchResultEntry {
    let wanted: Vec<String> = request.attrs.iter().map(|name| name.to_ascii_lowercase()).collect();
    let all = wanted.is_empty() || wanted.iter().any(|name| name == "*");
    let attributes = entry
        .attributes
        .iter()
        .filter(|(name, _)| !is_hidden(name) && (all || wanted.contains(name)))
        .map(|(name, values)| LdapPartialAttribute {
            atype: name.clone(),
            vals: if request.typesonly { Vec::new() } else { shown_values(entry, name, values) },
        })
        .collect();
    LdapSearchResultEntry { dn: entry.dn.to_string(), attributes }
}

/// Returns whether an attribute is hidden. Only a control that IMGAPI never sends would show it.
fn is_hidden(name: &str) -> bool {
    name == "userpassword" || name.starts_with('_')
}

fn shown_values(entry: &Entry, name: &str, values: &[String]) -> Vec<Vec<u8>> {
    let prefix = match entry.values("account") {
        [account] if name == "login" && entry.has_class("sdcaccountuser") => format!("{account}/"),
        _ => String::new(),
    };
    values.iter().map(|value| value.strip_prefix(&prefix).unwrap_or(value).as_bytes().to_vec()).collect()
}
