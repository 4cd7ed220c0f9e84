// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The SSH keys of accounts and sub-users, and the attributes that determine their permissions in Manta.
//!
//! A key is an entry of class `sdcKey` below its owner. Its `fingerprint` is the MD5 fingerprint, in hexadecimal with colons, and
//! its `openssh` is the line of a `.pub` file.

use super::directory::{Directory, Entry};
use super::dn::Dn;

/// The parent of all accounts.
const USERS: &str = "ou=users, o=smartdc";
/// The group of the operators, who may do everything.
const OPERATORS: &str = "cn=operators, ou=groups, o=smartdc";

impl Directory {
    /// Returns the account with this login.
    pub(crate) fn account_entry(&self, login: &str) -> Option<&Entry> {
        let users: Dn = USERS.parse().ok()?;
        self.children(&users).find(|entry| entry.has_class("sdcperson") && entry.has("login", login))
    }

    /// Returns the sub-user whose alias in the account is `alias`.
    pub(crate) fn sub_user(&self, account: &Entry, alias: &str) -> Option<&Entry> {
        self.children(&account.dn)
            .find(|entry| entry.has_class("sdcaccountuser") && entry.has("alias", alias))
    }

    /// Returns the public key of an account or sub-user with this fingerprint.
    pub(crate) fn openssh_key(&self, owner: &Entry, fingerprint: &str) -> Option<&str> {
        let key = self
            .children(&owner.dn)
            .find(|entry| entry.has_class("sdckey") && entry.has("fingerprint", fingerprint))?;
        key.values("openssh").first().map(String::as_str)
    }

    /// Returns whether the account is an operator.
    pub(crate) fn is_operator(&self, account: &Entry) -> bool {
        let group = OPERATORS.parse().ok().and_then(|name| self.get(&name));
        group.is_some_and(|group| group.has_member(&account.dn))
    }

    /// Returns whether the sub-user has any role of the account.
    pub(crate) fn has_role(&self, account: &Entry, user: &Entry) -> bool {
        let has = |role: &Entry| role.has_class("sdcaccountrole") && role.has_member(&user.dn);
        self.children(&account.dn).any(has)
    }

    /// Adds a key to the account with this login. Does nothing if there is no such account, or if it has the key.
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
