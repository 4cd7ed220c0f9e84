// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The entries and their tree.

use std::collections::HashMap;

use serde::Serialize;
use thiserror::Error;

use super::dn::Dn;
use super::ldif::{self, LdifError};

/// The entries that coal serves by default.
const DEFAULT_LDIF: &str = include_str!("../../data/accounts.ldif");

/// The directory. Entries are in the order of the file, which stands for the order of creation.
#[derive(Debug, Clone)]
pub struct Directory {
    entries: Vec<Entry>,
    by_dn: HashMap<Dn, usize>,
}

/// A stored entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Distinguished name of the entry.
    pub(crate) dn: Dn,
    /// Attribute names, in lower case, with their values.
    pub(crate) attributes: Vec<(String, Vec<String>)>,
}

/// An account: an entry of class `sdcPerson` directly below `ou=users, o=smartdc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// `uuid` of the account.
    pub uuid: String,
    /// `login` of the account.
    pub login: String,
}

/// Why an LDIF text is not a directory.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The text cannot be parsed.
    #[error(transparent)]
    Ldif(#[from] LdifError),
    /// Two entries have the same name.
    #[error("line {line}: \"{dn}\" exists already")]
    Duplicate {
        /// Line of the second entry.
        line: usize,
        /// The name.
        dn: Dn,
    },
    /// An entry has no parent.
    #[error("line {line}: the entry above \"{dn}\" does not exist")]
    Orphan {
        /// Line of the entry.
        line: usize,
        /// Name of the entry.
        dn: Dn,
    },
}

impl Directory {
    /// Reads a directory from LDIF. The first entry is the suffix; the parent of every other entry must come before it.
    ///
    /// # Errors
    ///
    /// Fails if the text cannot be parsed, or if its entries do not form a tree.
    pub fn from_ldif(text: &str) -> Result<Self, DirectoryError> {
        let mut directory = Self { entries: Vec::new(), by_dn: HashMap::new() };
        for record in ldif::parse(text)? {
            let (line, dn) = (record.line, record.dn);
            if directory.by_dn.contains_key(&dn) {
                return Err(DirectoryError::Duplicate { line, dn });
            }
            let parent_exists = dn.parent().is_some_and(|parent| directory.by_dn.contains_key(&parent));
            if !directory.entries.is_empty() && !parent_exists {
                return Err(DirectoryError::Orphan { line, dn });
            }
            directory.add(Entry { dn, attributes: group(record.attributes) });
        }
        Ok(directory)
    }

    /// Adds an entry. Its name must be new, and its parent must exist.
    pub(super) fn add(&mut self, entry: Entry) {
        self.by_dn.insert(entry.dn.clone(), self.entries.len());
        self.entries.push(entry);
    }

    /// Removes all entries except those for which `stays` returns true. A removed entry must not have children.
    pub(super) fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        self.entries.retain(stays);
        self.by_dn = self.entries.iter().enumerate().map(|(at, entry)| (entry.dn.clone(), at)).collect();
    }

    /// Returns coal's built-in directory: the admin, four accounts, and a sub-user of one of them.
    ///
    /// # Errors
    ///
    /// Fails if the built-in file is invalid.
    pub fn built_in() -> Result<Self, DirectoryError> {
        Self::from_ldif(DEFAULT_LDIF)
    }

    /// Returns the accounts, in the order of the file.
    pub fn accounts(&self) -> Vec<Account> {
        let account = |entry: &Entry| {
            let users = entry.dn.parent()?;
            let is_account = users.to_string() == "ou=users, o=smartdc" && entry.has_class("sdcperson");
            is_account.then_some(())?;
            let first = |name| entry.values(name).first().cloned();
            Some(Account { uuid: first("uuid")?, login: first("login")? })
        };
        self.entries.iter().filter_map(account).collect()
    }

    /// Returns all entries.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the entry of that name.
    pub(crate) fn get(&self, dn: &Dn) -> Option<&Entry> {
        self.by_dn.get(dn).and_then(|at| self.entries.get(*at))
    }

    /// Returns the name of the first entry.
    pub(crate) fn suffix(&self) -> Option<&Dn> {
        self.entries.first().map(|entry| &entry.dn)
    }
}

/// Groups the values by attribute. Object classes are stored in lower case, as in UFDS.
pub(super) fn group(pairs: Vec<(String, String)>) -> Vec<(String, Vec<String>)> {
    let mut attributes: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in pairs {
        let value = if name == "objectclass" { value.to_lowercase() } else { value };
        match attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => attributes.push((name, vec![value])),
        }
    }
    attributes
}

impl Entry {
    /// Returns the values of an attribute, whose name is in lower case; empty if it is absent.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.attributes.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }

    /// Returns whether the entry has the class, given in lower case.
    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.values("objectclass").iter().any(|value| value == class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_directory_has_the_admin_and_four_accounts() {
        let directory = Directory::built_in().unwrap();
        let accounts = directory.accounts();
        assert_eq!(accounts.len(), 5, "{accounts:?}");
        assert_eq!(accounts[0].login, "admin");
        assert_eq!(accounts[0].uuid, "930896af-bf8c-48d4-885c-6573a94b1853");
        assert!(directory.entries().iter().any(|entry| entry.has_class("sdcaccountuser")));
    }

    #[test]
    fn a_tree_is_a_tree() {
        let duplicate = "dn: o=x\no: x\n\ndn: o=x\no: x\n";
        assert!(matches!(Directory::from_ldif(duplicate), Err(DirectoryError::Duplicate { line: 4, .. })));
        let orphan = "dn: o=x\no: x\n\ndn: a=1, b=2, o=x\na: 1\n";
        assert!(matches!(Directory::from_ldif(orphan), Err(DirectoryError::Orphan { line: 4, .. })));
    }
}
