// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UFDS, the account directory: LDAP v3 over TLS in front of entries from an LDIF file.
//!
//! It follows sdc-ufds 7.5. Over LDAP, only keys can be added and deleted. There are no sort, paging or hidden-attribute
//! controls. The certificate has an elliptic-curve key, and TLS 1.3 is offered besides 1.2.

mod changes;
mod connection;
mod directory;
mod dn;
mod faults;
mod filter;
mod keys;
mod ldif;
mod live;
mod search;
mod server;
mod tls;

pub use directory::{Account, Directory, DirectoryError};
pub use dn::{Dn, DnError};
pub use faults::{UfdsFault, UfdsFaults};
pub use ldif::LdifError;
pub use live::{LiveDirectory, SshKey};
pub use server::{UfdsOptions, UfdsServer};
