// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The SSH keys of accounts and sub-users, and what these may do in Manta.
//!
//! A key is an entry of class `sdcKey` below its owner; its `fingerprint` is that of MD5, in hexadecimal with
//! colons, and its `openssh` the line of a `.pub` file.

use super::directory::{Directory, Entry};
use super::dn::Dn;

/// Where accounts are.
const USERS: &str = "ou=users, o=smartdc";
/// The group of those who may do everything.
const OPERATORS: &str = "cn=operators, ou=groups, o=smartdc";

impl Directory {
    /// The account of that login.
    pub(crate) fn account_entry(&self, login: &str) -> Option<&Entry> {
        let users: Dn = USERS.parse().ok()?;
        self.children(&users).find(|entry| entry.has_class("sdcperson") && entry.has("login", login))
    }

    /// The sub-user that the account calls `alias`.
    pub(crate) fn sub_user(&self, account: &Entry, alias: &str) -> Option<&Entry> {
        self.children(&account.dn)
            .find(|entry| entry.has_class("sdcaccountuser") && entry.has("alias", alias))
    }

    /// The public key of an account or sub-user that has this fingerprint.
    pub(crate) fn openssh_key(&self, owner: &Entry, fingerprint: &str) -> Option<&str> {
        let key = self
            .children(&owner.dn)
            .find(|entry| entry.has_class("sdckey") && entry.has("fingerprint", fingerprint))?;
        key.values("openssh").first().map(String::as_str)
    }

    /// Whether the account is one of the operators.
    pub(crate) fn is_operator(&self, account: &Entry) -> bool {
        let group = OPERATORS.parse().ok().and_then(|name| self.get(&name));
        group.is_some_and(|group| group.has_member(&account.dn))
    }

    /// Whether the sub-user has any role of the account.
    pub(crate) fn has_role(&self, account: &Entry, user: &Entry) -> bool {
        let has = |role: &Entry| role.has_class("sdcaccountrole") && role.has_member(&user.dn);
        self.children(&account.dn).any(has)
    }

    /// Gives the account of this login a key; nothing happens if there is no such account, or if it has the key.
    pub(crate) fn add_key(&mut self, login: &str, fingerprint: &str, openssh: &str) {
        let Some(account) = self.account_entry(login) else { return };
        let Ok(dn) = format!("fingerprint={fingerprint}, {}", account.dn).parse() else { return };
        if self.get(&dn).is_some() {
            return;
        }
        let attribute = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        let attributes = vec![
            attribute("fingerprint", fingerprint),
            attribute("name", "coal"),
            attribute("openssh", openssh),
            attribute("objectclass", "sdckey"),
        ];
        self.add(Entry { dn, attributes });
    }

    fn children(&self, parent: &Dn) -> impl Iterator<Item = &Entry> {
        let parent = Some(parent.clone());
        self.entries().iter().filter(move |entry| entry.dn.parent() == parent)
    }
}

impl Entry {
    fn has(&self, attribute: &str, value: &str) -> bool {
        self.values(attribute).iter().any(|known| known == value)
    }

    fn has_member(&self, member: &Dn) -> bool {
        self.values("uniquemember").iter().any(|name| name.parse::<Dn>().as_ref() == Ok(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_its_account_alone() {
        let mut directory = Directory::built_in().unwrap();
        directory.add_key("imgapitestluke", "aa:bb", "ssh-ed25519 AAAA");
        directory.add_key("imgapitestluke", "aa:bb", "another");
        directory.add_key("nobody", "aa:bb", "another");
        let key = |login| directory.openssh_key(directory.account_entry(login).unwrap(), "aa:bb");
        assert_eq!(key("imgapitestluke"), Some("ssh-ed25519 AAAA"));
        assert_eq!(key("imgapitestvader"), None);
        assert!(directory.account_entry("tarkin").is_none());
    }

    #[test]
    fn operators_and_roles_are_those_of_the_directory() {
        let directory = Directory::built_in().unwrap();
        assert!(directory.is_operator(directory.account_entry("admin").unwrap()));
        let vader = directory.account_entry("imgapitestvader").unwrap();
        assert!(!directory.is_operator(vader));
        let tarkin = directory.sub_user(vader, "tarkin").unwrap();
        assert!(!directory.has_role(vader, tarkin));
    }
}
